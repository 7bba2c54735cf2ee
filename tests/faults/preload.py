"""Compiles the libraries of this folder that are preloaded into a program."""
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def build(name, folder):
    """The path of NAME.cpp's library, which is made in `folder`. Needs a C++ compiler."""
    library = f"{folder}/{name}.so"
    subprocess.run(["c++", "-std=c++20", "-O1", "-fno-builtin", "-shared", "-fPIC", f"{HERE}/{name}.cpp", "-o", library, "-ldl"], check=True)
    return library
