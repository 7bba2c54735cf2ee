#!/usr/bin/env python3
"""Trains every method for many steps on its tiny recipe, and measures what grows.

    tests/soak.py BUILD_DIR [--steps 50000] [--methods simclr,gpt] [--minutes 10] [--device cuda]

A row a method: steps, and from a third of them on, when what the first saves need is there, the growth of memory in use,
blocks of the heap and mappings, and of resident memory by 1,000 steps (least squares over the least of each of twenty spans,
since a save takes some for a moment, with its standard error), of file descriptors and of threads. Fails where memory in use
grows by 1 KiB or more by 1,000 steps, or resident memory, which also has what lies between blocks, by 16, and by more than
twice the standard error; or the others at all. --minutes ends a method's run early; then the steps made are what counts. The
steps are the smallest that each method takes, since what leaks does so at any size: all methods' 50,000 take about an hour of
one core. Needs a C++ compiler for the library that is preloaded.
"""
import argparse
import collections
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "faults"))
import preload

# What makes a step of the tiny recipe smaller still.
SMALL = {"data": "shapes:48", "batch": "4", "dtype": "f32"}
OWN = {
    "gpt": {"data": None},
    "dino": {"data": "shapes:48:16", "local-views": "0"},
    "ibot": {"data": "shapes:48:16", "local-views": "0"},
    "ijepa": {"data": "shapes:48:16"},
    "mae": {"data": "shapes:48:16"},
    "swav": {"prototypes": "3"},
    "deepcluster": {"clusters": "3"},
    "deepclusterv2": {"clusters": "3"},
    "wmse": {"whiten-rows": "4", "head-out": "2"},
}

Sample = collections.namedtuple("Sample", "steps in_use resident files threads")  # memory in KiB


def sample(pid, folder):
    text = open(f"/proc/{pid}/status").read()
    return Sample(steps_made(f"{folder}/run"), struct.unpack("q", open(f"{folder}/in_use", "rb").read())[0] / 1024,
                  int(re.search(r"VmRSS:\s+(\d+)", text)[1]), len(os.listdir(f"/proc/{pid}/fd")),
                  int(re.search(r"Threads:\s+(\d+)", text)[1]))


def steps_made(folder):
    try:
        with open(f"{folder}/timing.csv") as table:
            return int(float(table.read().rstrip("\n").rsplit("\n", 1)[-1].split(",")[0]))
    except (OSError, ValueError):
        return 0


def slope(points):
    """Of y by x, by least squares, and its standard error."""
    n = len(points)
    x, y = (sum(p[i] for p in points) / n for i in (0, 1))
    square = sum((p[0] - x) ** 2 for p in points)
    if n < 3 or not square:
        return 0.0, 0.0
    by = sum((p[0] - x) * (p[1] - y) for p in points) / square
    rest = sum((p[1] - y - by * (p[0] - x)) ** 2 for p in points)
    return by, (rest / (n - 2) / square) ** 0.5


def soak(program, method, options):
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w") as log:
        flags = SMALL | OWN.get(method, {}) | {"steps": str(options.steps), "checkpoint-minutes": "0.1", "device": options.device, "out": f"{folder}/run"}
        line = [program, "pretrain", method, "--preset", "tiny", *(f"--{name}={value}" for name, value in flags.items() if value)]
        with open(f"{folder}/in_use", "wb") as file:
            file.write(bytes(8))
        counting = {"LD_PRELOAD": options.library, "MEMORY_COUNT": f"{folder}/in_use", "OMP_NUM_THREADS": "1"}
        child = subprocess.Popen(line, env={**os.environ, **counting}, stdout=log, stderr=log)
        points, end = [], time.monotonic() + 60 * options.minutes
        while child.poll() is None:
            time.sleep(0.5)
            try:
                points.append(sample(child.pid, folder))
            except (OSError, TypeError):
                break
            if time.monotonic() > end:
                child.send_signal(signal.SIGINT)
                end = float("inf")
        code = child.wait()
        last = steps_made(f"{folder}/run")
        if code not in (0, 130):
            return f"{method}: status {code}: {open(f'{folder}/log').read()[-300:]}", False
        settled = [p for p in points if p.steps > last / 3][:-1]
        if len(settled) < 10:
            return f"{method}: {last} steps are too few to judge by", False
        spans = {}
        for point in settled:
            spans.setdefault(20 * (point.steps - settled[0].steps) // (last - settled[0].steps + 1), []).append(point)

        def growth(column):
            least = (min(span, key=lambda p: getattr(p, column)) for span in spans.values())
            return [1000 * v for v in slope([(p.steps, getattr(p, column)) for p in least])]

        def spread(column):
            values = [getattr(p, column) for p in settled]
            return max(values) - min(values)

        def grows(column):  # for good: a save has a file open for a moment
            half = len(settled) // 2
            return min(getattr(p, column) for p in settled[half:]) > min(getattr(p, column) for p in settled[:half])

        first = settled[0]
        (in_use, error), (resident, unsure) = growth("in_use"), growth("resident")
        good = in_use < max(1, 2 * error) and resident < max(16, 2 * unsure) and not grows("files") and not grows("threads")
        return (f"{method:10} {last:7} steps  in use {first.in_use / 1024:6.1f} MiB {in_use:+7.3f} ± {error:.3f} KiB by 1,000 "
                f"steps, resident {first.resident / 1024:6.1f} MiB {resident:+7.3f} ± {unsure:.3f}  descriptors ±{spread('files')}  threads ±{spread('threads')}  "
                f"{'flat' if good else 'GROWS'}"), good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--steps", type=int, default=50000)
    parser.add_argument("--methods")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    program = os.path.abspath(f"{options.build}/gestalt")
    listed = subprocess.run([program, "list", "methods"], capture_output=True, text=True, check=True).stdout
    methods = options.methods.split(",") if options.methods else re.findall(r"^([a-z0-9]+) {2,}", listed, re.M)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        options.library = preload.build("count_memory", folder)
        for method in methods:
            text, good = soak(program, method, options)
            print(text, flush=True)
            bad += not good
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
