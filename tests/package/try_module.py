#!/usr/bin/env python3
"""Uses the Python package as its documentation says, in the Python that it is installed in."""

import os
import sys
import tempfile
from pathlib import Path

import gestalt_ssl
import numpy as np
from gestalt_ssl import GestaltError, embed, pack, pretrain

TINY = dict(preset="tiny", data="shapes:256", threads=1, no_html=True)


def raised(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def try_pretrain():
    seen = []
    whole = pretrain("simclr", out="whole", epochs=30, callback=seen.append, **TINY)
    assert not whole.stopped and "trained 240 steps" in whole.text, whole.text
    assert seen == whole.rows and seen[-1]["step"] == 240 and seen[0]["loss"] > 0, seen
    assert "knn_percent" in seen[-1] and all(isinstance(row["step"], int) for row in seen)
    assert (whole.folder / "encoder.safetensors").exists()

    rows = []
    half = pretrain("simclr", out="half", epochs=30, callback=lambda row: rows.append(row) or len(rows) < 2, **TINY)
    assert half.stopped and len(rows) == 2 and not (half.folder / "encoder.safetensors").exists()
    there = half.rows[-1]["step"]
    later = []
    rest = pretrain(resume=half.folder, no_html=True, callback=later.append)
    assert not rest.stopped and later == [row for row in rest.rows if row["step"] > there]
    assert (half.folder / "metrics.csv").read_bytes() == (whole.folder / "metrics.csv").read_bytes()

    def refuse(row):
        raise KeyError("of the callback")

    raised(KeyError, lambda: pretrain("simclr", out="refused", epochs=3000, callback=refuse, **TINY))
    assert Path("refused/checkpoint.safetensors").exists()

    error = raised(GestaltError, lambda: pretrain("simclr", bacth=3))
    assert error.status == 2 and "did you mean '--batch'?" in str(error), error
    error = raised(GestaltError, lambda: pretrain("simclr", out="nowhere", data=f"images:{os.getcwd()}/none"))
    assert error.status == 1 and "none" in str(error) and not str(error).startswith("gestalt:"), error
    assert not Path("nowhere").exists()
    return whole


def try_pack():
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (21, 33, 35, 3), np.uint8)  # rows that are padded in a bitmap
    assert pack(((image, i % 3) for i, image in enumerate(images)), "numbers.packed") == "packed:numbers.packed"
    content = Path("numbers.packed").read_bytes()
    assert content[-images.nbytes:] == images.tobytes()
    assert b"\x01\0\0\0" b"0\x01\0\0\0" b"1\x01\0\0\0" b"2" in content  # names of classes, with their lengths
    assert np.frombuffer(content[56 + 15:], "<i4", 21).tolist() == [i % 3 for i in range(21)]

    grey = random.integers(0, 256, (5, 16, 16), np.uint8)
    pack(grey, "grey.packed")
    assert Path("grey.packed").read_bytes()[-5 * 16 * 16 * 3:] == np.repeat(grey[..., None], 3, 3).tobytes()
    pack([np.zeros((40, 30, 3), np.uint8), np.zeros((50, 60, 3), np.uint8)], "resized.packed", size=16)
    assert Path("resized.packed").stat().st_size == 64 + 2 * 16 * 16 * 3
    try:
        from PIL import Image
    except ImportError:
        print("without Pillow")
    else:
        pack([(Image.fromarray(image), "name") for image in images], "pil.packed")
        assert Path("pil.packed").read_bytes()[-images.nbytes:] == images.tobytes()

    assert "expected one size" in str(raised(GestaltError, lambda: pack([grey[0], images[0]], "mixed.packed")))
    assert "exists" in str(raised(GestaltError, lambda: pack(grey, "grey.packed")))
    pack(grey[:2], "grey.packed", overwrite=True)
    assert "float64" in str(raised(ValueError, lambda: pack(np.zeros((2, 8, 8, 3)), "float.packed")))
    assert "no label" in str(raised(ValueError, lambda: pack([(grey[0], 1), grey[1]], "partly.packed")))
    assert not [name for name in os.listdir() if name.startswith(".")], os.listdir()
    return images


def try_embed(run, images):
    features = embed(run, "packed:numbers.packed", threads=1)
    assert features.dtype == np.float32 and features.shape[0] == 21 and features.std() > 0
    assert np.array_equal(features, embed(run.folder, images, threads=1))
    assert np.array_equal(features, embed(run.folder / "encoder.safetensors", "packed:numbers.packed", out="e.npy", threads=1))
    assert Path("e.files.csv").read_text().count("\n") == 22
    assert np.array_equal(features, np.load("e.npy"))
    assert "numbers.pakced" in str(raised(GestaltError, lambda: embed(run, "packed:numbers.pakced")))


with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    run = try_pretrain()
    try_embed(run, try_pack())
    os.chdir("/")
print(f"gestalt_ssl in Python {sys.version.split()[0]}: pretrain, pack and embed, with {gestalt_ssl.program()}")
