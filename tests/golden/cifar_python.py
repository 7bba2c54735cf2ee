#!/usr/bin/env python3
"""Writes tests/golden/cifar: small sets in CIFAR's form for Python, as Python 2 pickled them, checked by Python's unpickler.

    tests/golden/cifar_python.py        needs NumPy
"""
import io
import os
import pickle
import struct
import tarfile

import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cifar")
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()


class Pickler2(pickle._Pickler):
    """Strings and bytes as Python 2's protocol 2 writes them, and NumPy's module by its name of then."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, text):
        data = text.encode() if isinstance(text, str) else text
        self.write(b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_string


def pickled(value):
    out = io.BytesIO()
    Pickler2(out, 2).dump(value)
    data = out.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    back = pickle.loads(data, encoding="latin1")
    for key in value:
        assert np.array_equal(back[key], value[key]), key
    return data


def rows(count, blue):
    """Red is x, green y and blue what is given, as in the test's binary records."""
    y, x = np.mgrid[:32, :32]
    return np.stack([np.concatenate([x.ravel(), y.ravel(), np.full(1024, blue)]) for _ in range(count)]).astype(np.uint8)


def write(name, files):
    with tarfile.open(f"{OUT}/{name}", "w:xz") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


os.makedirs(OUT, exist_ok=True)
ten = {f"cifar-10-batches-py/data_batch_{b}": pickled({"batch_label": f"training batch {b} of 5", "labels": [3, 4], "data": rows(2, b),
                                                      "filenames": ["a.png", "b.png"]}) for b in range(1, 6)}
ten["cifar-10-batches-py/test_batch"] = pickled({"batch_label": "testing batch 1 of 1", "labels": [7, 8, 9],
                                                 "data": np.asfortranarray(rows(3, 9)), "filenames": ["c.png"] * 3})
ten["cifar-10-batches-py/batches.meta"] = pickled({"num_cases_per_batch": 2, "label_names": CLASSES, "num_vis": 3072})
write("cifar-10-python.tar.xz", ten)
hundred = {"cifar-100-python/train": pickled({"filenames": ["a", "b"], "fine_labels": [90, 91], "coarse_labels": [4, 5], "data": rows(2, 1)}),
           "cifar-100-python/meta": pickled({"fine_label_names": [f"class{i}" for i in range(100)], "coarse_label_names": ["x"] * 20})}
write("cifar-100-python.tar.xz", hundred)
with open(f"{OUT}/protocol4", "wb") as file:  # as someone pickled it again
    file.write(pickle.dumps(pickle.loads(ten["cifar-10-batches-py/data_batch_1"], encoding="latin1"), 4))
with open(f"{OUT}/data_batch_1", "wb") as file:
    file.write(ten["cifar-10-batches-py/data_batch_1"])
