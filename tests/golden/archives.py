#!/usr/bin/env python3
"""Writes tests/golden/archives: archives by Python's tarfile and zipfile, and where these say that entries lie; shards by
webdataset; a text as gzip, bzip2, xz and zstd write it.

    tests/golden/archives.py        needs NumPy, Pillow, webdataset and the program zstd
"""
import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import tarfile
import zipfile
import zlib

import numpy as np
import webdataset
from PIL import Image

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "archives")


def picture(shift, height=5, width=6):
    """The image of tests/golden/data.py, as PNG."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 37 + y * 91, x * 53 + y * 17 + 60, x * y * 5 + 120], -1) + shift
    out = io.BytesIO()
    Image.fromarray(rgb.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


TREE = {f"{split}{name}/{i:03}.png": picture(10 * i + c)
        for split in ("train/", "val/") for c, name in enumerate(("ant", "bée", "n" * 120)) for i in range(2)}
TREE["train/readme.txt"] = b"text"
SHARD = {}
for i in range(4):
    SHARD[f"{i:06}.png"] = picture(i)
    SHARD[f"{i:06}.cls"] = str((9, 10, 9, 2)[i]).encode()
SHARD["000003.json"] = b'{"caption": "no label"}'


def write_tar(name, files, mode, form):
    with tarfile.open(f"{OUT}/{name}", mode, format=form) as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with tarfile.open(f"{OUT}/{name}") as tar:
        return [{"name": e.name, "offset": e.offset_data if mode == "w" else -1, "size": e.size,
                 "crc": zlib.crc32(tar.extractfile(e).read())} for e in tar.getmembers() if e.isfile()]


def write_zip(name, files):
    with zipfile.ZipFile(f"{OUT}/{name}", "w") as archive:
        for i, (path, data) in enumerate(files.items()):
            archive.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED if i % 2 else zipfile.ZIP_STORED)
    return [{"name": path, "offset": -1, "size": len(data), "crc": zlib.crc32(data)} for path, data in files.items()]


def write_shards():
    """24 pictures of two classes, in the order of their folders."""
    samples = [(c, i) for c in range(2) for i in range(12)]
    for shard in range(2):
        with webdataset.TarWriter(f"{OUT}/webdataset-{shard}.tar", mtime=0) as writer:
            for n in range(12 * shard, 12 * shard + 12):
                c, i = samples[n]
                writer.write({"__key__": f"{n:06}", "png": picture(10 * i + c), "cls": c, "json": {"caption": f"number {i}"}})


def write_texts():
    text = b"To be, or not to be\n"
    for ending, data in (("gz", gzip.compress(text, mtime=0)), ("bz2", bz2.compress(text)), ("xz", lzma.compress(text)),
                         ("zst", subprocess.run(["zstd"], input=text, stdout=subprocess.PIPE, check=True).stdout)):
        with open(f"{OUT}/text.txt.{ending}", "wb") as file:
            file.write(data)


os.makedirs(OUT, exist_ok=True)
write_shards(), write_texts()
# As old programs of Windows wrote zip, and with what macOS lays beside files.
write_zip("windows.zip", {f"x\\{split}\\{name}\\{i}.png": picture(10 * i + c) for split in ("train", "val")
                          for c, name in enumerate(("ant", "bee", "__MACOSX")) for i in range(2)})
record = {
    "pax.tar": write_tar("pax.tar", TREE, "w", tarfile.PAX_FORMAT),
    "gnu.tar": write_tar("gnu.tar", TREE, "w", tarfile.GNU_FORMAT),
    "tree.tar.gz": write_tar("tree.tar.gz", TREE, "w:gz", tarfile.PAX_FORMAT),
    "tree.tar.xz": write_tar("tree.tar.xz", TREE, "w:xz", tarfile.GNU_FORMAT),
    "tree.zip": write_zip("tree.zip", TREE),
    "shard-000.tar": write_tar("shard-000.tar", SHARD, "w", tarfile.GNU_FORMAT),
}
with open(f"{OUT}/index.json", "w") as file:
    json.dump(record, file, indent=1)
