#!/usr/bin/env python3
"""Writes the seeds in tests/fuzz/corpus, small files of every format that is read.

    tests/fuzz/seeds.py BUILD_DIR        needs NumPy and Pillow; BUILD_DIR has the program `gestalt`
"""
import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))


def seed(target, name, data):
    folder = f"{HERE}/corpus/{target}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{name}", "wb") as file:
        file.write(data)


def part(data):
    """As take_part() in fuzz.h reads it."""
    return struct.pack("<H", len(data)) + data


def picture(mode, size=(9, 7)):
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    rgb = np.stack([x * 25 % 256, y * 35 % 256, (x * y * 5) % 256], -1).astype(np.uint8)
    return Image.fromarray(rgb).convert(mode)


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def images():
    for mode in ("RGB", "L", "1", "P", "RGBA", "LA", "I;16"):
        source = picture("I").convert("I;16") if mode == "I;16" else picture("LA" if mode == "LA" else mode)
        seed("image", f"{mode.replace(';', '')}.png", encoded(source, "PNG"))
    for name, mode, options in (("420", "RGB", {"subsampling": 2}), ("422", "RGB", {"subsampling": 1}), ("444", "RGB", {"subsampling": 0}),
                                ("grey", "L", {}), ("cmyk", "CMYK", {}), ("progressive", "RGB", {"progressive": True})):
        seed("image", f"{name}.jpg", encoded(picture(mode, (17, 11)), "JPEG", quality=60, **options))
    turned = Image.Exif()
    turned[0x0112] = 6
    seed("image", "turned.jpg", encoded(picture("RGB"), "JPEG", exif=turned))
    for mode in ("RGB", "L", "1", "P"):
        seed("image", f"{mode}.bmp", encoded(picture(mode), "BMP"))


    for mode, options in (("RGB", {"lossless": True}), ("RGB", {"quality": 60}), ("RGBA", {"quality": 60})):
        seed("image", f"{mode}{len(options)}{options.get('quality', '')}.webp", encoded(picture(mode), "WEBP", **options))
    seed("image", "moving.webp", encoded(picture("RGB"), "WEBP", lossless=True, save_all=True, append_images=[picture("L").convert("RGB")]))
    for mode, compression in (("RGB", None), ("RGB", "tiff_lzw"), ("P", "tiff_adobe_deflate"), ("1", "group4"), ("L", "packbits"), ("RGB", "jpeg")):
        seed("image", f"{mode}-{compression}.tif", encoded(picture(mode), "TIFF", compression=compression))
    seed("image", "P.gif", encoded(picture("P"), "GIF"))
    seed("image", "moving.gif", encoded(picture("P"), "GIF", save_all=True, append_images=[picture("1")]))


def safetensors():
    def file(header, data):
        text = json.dumps(header, separators=(",", ":")).encode()
        return struct.pack("<Q", len(text)) + text + data

    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    seed("safetensors", "one", file({"a": entry, "__metadata__": {"k": "v"}}, bytes(range(24))))
    kinds = {"F64": 8, "I64": 8, "I32": 4, "BF16": 2, "U8": 1}
    header, at = {}, 0
    for kind, size in kinds.items():
        header[kind] = {"dtype": kind, "shape": [2], "data_offsets": [at, at + 2 * size]}
        at += 2 * size
    seed("safetensors", "kinds", file(header, bytes(at)))
    seed("safetensors", "empty", file({"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}, b""))
    seed("safetensors", "python", open(f"{HERE}/../golden/python.safetensors", "rb").read()[:16384])


def records():
    record = {"format": 3, "method": "simclr", "fields": {"data": "shapes", "lr": 0.1}, "state": {
        "step": 12, "seconds": 1.5, "sums": {"loss": 2.5}, "batches": 2, "metrics_bytes": 100, "timing_bytes": 90, "row": [["step", 12]]},
        "origin": {"data": {"images": "192"}, "folder": "/x", "changes": []}}
    seed("run_record", "whole", json.dumps(record).encode())
    record["state"]["sums"]["loss"] = None
    seed("run_record", "null", json.dumps(record).encode())


def foreign():
    half = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    seed("foreign", "timm", json.dumps({"architecture": "vit_base_patch16_224", "global_pool": "avg", "model_args": {
        "img_size": 32, "num_heads": 4, "fc_norm": False}, "pretrained_cfg": {"input_size": [3, 32, 32], **half}}).encode())
    seed("foreign", "timm_resnet", json.dumps({"architecture": "resnet18", "input_size": [3, 32, 32], **half}).encode())
    for kind in ("vit", "vit_mae", "resnet"):
        seed("foreign", kind, json.dumps({"model_type": kind, "hidden_act": "relu" if kind == "resnet" else "gelu",
                                          "layer_norm_eps": 1e-12, "image_size": 32, "num_attention_heads": 4,
                                          "image_mean": half["mean"], "image_std": half["std"]}).encode())
    header, at = {}, 0
    for name, shape in (("layer1.0.conv1.weight", [1, 1, 3, 3]), ("conv1.weight", [1, 3, 3, 3]), ("fc.weight", [1, 8])):
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    seed("foreign", "weights", struct.pack("<Q", len(text)) + text + bytes(at))


def small_sets():
    def idx(dims, data):
        return struct.pack(">BBBB", 0, 0, 8, len(dims)) + b"".join(struct.pack(">I", d) for d in dims) + data

    seed("idx", "two", part(idx([2], bytes([3, 7]))) + idx([2, 5, 4], bytes(range(40))))
    seed("binary_records", "cifar10", b"\0" + b"".join(bytes([i]) + bytes([i * 20] * 3072) for i in range(2)))
    seed("binary_records", "cifar100", b"\1" + b"".join(bytes([i, i]) + bytes([i * 20] * 3072) for i in range(2)))
    seed("binary_records", "stl10", b"\2" + part(bytes([1])) + bytes(27648))


def texts():
    for name, text in (("ascii", b"The cat's 12 hats\n\n  sat."), ("wide", "é ∑ 你好 😀 \u200b".encode()), ("broken", b"a\xff\xc3(\xed\xa0\x80\xf4\x90\x80\x80")):
        seed("text", name, text)
    seed("settings", "lines", b"# a run\nmethod = simclr\ndata = shapes:10\nbatch = 16  # small\nsteps = 3\ndtype = \"f32\"\n")
    seed("settings", "json", json.dumps({"data": "images:\u00e9", "batch": 8, "graph": True, "checkpoint-minutes": 0.5, "seed": 3}).encode())
    seed("settings", "bytes", json.dumps({"data": {"bytes": "696d61676573ff"}}).encode())
    visible = [c for c in range(256) if 33 <= c <= 126 or 161 <= c <= 172 or 174 <= c]
    letters = {c: chr(c) for c in visible} | {c: chr(256 + i) for i, c in enumerate(c for c in range(256) if c not in visible)}
    ids = {letters[c]: i for i, c in enumerate(list(visible) + [c for c in range(256) if c not in visible])}
    merges = [("t", "h"), ("th", "e"), (letters[32], "the")]
    for a, b in merges:
        ids[a + b] = len(ids)
    ids["<|endoftext|>"] = len(ids)
    vocabulary = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges)
    seed("bpe_files", "three", part(vocabulary.encode()) + json.dumps(ids).encode())


def archives():
    golden = f"{HERE}/../golden/archives"
    for name in ("tree.tar.gz", "tree.tar.xz", "tree.zip", "text.txt.bz2", "text.txt.zst"):
        seed("archive", name, open(f"{golden}/{name}", "rb").read())
    seed("archive", "gnu.tar", open(f"{golden}/gnu.tar", "rb").read()[:4096])
    seed("pickle", "batch", open(f"{HERE}/../golden/cifar/data_batch_1", "rb").read())
    seed("pickle", "protocol4", pickle.dumps({"labels": [1, 2, 300, 70000, -1, None, True], "t": (1, 2), "x": "é"}, 4))
    seed("archive", "pax.tar", open(f"{golden}/pax.tar", "rb").read()[:6144])


def from_the_program(build):
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("a", "b"):
            os.makedirs(f"{folder}/pictures/{kind}")
            for i in range(2):
                picture("RGB", (5 + i, 4)).save(f"{folder}/pictures/{kind}/{i}.png")
        subprocess.run([f"{build}/gestalt", "pack", f"images:{folder}/pictures", f"{folder}/x.gestalt", "--size", "4"], check=True)
        seed("packed", "four", open(f"{folder}/x.gestalt", "rb").read())
        open(f"{folder}/text.txt", "w").write("some text that is short but says what it says\n" * 3)
        for tokenizer in ("character", "byte"):
            subprocess.run([f"{build}/gestalt", "tokenize", f"{folder}/text.txt", f"{folder}/{tokenizer}", "--tokenizer", tokenizer], check=True)
            for name in sorted(os.listdir(f"{folder}/{tokenizer}")):
                seed("token_file", f"{tokenizer}-{name}", open(f"{folder}/{tokenizer}/{name}", "rb").read())


if __name__ == "__main__":
    images(), safetensors(), records(), foreign(), small_sets(), texts(), archives(), from_the_program(sys.argv[1])
