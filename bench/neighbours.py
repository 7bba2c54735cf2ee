#!/usr/bin/env python3
"""How long a training step takes while other processes want the cores: Gestalt, and PyTorch's eager mode beside it.

Each case takes rounds quiet, beside a process that computes without end, and beside one that does so at the lowest
priority (nice 19), all with as many threads as there are cores. Where the system shares n cores fairly among n threads
and one busy process, a step takes (n + 1) / n of its quiet time at least: 1.5 on two cores.

usage: bench/neighbours.py [--case gpt-4x128,mae,simclr] [--dtype f32|bf16] [--rounds 3] [--seconds 3]

Needs torch (pip install torch) and build/gestalt_bench.
"""
import argparse
import os
import shlex
import statistics
import subprocess
import sys

from compare import CASES, Failed, Program, figure, start_programs

STATES = {"quiet": None, "one busy process": 0, "one at nice 19": 19}
HEADS = ["case", "program"] + [head for state in STATES for head in ([state] if state == "quiet" else [state, "× quiet"])]


class Neighbour:
    """A process that computes without end, or none."""

    def __init__(self, nice):
        self.process = None
        if nice is not None:
            self.process = subprocess.Popen([sys.executable, "-c", f"import os\nos.nice({nice})\nwhile True: pass"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()


def measure(program, nice, options):
    """Medians of rounds, in milliseconds."""
    with Neighbour(nice):
        return [statistics.median(program.round(options.seconds)["ms"]) for _ in range(options.rounds)]


def rows(case, options):
    """A row a program, states in turn for one and then the other, so that neither is the other's neighbour."""
    for name in ("gestalt", "eager"):
        programs = {key: p for key, p in start_programs(case, options.dtype, options).items() if isinstance(p, Program)}
        if name not in programs:
            raise Failed(f"{name} did not start")
        try:
            for other in programs.keys() - {name}:
                programs[other].close()
            times = {state: measure(programs[name], nice, options) for state, nice in STATES.items()}
        finally:
            programs[name].close()
        row, quiet = [case.work, "Gestalt" if name == "gestalt" else "PyTorch"], statistics.median(times["quiet"])
        for state, ms in times.items():
            row.append(f"{figure(statistics.median(ms))} ({figure(min(ms))}–{figure(max(ms))})")
            if state != "quiet":
                row.append(f"**{statistics.median(ms) / quiet:.2f}**")
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="gpt-4x128,mae,simclr", help="names of compare.py's cases, separated by commas")
    parser.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--rounds", type=int, default=3, help="in each state [3]")
    parser.add_argument("--seconds", type=float, default=3, help="of a round, at least two steps [3]")
    parser.add_argument("--build", default="build", help="folder of gestalt_bench [build]")
    parser.add_argument("--python", default=sys.executable, help="that has torch")
    options = parser.parse_args()
    # What start_programs() reads besides.
    options.device, options.threads, options.quick, options.compile = "cpu", 0, False, False
    print(f"`{shlex.join(sys.argv)}`: milliseconds a step, medians of {options.rounds} rounds (lowest and highest), on "
          f"{len(os.sched_getaffinity(0))} cores.\n")
    print("| " + " | ".join(HEADS) + " |\n|" + " --- |" * len(HEADS), flush=True)
    for name in options.case.split(","):
        case = next((c for c in CASES if c.name == name), None)
        if case is None:
            sys.exit(f"neighbours: there is no case '{name}'; there are {', '.join(c.name for c in CASES)}")
        try:
            for row in rows(case, options):
                print("| " + " | ".join(row) + " |", flush=True)
        except Failed as why:
            sys.exit(f"neighbours: {name}: {why}")


if __name__ == "__main__":
    main()
