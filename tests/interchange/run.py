#!/usr/bin/env python3
"""Weights, features, data and records, in and out, with the libraries that they come from and go to.

    tests/interchange/run.py build/gestalt [PART…] [--photos DIR] [--bpe DIR] [--only NAME]

    pip install torch torchvision timm transformers onnx onnxruntime safetensors scikit-learn faiss-cpu webdataset \\
        tensorboard wandb                          # from PyPI; nothing else is fetched

A part is a file check_PART.py, which says what it compares. --photos names photographs to put through exported folders'
own processors, --bpe GPT-2's encoder.json and vocab.bpe.
"""
import argparse
import importlib
import pathlib
import sys
import tempfile

from common import Gestalt, Trained, failures

PARTS = sorted(path.stem.removeprefix("check_") for path in pathlib.Path(__file__).parent.glob("check_*.py"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("parts", nargs="*", metavar="PART", help="of " + ", ".join(PARTS) + "; all where none is named")
    parser.add_argument("--photos")
    parser.add_argument("--bpe")
    parser.add_argument("--only", default="", help="of the encoders of onnx and folders, those with this in their name")
    given = parser.parse_args()
    parts = given.parts or PARTS
    if not set(parts) <= set(PARTS):
        parser.error(f"got {' '.join(parts)}, expected some of {' '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as work:
        gestalt = Gestalt(given.program, work)
        trained = Trained(gestalt, given.only)
        for part in parts:
            importlib.import_module(f"check_{part}").check(gestalt, trained, given)
    print(f"{len(failures)} failed" + "".join(f"\n  {f}" for f in failures))
    sys.exit(1 if failures else 0)


main()
