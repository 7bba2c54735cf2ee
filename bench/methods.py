#!/usr/bin/env python3
"""Every method on one data set for the same CPU time: a row a method and seed, written as it is measured.

    bench/methods.py BUILD_DIR --data images:cifar10k --minutes 8 --out rows.jsonl [--methods vicreg,moco] [--seeds 1,2,3]
    bench/methods.py BUILD_DIR --data images:cifar10k --epochs 10 --flags "--batch 32" --out small.jsonl --methods simclr,dcl
    bench/methods.py --table rows.jsonl

The time is one core's, as the system counts it for the program (user and system). Short runs of all methods, one after
another before the first is trained, give the seconds of their epochs (OUT.seconds keeps them): as many are trained as fit,
or as many as are asked for. What is known to be right for few small images stands in COMMON and METHODS; all else is the
method's default.
"""
import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile

IMAGES, BATCH = 10000, 256  # of the data, and a step
COMMON = f"--size 32 --batch {BATCH} --optimizer adamw --lr 2e-3 --weight-decay 1e-4 --warmup-epochs 1 --normalise cifar10 --knn-k 20"
VIEWS = "--model resnet18 --width 16 --crop-min 0.2 --blur 0"
SECOND = "--blur-second 0"
METHODS = {
    "simclr": f"{VIEWS} --temperature 0.2",
    "dcl": f"simclr {VIEWS} --temperature 0.2 --loss dcl",
    "hard-negatives": f"simclr {VIEWS} --temperature 0.5 --beta 1 --tau-plus 0.1",
    "moco": f"{VIEWS} --queue 2048 --temperature 0.1 --symmetric",
    "mocov3": f"{VIEWS} {SECOND} --head-hidden 512 --head-out 128 --predictor-hidden 512",
    "nnclr": f"{VIEWS} {SECOND} --queue 2048 --head-hidden 512 --head-out 128 --predictor-hidden 512",
    "byol": f"{VIEWS} {SECOND} --head-hidden 512 --head-out 128 --predictor-hidden 512 --tau 0.97",
    "simsiam": f"{VIEWS} --head-hidden 512 --head-out 512 --predictor-hidden 128 --optimizer sgd --lr 0.05 --weight-decay 5e-4"
               " --warmup-epochs 0",
    "barlow": f"{VIEWS} {SECOND} --head-hidden 512 --head-out 512",
    "vicreg": f"{VIEWS} --head-hidden 512 --head-out 512",
    "dino": f"{VIEWS} {SECOND} --pool mean --weight-decay-end -1 --local-views 0 --head-norm --head-hidden 512 --head-bottleneck 64"
            " --prototypes 512 --teacher-momentum 0.99 --teacher-temperature-end 0.04 --teacher-temperature-epochs 0",
    "swav": f"{VIEWS} --local-views 0 --head-hidden 512 --head-out 128 --prototypes 256 --queue 0 --freeze-prototypes-epochs 1"
            " --sinkhorn-epsilon 0.03",
    "deepcluster": f"{VIEWS} --clusters 100 --directions 64 --optimizer sgd --lr 0.05 --warmup-epochs 0",
    "deepclusterv2": f"{VIEWS} --local-views 0 --clusters 250 --clusterings 3 --head-hidden 512 --head-out 128",
    "wmse": f"{VIEWS} --head-hidden 512 --head-out 64 --whiten-rows 128",
    "lejepa": f"{VIEWS} --global-views 2 --local-views 0 --head-hidden 512 --head-out 64 --slices 512",
    "ibot": "--model vit-nano --patch 4 --crop-min 0.2 --blur 0 --blur-second 0 --weight-decay-end -1 --local-views 0 --head-hidden 512"
            " --head-bottleneck 64 --prototypes 512 --teacher-momentum 0.99 --teacher-temperature-end 0.04"
            " --teacher-temperature-epochs 0",
    "ijepa": "--model vit-nano --patch 4 --crop-min 0.3 --weight-decay-end -1 --lr 1e-3 --predictor-width 64 --predictor-depth 3"
             " --predictor-heads 2 --teacher-momentum 0.99",
    "mae": "--model vit-nano --patch 4 --decoder-width 64 --decoder-depth 2 --decoder-heads 2",
    "supcon": f"{VIEWS} --temperature 0.2",
}


def by_flag(line):
    """The flags of a line with what follows each, so that later ones can take the place of earlier ones."""
    return dict((flag, values) for flag, *values in map(str.split, re.split(r" (?=--)", line)))


def command(build, name, data, flags):
    method, own = name, METHODS[name]
    if not own.startswith("--"):
        method, own = own.split(" ", 1)
    both = by_flag(COMMON) | by_flag(own) | by_flag(flags)
    return [f"{build}/gestalt", "pretrain", method, "--data", data, *(word for flag, v in both.items() for word in (flag, *v))]


def cpu_seconds(arguments):
    """User and system seconds of a run, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode:
        sys.exit(f"{' '.join(arguments)}\n{run.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout + run.stderr


def seconds_of_an_epoch(options, name, folder):
    """From two short runs, whose difference is an epoch and has neither start nor evaluation in it. A method that clusters does
    so at the beginning of each."""
    steps = IMAGES // int(*by_flag(f"--batch {BATCH} {options.flags}")["--batch"])
    short, long = (steps, 2 * steps) if "cluster" in name else (3, 3 + steps)
    seconds = [cpu_seconds(command(options.build, name, options.data,
                                   f"{options.flags} --steps {count} --warmup-epochs 0 --probe-every 0 --out {folder}/{count}".strip()))[0]
               for count in (short, long)]
    return seconds[1] - seconds[0]


def epoch_seconds(options, names):
    """Of each method, from OUT.seconds or measured now."""
    path = options.out + ".seconds"
    seconds = json.load(open(path)) if os.path.exists(path) else {}
    for name in names if not options.epochs else []:
        if name not in seconds:
            with tempfile.TemporaryDirectory() as folder:
                seconds[name] = seconds_of_an_epoch(options, name, folder)
            json.dump(seconds, open(path, "w"))
    return seconds


def columns(folder):
    """First and last value of what metrics.csv has beyond what is the same for all."""
    rows = [line.split(",") for line in open(f"{folder}/metrics.csv").read().split()]
    known = {"step", "epoch", "loss", "lr", "gradient_norm", "feature_std", "effective_rank", "knn_percent"}
    shown = {"loss", "feature_std", "effective_rank"} | (set(rows[0]) - known)
    return {name: [float(rows[1][i] or "nan"), float(rows[-1][i] or "nan")] for i, name in enumerate(rows[0]) if name in shown}


def measure(options, name, seed):
    with tempfile.TemporaryDirectory() as folder:
        epoch = options.epoch_seconds.get(name, 0)
        epochs = options.epochs or max(1, round(options.minutes * 60 / epoch))
        line = command(options.build, name, options.data,
                       f"{options.flags} --epochs {epochs} --seed {seed} --probe-every 0 --report --out {folder}/run".strip())
        seconds, printed = cpu_seconds(line)
        rows = re.findall(r"^(\S.*?) {2,}([\d.]+) +([\d.]+)$", printed, re.M)
        return {"method": name, "seed": seed, "epochs": epochs, "epoch_seconds": round(epoch, 2), "cpu_minutes": round(seconds / 60, 2),
                "features": {what: [float(knn), float(linear)] for what, knn, linear in rows}, "columns": columns(f"{folder}/run"),
                "command": " ".join(line[1:])}


def table(path):
    rows = [json.loads(line) for line in open(path)]
    names = list(dict.fromkeys(row["method"] for row in rows))

    def mean(values):
        middle = sum(values) / len(values)
        spread = (sum((v - middle) ** 2 for v in values) / (len(values) - 1)) ** 0.5 if len(values) > 1 else None
        return f"{middle:.2f}" + ("" if spread is None else f" ± {spread:.2f}")

    print("| method | epochs | kNN % | linear % | seeds | its own quantities, first → last (seed of the first row) |\n|---|---|---|---|---|---|")
    knn = {name: [list(r["features"].values())[-1][0] for r in rows if r["method"] == name] for name in names}
    for name in sorted(names, key=lambda name: -sum(knn[name]) / len(knn[name])):
        mine = [row for row in rows if row["method"] == name]
        last = [list(row["features"].values())[-1] for row in mine]
        own = ", ".join(f"{c} {a:.3g} → {b:.3g}" for c, (a, b) in mine[0]["columns"].items())
        print(f"| {name} | {mine[0]['epochs']} | {mean([v[0] for v in last])} | {mean([v[1] for v in last])} | {len(mine)} | {own} |")
    for what, values in list(rows[0]["features"].items())[:-1]:
        print(f"| {what} | | {values[0]:.2f} | {values[1]:.2f} | | |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?")
    parser.add_argument("--data")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--epochs", type=int, default=0, help="of each run, whatever they take")
    parser.add_argument("--flags", default="", help="that take the place of those of all methods")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--out")
    parser.add_argument("--table", metavar="ROWS")
    options = parser.parse_args()
    if options.table:
        return table(options.table)
    if not (options.build and options.data and options.out):
        parser.error("BUILD_DIR, --data and --out are needed")
    rows = [json.loads(line) for line in open(options.out)] if os.path.exists(options.out) else []
    done = {(row["method"], row["seed"]) for row in rows}
    options.epoch_seconds = epoch_seconds(options, names := options.methods.split(","))
    for seed in map(int, options.seeds.split(",")):
        for name in names:
            if (name, seed) not in done:
                row = measure(options, name, seed)
                with open(options.out, "a") as out:
                    out.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
