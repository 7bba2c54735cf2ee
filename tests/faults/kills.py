#!/usr/bin/env python3
"""Kills runs at random moments, goes on with them, and compares each with one that was left alone.

    tests/faults/kills.py BUILD_DIR [--kills 12] [--signal KILL|TERM|both] [--methods simclr,gan,gpt] [--device cpu] [--seed 1]

Moments are even over a run from the start of the program to its end. What must hold: after SIGTERM the program ends of
itself with 128 + 15, or with 0 where it was done; after either, `--resume` goes on where a checkpoint stands, and the same command where
none does; and a run that came to its end has the weights, the best weights, metrics.csv and results of the whole, byte for
byte. A row a method.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

FLAGS = {"gpt": ["--preset", "tiny", "--steps", "24"], "gan": ["--preset", "tiny", "--data", "shapes:128", "--steps", "16"]}
IMAGES = ["--preset", "tiny", "--data", "shapes:256", "--steps", "24"]
SAME = ["encoder.safetensors", "gpt2/model.safetensors", "metrics.csv", "metrics.jsonl", "results.jsonl",
        "best/best.json", "best/encoder.safetensors", "best/gpt2/model.safetensors"]
COMMON = ["--checkpoint-minutes", "0", "--probe-every", "1", "--keep-best", "probe", "--dtype", "f32"]


class Runs:
    def __init__(self, program, method, device, folder):
        self.program, self.folder = program, folder
        self.line = ["pretrain", method, *FLAGS.get(method, IMAGES), *COMMON, "--device", device, "--out"]

    def start(self, arguments):
        return subprocess.Popen([self.program, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace")

    def whole(self):
        out, begin = f"{self.folder}/whole", time.monotonic()
        child = self.start([*self.line, out])
        text = child.communicate()[0]
        if child.returncode:
            sys.exit(f"{' '.join(self.line)}: status {child.returncode}\n{text[-2000:]}")
        self.seconds = time.monotonic() - begin
        self.files = {name: open(f"{out}/{name}", "rb").read() for name in SAME if os.path.exists(f"{out}/{name}")}

    def next_command(self, out):
        stands = any(os.path.exists(f"{out}/checkpoint{part}.safetensors") for part in ("", ".previous"))
        return ["pretrain", self.line[1], "--resume", out] if stands else [*self.line, out]

    def one(self, index, signals, kills, draw):
        """Kills and goes on until the run ends of itself or no kill is left; how often it was killed, and what went wrong."""
        out, killed = f"{self.folder}/{index}", 0
        while True:
            command = self.next_command(out)
            child, how = self.start(command), draw.choice(signals)
            text = None
            if killed < kills:
                try:
                    text = child.communicate(timeout=draw.uniform(0, 1.05 * self.seconds))[0]
                except subprocess.TimeoutExpired:
                    child.send_signal(how)
                    killed += 1
            text = child.communicate()[0] if text is None else text
            if child.returncode == 0:
                break
            if child.returncode == -signal.SIGKILL or (child.returncode in (128 + signal.SIGTERM, -signal.SIGTERM) and how == signal.SIGTERM):
                continue
            return killed, f"{' '.join(command)}: status {child.returncode} after {killed} kills: {text[-600:]}"
        different = [name for name, whole in self.files.items() if not os.path.exists(f"{out}/{name}") or open(f"{out}/{name}", "rb").read() != whole]
        left = [name for _, _, names in os.walk(out) for name in names if ".part-" in name]
        shutil.rmtree(out)
        return killed, f"differs after {killed} kills: {different}" if different else f"left behind: {left}" if left else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--signal", choices=["KILL", "TERM", "both"], default="both")
    parser.add_argument("--methods", default="simclr,gan,gpt")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signals = {"KILL": [signal.SIGKILL], "TERM": [signal.SIGTERM], "both": [signal.SIGKILL, signal.SIGTERM]}[options.signal]
    draw, bad, methods = random.Random(options.seed), 0, options.methods.split(",")
    for method in methods:
        with tempfile.TemporaryDirectory() as folder:
            runs, killed, ended, goal = Runs(os.path.abspath(f"{options.build}/gestalt"), method, options.device, folder), 0, 0, options.kills // len(methods)
            runs.whole()
            while killed < goal:
                more, wrong = runs.one(ended, signals, goal - killed, draw)
                killed, ended = killed + more, ended + 1
                if wrong:
                    bad += 1
                    print(f"{method}: {wrong}", flush=True)
            print(f"{method}: {killed} kills in {ended} runs, each of {runs.seconds:.1f} s; {', '.join(runs.files)} the same",
                  flush=True)
    print(f"{bad} runs went wrong")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
