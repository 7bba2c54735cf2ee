#!/usr/bin/env python3
"""Lets each call of a run to the file system fail once, and asks what is left.

    tests/faults/run.py BUILD_DIR [--every N] [--works pack,embed]

A short training, a pack, a tokenization, and of a trained run an embedding, exports, tables, sheets and a report are made
whole first, which also counts their calls: open, write (half of it is written), fsync, rename, link, unlink, mkdir,
ftruncate, mmap. Then call 1, 2, … fails with ENOSPC or EIO in turn; --every N tries each N-th and the last two, which give
the last file its name. What must hold at each point: the program ends with status 0, 1 or 4; with 1 or 4 it names the
system's reason of that very call; and the same command, or `--resume` where a run stands, then ends with the same bytes
as the whole. Needs a C++ compiler for the library that is preloaded.
"""
import argparse
import errno
import os
import shutil
import subprocess
import sys
import tempfile

import preload

REASONS = {errno.ENOSPC: "No space left on device", errno.EIO: "Input/output error"}


class Work:
    """A command whose outcome lies below `out`; `results` are the files that must be the same in the end."""

    def __init__(self, name, arguments, results, resume=None):
        self.name, self.arguments, self.results, self.resume = name, arguments, results, resume

    def run(self, program, arguments, out, fail=None, count=None):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if fail or count:
            environment |= {"LD_PRELOAD": self.library, "FAIL_BELOW": out, "FAIL_CALL": str(fail[0] if fail else 0),
                            "FAIL_ERRNO": str(fail[1] if fail else 0)}
        if count:
            environment["FAIL_COUNT"] = count
        line = [program] + [a.replace("OUT", out) for a in arguments]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, errors="replace")
        return done.returncode, done.stdout + done.stderr

    def outcome(self, out):
        return [open(f"{out}/{name}", "rb").read() for name in self.results]


def works(program, folder):
    training = ["pretrain", "simclr", "--preset", "tiny", "--data", "shapes:64", "--steps", "8", "--batch", "16", "--probe-every", "1",
                "--checkpoint-minutes", "0", "--keep", "2", "--dtype", "f32", "--out", "OUT/run"]
    with open(f"{folder}/text.txt", "w") as text:
        text.write("some text that says what it says, again and again\n" * 400)
    trained, data = f"{folder}/trained", ["--data", "shapes:64"]
    subprocess.run([program, *[a.replace("OUT/run", trained) for a in training]], check=True, capture_output=True)
    return [
        Work("training", training, ["run/encoder.safetensors", "run/metrics.csv", "run/metrics.jsonl"], ["pretrain", "simclr", "--resume", "OUT/run"]),
        Work("pack", ["pack", "shapes:64", "OUT/x.packed"], ["x.packed"]),
        Work("tokenize", ["tokenize", f"{folder}/text.txt", "OUT/tokens"], ["tokens/train.tokens", "tokens/val.tokens"]),
        Work("embed", ["embed", trained, *data, "--out", "OUT/e.npy"], ["e.npy", "e.files.csv"]),
        Work("export", ["export", trained, "--out", "OUT/hub", "--onnx", "OUT/e.onnx", "--overwrite"], ["hub/model.safetensors", "hub/config.json", "e.onnx"]),
        Work("look", ["look", trained, *data, "--out", "OUT/look"], ["look/neighbours.csv", "look/neighbours.png"]),
        Work("report", ["report", trained, "--out", "OUT/report.html"], []),
    ]


def problem(work, program, folder, whole, call, error):
    """What is wrong after the failure of that call, or nothing."""
    out = f"{folder}/{work.name}-{call}"
    os.mkdir(out)
    try:
        status, text = work.run(program, work.arguments, out, fail=(call, error))
        if status not in (0, 1, 4):
            return f"status {status}: {text[-300:]}"
        if status and REASONS[error] not in text:
            return f"another reason is given: {text[-300:]}"
        stands = os.path.exists(f"{out}/run/checkpoint.safetensors") or os.path.exists(f"{out}/run/checkpoint.previous.safetensors")
        again = work.resume if work.resume and stands else work.arguments
        if status or again is work.resume:
            status, text = work.run(program, again, out)
            if status:
                return f"cannot go on by {again[0:3]}: {text[-300:]}"
        if work.outcome(out) != whole:
            return "the outcome differs"
        left = [name for _, _, names in os.walk(out) for name in names if ".part-" in name]
        return f"left behind: {left}" if left else None
    finally:
        shutil.rmtree(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--works", help="names of those to try; all of them otherwise")
    options = parser.parse_args()
    program, bad = os.path.abspath(f"{options.build}/gestalt"), 0
    with tempfile.TemporaryDirectory() as folder:
        Work.library = preload.build("fail_call", folder)
        for work in works(program, folder):
            if options.works and work.name not in options.works.split(","):
                continue
            out = f"{folder}/{work.name}"
            os.mkdir(out)
            status, text = work.run(program, work.arguments, out, count=f"{folder}/count")
            if status:
                sys.exit(f"{work.name}: {text}")
            whole, calls = work.outcome(out), int(open(f"{folder}/count").read())
            tried = sorted({*range(1, calls + 1, options.every), *range(max(1, calls - 1), calls + 1)})
            for call in tried:
                said = problem(work, program, folder, whole, call, list(REASONS)[call % 2])
                if said:
                    bad += 1
                    print(f"{work.name}, call {call}: {said}", flush=True)
            print(f"{work.name}: {calls} calls, {len(tried)} of them failed in turn", flush=True)
    print(f"{bad} points went wrong")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
