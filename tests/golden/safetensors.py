"""Records tests/golden/python.safetensors with Python's safetensors library; with a path, reads that file with it.

    python tests/golden/safetensors.py            # record
    python tests/golden/safetensors.py FILE       # print what Python's library sees in FILE
"""
import os
import sys

sys.path.pop(0)  # this script has the library's name
import torch
from safetensors import safe_open
from safetensors.torch import save_file

here = os.path.dirname(os.path.abspath(__file__))


def record():
    tensors = {
        "count": torch.tensor(7, dtype=torch.int64),
        "wide": torch.tensor([1 / 3, -2.5e300], dtype=torch.float64),
        "layer.weight": torch.tensor([[1.5, -2.25, 0.1], [3e38, 1e-40, -0.0]], dtype=torch.float32),
        "labels": torch.tensor([-1, 2147483647], dtype=torch.int32),
        "half": torch.tensor([1.0, -0.333, 65280.0], dtype=torch.bfloat16),
        "image": torch.tensor([[[0, 127, 255]]], dtype=torch.uint8),
        "nothing": torch.zeros((0, 4), dtype=torch.uint8),
    }
    save_file(tensors, os.path.join(here, "python.safetensors"), metadata={"format": "pt"})


def show(path):
    with safe_open(path, "pt") as file:
        print(file.metadata())
        for name in file.keys():
            tensor = file.get_tensor(name)
            print(name, tensor.dtype, tuple(tensor.shape), tensor.flatten()[:4].tolist())


show(sys.argv[1]) if len(sys.argv) > 1 else record()
