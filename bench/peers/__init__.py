"""The PyTorch side of bench/compare.py: the workloads of `gestalt_bench list`, one file a case, found by name.

The file NAME.py is the case NAME: its case(options) builds the workload and returns a Case, whose step() is timed.
Shares no code with Gestalt.
"""
import importlib
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def names():
    """All cases; imports none of them, and no torch."""
    return sorted(file[:-3] for file in os.listdir(HERE) if file.endswith(".py") and not file.startswith("_"))


def load(name):
    """The case's module."""
    return importlib.import_module(f"{__name__}.{name}")


def command(python, name, *flags):
    """The command line that runs a case and serves rounds of it."""
    return [python, HERE, name, *flags, "--serve"]
