#!/usr/bin/env python3
"""Trains every method for many steps on its tiny recipe, and measures what grows.

    tests/soak.py BUILD_DIR [--steps 50000] [--methods simclr,gpt] [--minutes 10] [--device cuda]

A row a method: steps, and from a third of them on, when what the first saves need is there, the growth of the heap in use
and of resident memory by 1,000 steps (least squares over the least of each of twenty spans, since a save takes some for a
moment), of file descriptors and of threads. Fails where the heap grows by 1 KiB or more by 1,000 steps, resident memory,
which also has what lies between blocks, by 16, or the others at all. --minutes ends a method's run early; then the steps
made are what counts. The steps are the smallest that each method takes, since what leaks does so at any size: all methods'
50,000 take about an hour of one core. Needs a C++ compiler for the library that is preloaded.
"""
import argparse
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

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

HERE = os.path.dirname(os.path.abspath(__file__))


def status(pid, heap):
    """KiB of the heap in use and of resident memory, file descriptors, threads."""
    text = open(f"/proc/{pid}/status").read()
    in_use = struct.unpack("q", open(heap, "rb").read(8))[0]
    return (in_use / 1024, int(re.search(r"VmRSS:\s+(\d+)", text)[1]), len(os.listdir(f"/proc/{pid}/fd")),
            int(re.search(r"Threads:\s+(\d+)", text)[1]))


def steps_made(folder):
    try:
        with open(f"{folder}/timing.csv") as table:
            return int(float(table.read().rstrip("\n").rsplit("\n", 1)[-1].split(",")[0]))
    except (OSError, ValueError):
        return 0


def slope(points):
    """Of y by x, by least squares."""
    n = len(points)
    x, y = (sum(p[i] for p in points) / n for i in (0, 1))
    square = sum((p[0] - x) ** 2 for p in points)
    return sum((p[0] - x) * (p[1] - y) for p in points) / square if square else 0.0


def soak(program, method, options):
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w") as log:
        flags = SMALL | OWN.get(method, {}) | {"steps": str(options.steps), "checkpoint-minutes": "0.1", "device": options.device, "out": f"{folder}/run"}
        line = [program, "pretrain", method, "--preset", "tiny", *(f"--{name}={value}" for name, value in flags.items() if value)]
        counting = {"LD_PRELOAD": options.library, "HEAP_COUNT": f"{folder}/heap", "OMP_NUM_THREADS": "1"}
        child = subprocess.Popen(line, env={**os.environ, **counting}, stdout=log, stderr=log)
        points, end = [], time.monotonic() + 60 * options.minutes
        while child.poll() is None:
            time.sleep(0.5)
            try:
                points.append((steps_made(f"{folder}/run"), *status(child.pid, f"{folder}/heap")))
            except (OSError, TypeError, struct.error):
                break
            if time.monotonic() > end:
                child.send_signal(signal.SIGINT)
                end = float("inf")
        code = child.wait()
        last = steps_made(f"{folder}/run")
        if code not in (0, 130):
            return f"{method}: status {code}: {open(f'{folder}/log').read()[-300:]}", False
        settled = [p for p in points if p[0] > last / 3][:-1]
        if len(settled) < 10:
            return f"{method}: {last} steps are too few to judge by", False
        spans = {}
        for point in settled:
            spans.setdefault(20 * (point[0] - settled[0][0]) // (last - settled[0][0] + 1), []).append(point)
        heap, memory = (1000 * slope([min((p[0], p[i]) for p in span if p[i] == min(q[i] for q in span)) for span in spans.values()])
                        for i in (1, 2))
        files, threads = (max(p[i] for p in settled) - min(p[i] for p in settled) for i in (3, 4))
        grown = settled[-1][3] > settled[0][3] or settled[-1][4] > settled[0][4]
        good = heap < 1 and memory < 16 and not grown
        return (f"{method:10} {last:7} steps  heap {settled[0][1] / 1024:6.1f} MiB {heap:+7.3f} KiB by 1,000 steps, resident "
                f"{settled[0][2] / 1024:6.1f} MiB {memory:+7.3f}  descriptors ±{files}  threads ±{threads}  {'flat' if good else 'GROWS'}"), good


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
        options.library = f"{folder}/count_heap.so"
        subprocess.run(["c++", "-std=c++20", "-O1", "-fno-builtin", "-shared", "-fPIC", f"{HERE}/faults/count_heap.cpp", "-o", options.library],
                       check=True)
        for method in methods:
            text, good = soak(program, method, options)
            print(text, flush=True)
            bad += not good
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
