"""Records small image files and what Pillow decodes and resizes them to into data.h, for tests/engine/data/images/codec_test.cpp.

Run: python3 tests/golden/data.py   (needs Pillow, pillow_heif and numpy; writes tests/golden/data.h beside itself)
"""
import io
import pathlib
import struct
import zlib

import numpy as np
import PIL
import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()


def pattern(height, width):
    """The test image, by a formula that the test repeats."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack(((x * 37 + y * 91) % 256, (x * 53 + y * 17 + 60) % 256, (x * y * 5 + 120) % 256), 2).astype(np.uint8)


def smooth(height, width):
    """Without the high frequencies that JPEG loses."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack((x * 8 + 20, y * 12 + 40, x * 3 + y * 5 + 60), 2).clip(0, 255).astype(np.uint8)


def encode(image, kind, **how):
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def resized(height, width, to_height, to_width, box=None):
    image = Image.fromarray(pattern(height, width))
    return np.asarray(image.resize((to_width, to_height), Image.Resampling.BILINEAR, box))


def ycck(jpeg):
    """The same file with Adobe's mark that its components are YCCK."""
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\2" + jpeg[at + 2 + int.from_bytes(jpeg[at + 2:at + 4], "big"):]


def png(values, colour_type, interlaced=False, chunks=()):
    """Of (H, W, C) in 8 or 16 bits, which Pillow does not write interlaced, nor in 16 bits with colour or alpha."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    passes = [(slice(0, None, 8), slice(0, None, 8)), (slice(0, None, 8), slice(4, None, 8)), (slice(4, None, 8), slice(0, None, 4)),
              (slice(0, None, 4), slice(2, None, 4)), (slice(2, None, 4), slice(0, None, 2)), (slice(0, None, 2), slice(1, None, 2)),
              (slice(1, None, 2), slice(0, None, 1))] if interlaced else [(slice(None), slice(None))]
    big = values.astype(values.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for where in passes for row in big[where] if row.size)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8 * values.itemsize, colour_type, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunk(*c) for c in chunks) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def upper_bytes(values):
    """What Pillow makes of colour of 16 bits, and not of grey."""
    return Image.fromarray((values >> 8).astype(np.uint8).squeeze())


def on_white(image):
    """As convert("RGB"), but with alpha blended over white and turned upright."""
    image = ImageOps.exif_transpose(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")


def top_down_bmp(values, bits):
    """The first row stored is the top one, which Pillow reads and does not write."""
    blue_first = np.concatenate((values[..., ::-1], np.zeros_like(values[..., :1])), 2)[..., :bits // 8]
    body = b"".join(row.tobytes() + b"\0" * (-row.size % 4) for row in blue_first)
    header = struct.pack("<IiiHHIIiiII", 40, values.shape[1], -values.shape[0], 1, bits, 0, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + header + body


def bmp(values, bits, body, compression=0, palette=b"", header=40, masks=b"", gap=b""):
    """Of a body as it is stored, which Pillow does not write in this form."""
    begin = 14 + header + len(palette) + len(gap)
    rest = (struct.pack("<iiHHIIiiII", values.shape[1], values.shape[0], 1, bits, compression, len(body), 0, 0, len(palette) // 4, 0) +
            masks).ljust(header - 4, b"\0")
    return b"BM" + struct.pack("<IHHI", begin + len(body), 0, 0, begin) + struct.pack("<I", header) + rest + palette + gap + body


def padded(rows):
    return b"".join(bytes(row) + b"\0" * (-len(bytes(row)) % 4) for row in rows)


def runs(indices, nibbles=False):
    """Run-length compressed: a run of two, the rest of a row as it is; the last row ends early."""
    def rest(row):
        if not nibbles:
            return bytes(row) + b"\0" * (len(row) % 2)
        pairs = bytes((a << 4 | b) for a, b in zip(row[::2], [*row[1::2], 0]))
        return pairs + b"\0" * (len(pairs) % 2)

    two = lambda row: [2, row[0] << 4 | row[1]] if nibbles else [1, row[0], 1, row[1]]
    rows = [bytes(two(row)) + bytes([0, len(row) - 2]) + rest(row[2:]) + b"\0\0" for row in indices[::-1].tolist()]
    return b"".join(rows[:-1]) + bytes(two(indices[0].tolist())) + b"\0\0\0\1"


def lzw(indices):
    """A GIF's data for 16 colours: each as a code of 5 bits, the table cleared before it would grow to 6."""
    codes = [c for at in range(0, len(indices), 14) for c in (16, *indices[at:at + 14])] + [17]
    bits = sum(code << 5 * i for i, code in enumerate(codes))
    data = bits.to_bytes((5 * len(codes) + 7) // 8, "little")
    return b"\4" + b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255)) + b"\0"


def gif_part(screen, place, indices, palette, transparent=None):
    control = b"" if transparent is None else b"!\xf9\4\1\0\0" + bytes([transparent]) + b"\0"
    return (b"GIF89a" + struct.pack("<HHBBB", *screen, 0x83, 7, 0) + palette.tobytes() + control + b"," +
            struct.pack("<HHHHB", *place, indices.shape[1], indices.shape[0], 0) + lzw(indices.reshape(-1).tolist()) + b";")


def webp_part(picture, width, height, x, y):
    """An animation whose first picture is a part of it."""
    three = lambda value: struct.pack("<I", value)[:3]
    stored = encode(picture, "webp", lossless=True)
    frame = (three(x // 2) + three(y // 2) + three(picture.width - 1) + three(picture.height - 1) + three(100) + b"\2" +
             stored[stored.index(b"VP8"):])
    body = (b"VP8X" + struct.pack("<I", 10) + b"\x12\0\0\0" + three(width - 1) + three(height - 1) + b"ANIM" +
            struct.pack("<IIH", 6, 0xff2040c0, 0) + b"ANMF" + struct.pack("<I", len(frame)) + frame)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def tiled_tiff(values, side=16):
    """One tile, which Pillow does not write."""
    tile = np.zeros((side, side, 3), np.uint8)
    tile[:values.shape[0], :values.shape[1]] = values
    tags = [(256, 4, 1, values.shape[1]), (257, 4, 1, values.shape[0]), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2),
            (277, 3, 1, 3), (322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 134), (325, 4, 1, tile.size)]
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) +
            struct.pack("<I", 0) + tile.tobytes())


def turned(orientation):
    image, exif = Image.fromarray(pattern(2, 3)), Image.Exif()
    exif[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encode(image, "png", exif=exif)))))


rgb = Image.fromarray(pattern(5, 7))
grey = rgb.convert("L")
alpha = rgb.copy()
alpha.putalpha(grey)
soft = Image.fromarray(smooth(16, 24))
soft_alpha = soft.copy()
soft_alpha.putalpha(soft.convert("L"))
deep = np.concatenate((pattern(5, 7), np.asarray(grey)[..., None]), 2).astype(np.uint16) * 257 - np.uint16(100)
deeper = {"png_damaged_note": rgb, "png_16_grey": upper_bytes(deep[..., :1]), "png_16_rgba": upper_bytes(deep)}
chosen = (pattern(5, 7)[..., 0] // 16).astype(np.uint8)  # 16 colours
colours = pattern(4, 4).reshape(16, 3)
stored = np.concatenate((colours[:, ::-1], np.zeros((16, 1), np.uint8)), 1).tobytes()
blue_first = np.asarray(alpha)[::-1, :, [2, 1, 0, 3]]
damaged_note = bytearray(png(pattern(5, 7), 2, chunks=[(b"tEXt", b"Title\0note")]))
damaged_note[damaged_note.index(b"note")] ^= 1  # which its checksum tells
files = {
    "png_rgb": encode(rgb, "png"),
    "png_grey": encode(grey, "png"),
    "png_bit": encode(grey.convert("1"), "png"),
    "png_grey_alpha": encode(alpha.convert("LA"), "png"),
    "png_rgba": encode(alpha, "png"),
    "png_palette": encode(rgb.quantize(9), "png"),
    "bmp_rgb": encode(rgb, "bmp"),
    "bmp_grey": encode(grey, "bmp"),
    "bmp_bit": encode(grey.convert("1"), "bmp"),
    "bmp_palette": encode(rgb.quantize(9), "bmp"),
    "jpeg_rgb": encode(soft, "jpeg", quality=95, subsampling=0),
    "jpeg_420": encode(soft, "jpeg", quality=90, subsampling=2),
    "jpeg_progressive": encode(soft, "jpeg", quality=90, progressive=True),
    "jpeg_grey": encode(soft.convert("L"), "jpeg"),
    "jpeg_cmyk": encode(soft.convert("CMYK"), "jpeg"),
    "jpeg_ycck": ycck(encode(soft.convert("CMYK"), "jpeg", quality=50)),
    "png_16": png(deep[..., :3], 2),
    "png_16_grey": png(deep[..., :1], 0),
    "png_16_rgba": png(deep, 6),
    "png_interlaced": png(pattern(5, 7), 2, interlaced=True),
    "png_palette_clear": encode(rgb.quantize(9), "png", transparency=bytes([0, 60, 255, 128])),
    "png_clear_colour": png(pattern(5, 7), 2, chunks=[(b"tRNS", pattern(5, 7)[2, 3].astype(">u2").tobytes())]),
    "bmp_top_down": top_down_bmp(pattern(5, 7), 24),
    "bmp_top_down_32": top_down_bmp(pattern(5, 7), 32),
    "bmp_runs": bmp(chosen, 8, runs(chosen), 1, stored),
    "bmp_runs_4": bmp(chosen, 4, runs(chosen, nibbles=True), 2, stored),
    "bmp_gap": bmp(chosen, 8, padded(chosen[::-1]), palette=stored, gap=bytes(1002)),
    "bmp_few_colours": bmp(chosen, 8, padded(chosen[::-1]), palette=stored[:40]),
    "bmp_os2": bmp(chosen, 24, padded(np.asarray(rgb)[::-1, :, ::-1].reshape(5, -1))[:-3], header=64),
    "bmp_565": bmp(chosen, 16, padded((pattern(5, 7)[::-1, :, 0].astype("<u2") * 251).view(np.uint8)), 3, header=56,
                   masks=struct.pack("<III", 0xf800, 0x7e0, 0x1f)),
    "bmp_alpha": bmp(chosen, 32, blue_first.tobytes(), 3, header=108, masks=struct.pack("<IIII", 0xff0000, 0xff00, 0xff, 0xff000000)),
    "png_damaged_note": bytes(damaged_note),
    "png_endless": encode(rgb, "png")[:-12],
    "gif_part": gif_part((12, 8), (3, 2), chosen, colours),
    "gif_part_clear": gif_part((12, 8), (3, 2), chosen, colours, transparent=5),
    "gif_beyond": gif_part((4, 3), (1, 0), chosen, colours),
    "gif": encode(rgb.quantize(9), "gif"),
    "gif_clear": encode(rgb.quantize(9), "gif", transparency=4),
    "gif_moving": encode(rgb.quantize(9), "gif", save_all=True, append_images=[grey.quantize(5)]),
    "webp_lossless": encode(alpha, "webp", lossless=True, exact=True),
    "webp_alpha_moving": encode(alpha, "webp", lossless=True, exact=True, save_all=True, append_images=[rgb]),
    "webp_lossy": encode(soft, "webp", quality=80),
    "webp_moving": encode(rgb, "webp", lossless=True, save_all=True, append_images=[grey.convert("RGB")]),
    "tiff_rgb": encode(rgb, "tiff"),
    "tiff_lzw": encode(rgb, "tiff", compression="tiff_lzw"),
    "tiff_deflate_palette": encode(rgb.quantize(9), "tiff", compression="tiff_adobe_deflate"),
    "tiff_grey": encode(grey, "tiff"),
    "tiff_alpha": encode(alpha, "tiff"),
    "webp_part": webp_part(alpha, 12, 8, 4, 2),
    "tiff_big": encode(rgb, "tiff", big_tiff=True),
    "tiff_tiled": tiled_tiff(pattern(5, 7)),
    "tiff_turned": encode(rgb, "tiff", tiffinfo={274: 6}),
    "tiff_grey_alpha": encode(alpha.convert("LA"), "tiff"),
    "tiff_fourth_sample": encode(alpha.convert("RGBX"), "tiff"),
    "avif": encode(soft, "avif", quality=90),
    "heic": encode(soft, "heif", quality=90),
    "avif_alpha": encode(soft_alpha, "avif", quality=90),
}
arrays = {}
for name, data in files.items():
    arrays[name] = np.frombuffer(data, np.uint8)
    arrays[name + "_pixels"] = np.asarray(on_white(deeper.get(name) or Image.open(io.BytesIO(data))))
arrays["resize_down"] = resized(23, 40, 9, 15)
arrays["resize_crop"] = resized(23, 40, 10, 10, (8.5, 0, 31.5, 23))
arrays["resize_crop_large"] = resized(23, 40, 21, 21, (8.5, 0, 31.5, 23))
arrays["turned"] = np.concatenate([turned(orientation).reshape(-1) for orientation in range(1, 9)])
arrays["resize_up"] = resized(5, 9, 12, 12, (2, 0, 7, 5))

lines = [f"// Written by data.py with Pillow {PIL.__version__}.", "#pragma once", "", "#include <cstdint>", "",
         "namespace golden {", "// clang-format off"]
for name, values in arrays.items():
    lines.append(f"constexpr uint8_t {name}[] = {{")
    flat = [str(v) for v in values.reshape(-1)]
    for at in range(0, len(flat), 28):
        lines.append("    " + ", ".join(flat[at:at + 28]) + ",")
    lines.append("};")
lines += ["// clang-format on", "}  // namespace golden", ""]
pathlib.Path(__file__).with_suffix(".h").write_text("\n".join(lines))
