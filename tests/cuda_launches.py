#!/usr/bin/env python3
"""What the kernels are launched with: threads of a block and dynamic shared memory, which a listing of the compiler does
not know and tests/cuda_resources.py counts blocks a multiprocessor with.

usage: tests/cuda_launches.py PROGRAM RECORD [--launches tests/cuda_launches.csv] [--write]
RECORD is what GESTALT_EMULATOR_LAUNCHES=RECORD had PROGRAM write, tests on the emulated device, in any number of runs.
Fails on a kernel that had more than is noted; --write notes what there was, beside what was noted of other kernels.
"""
import argparse
import csv
import pathlib
import subprocess
import sys

from cuda_resources import beside, read_launches, short

COLUMNS = ["kernel", "threads", "dynamic_bytes"]


def names_of(program):
    """Kernels by where they lie in the program."""
    listing = subprocess.run(["nm", "--demangle", program], capture_output=True, text=True, check=True).stdout
    fields = (line.split(maxsplit=2) for line in listing.splitlines())
    return {int(f[0], 16): short(f[2]) for f in fields if len(f) == 3 and "_kernel" in f[2]}


def read_record(path, names):
    """Kernel to (threads, dynamic bytes), each the most that it had."""
    most = {}
    for line in pathlib.Path(path).read_text().splitlines():
        offset, threads, dynamic = line.split()
        name = names.get(int(offset, 16))
        if not name:
            sys.exit(f"cuda_launches: no kernel lies at {offset}; the record is of another build")
        before = most.get(name, (0, 0))
        most[name] = (max(before[0], int(threads)), max(before[1], int(dynamic)))
    return most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("record")
    parser.add_argument("--launches", default=beside("cuda_launches.csv"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    seen = read_record(options.record, names_of(options.program))
    noted = read_launches(options.launches) if pathlib.Path(options.launches).exists() else {}
    if options.write:
        noted |= seen
        with open(options.launches, "w", newline="") as f:
            writer = csv.writer(f, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows((name, *noted[name]) for name in sorted(noted))
    wrong = [f"{name} had {have[0]} threads and {have[1]} bytes of dynamic shared memory, noted are {noted[name]}"
             for name, have in sorted(seen.items()) if name in noted and (have[0] > noted[name][0] or have[1] > noted[name][1])]
    for line in wrong:
        print(f"fault: {line}", file=sys.stderr)
    print(f"{len(seen)} kernels launched, {len(seen.keys() - noted.keys())} not noted, {len(wrong)} faults")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
