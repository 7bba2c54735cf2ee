#!/usr/bin/env python3
"""Trains every method for many steps on its tiny recipe, and measures what grows.

    tests/soak.py BUILD_DIR [--steps 50000] [--methods simclr,gpt] [--minutes 10] [--device cuda]

A row a method: steps, and from a third of them on, when what the first saves need is there, the growth of resident memory
by 1,000 steps (least squares), of file descriptors and of threads. Fails where memory grows by 1 KiB or more by 1,000 steps, or the others at all. --minutes ends
a method's run early; then the steps made are what counts. The steps are the smallest that each method takes, since what
leaks does so at any size: all methods' 50,000 take about an hour of one core.
"""
import argparse
import os
import re
import signal
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


def status(pid):
    text = open(f"/proc/{pid}/status").read()
    return (int(re.search(r"VmRSS:\s+(\d+)", text)[1]), len(os.listdir(f"/proc/{pid}/fd")), int(re.search(r"Threads:\s+(\d+)", text)[1]))


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
        child = subprocess.Popen(line, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log)
        points, end = [], time.monotonic() + 60 * options.minutes
        while child.poll() is None:
            time.sleep(0.5)
            try:
                points.append((steps_made(f"{folder}/run"), *status(child.pid)))
            except (OSError, TypeError):
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
        memory = 1000 * slope([(p[0], p[1]) for p in settled])
        files, threads = (max(p[i] for p in settled) - min(p[i] for p in settled) for i in (2, 3))
        grown = settled[-1][2] > settled[0][2] or settled[-1][3] > settled[0][3]
        good = memory < 1 and not grown
        return (f"{method:10} {last:7} steps  {settled[0][1] / 1024:6.1f} MiB, {memory:+7.3f} KiB by 1,000 steps  descriptors ±{files}  "
                f"threads ±{threads}  {'flat' if good else 'GROWS'}"), good


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
    for method in methods:
        text, good = soak(program, method, options)
        print(text, flush=True)
        bad += not good
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
