#!/usr/bin/env python3
"""Two builds of Gestalt beside each other on this machine: the same steps, in alternation in one run.

Both programs are started for a case, warm up, and then take rounds in turn, each first in every other one, so that a
slow minute of the machine meets both; the ratio, new over old, is the median over the rounds. Beside it stands the ratio
of processor time a step, which other programs on the machine disturb less: with --threads 1, where no thread waits for
another, it holds on a busy machine too. The cases are workloads of `gestalt_bench list` that both builds have.

usage: bench/versions.py OLD_BUILD NEW_BUILD [--case simclr,mae,gpt-4x128] [--dtype f32|bf16] [--rounds 7] [--seconds 2]
                                             [--threads 1]
"""
import argparse
import os
import shlex
import statistics
import sys

from compare import Failed, Program, figure

HEADS = ["case", "dtype", "old ms", "new ms", "new / old", "by round", "of processor time", "by round", "load"]


def processor_ms(program):
    """What the process has used so far, on all cores."""
    with open(f"/proc/{program.process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")


def round_of(program, options):
    """Milliseconds a step: the median, and the mean of processor time."""
    before = processor_ms(program)
    ms = program.round(options.seconds)["ms"]
    return statistics.median(ms), (processor_ms(program) - before) / len(ms)


def measure(builds, case, dtype, options):
    """What round_of() gives for each round, [old, new]."""
    flags = ["--dtype", dtype, "--device", options.device, "--threads", str(options.threads), "--least", "3", "--warmup", "4"]
    if options.feed:
        flags.append("--feed")
    rounds, programs = [[], []], []
    try:
        for build in builds:
            programs.append(Program([f"{build}/gestalt_bench", "run", case, *flags, "--serve"], 300))
        sizes = [{key: p.ready[key] for key in ("parameters", "batch", "size")} for p in programs]
        if sizes[0] != sizes[1]:
            raise Failed(f"the two do different work: {sizes[0]} and {sizes[1]}")
        for turn in range(options.rounds):
            for which in (0, 1) if turn % 2 == 0 else (1, 0):
                rounds[which].append(round_of(programs[which], options))
    finally:
        for program in programs:
            program.close()
    return rounds


def cells(case, dtype, old, new, loads):
    times = [[ms for ms, _ in rounds] for rounds in (old, new)]
    row = [case, dtype, *(f"{figure(statistics.median(t))} ({figure(min(t))}–{figure(max(t))})" for t in times)]
    for which in (0, 1):
        ratios = [b[which] / a[which] for a, b in zip(old, new)]
        row += [f"**{statistics.median(ratios):.3f}**", f"{min(ratios):.3f}–{max(ratios):.3f}"]
    return row + [" → ".join(f"{load:.1f}" for load in loads)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="build folder with the older gestalt_bench")
    parser.add_argument("new", help="build folder with the newer one")
    parser.add_argument("--case", default="simclr,mae,gpt-4x128", help="names, separated by commas")
    parser.add_argument("--dtype", choices=["f32", "bf16"], help="only this one")
    parser.add_argument("--rounds", type=int, default=7, help="of each program [7]")
    parser.add_argument("--seconds", type=float, default=2, help="of a round, at least three steps [2]")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=0, help="0: one a core")
    parser.add_argument("--feed", action="store_true", help="with loader and augmentation")
    options = parser.parse_args()
    print(f"`{shlex.join(sys.argv)}`: medians of {options.rounds} rounds (lowest and highest), loads of the last minute "
          f"on {len(os.sched_getaffinity(0))} cores, which the two themselves raise.\n")
    print("| " + " | ".join(HEADS) + " |\n|" + " --- |" * len(HEADS), flush=True)
    for case in options.case.split(","):
        for dtype in [options.dtype] if options.dtype else ["f32", "bf16"]:
            before = os.getloadavg()[0]
            try:
                old, new = measure((options.old, options.new), case, dtype, options)
            except Failed as why:
                sys.exit(f"versions: {case}, {dtype}: {why}")
            print("| " + " | ".join(cells(case, dtype, old, new, (before, os.getloadavg()[0]))) + " |", flush=True)


if __name__ == "__main__":
    main()
