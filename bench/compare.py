#!/usr/bin/env python3
"""Gestalt beside PyTorch on this machine: the same model, batch and dtype, in alternation in one run.

usage: bench/compare.py [--build build] [--rounds 3] [--cases simclr,nt_xent] [--out bench/results/FILE.md]
Needs torch (pip install torch). Prints a table of medians, spreads and ratios (PyTorch's best configuration over ours).
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

# case: (benchmark of ours, dtype) → (peer workload, dtype)
CASES = {
    "simclr": [("simclr_step/batch:64/bf16:0/real_time", "f32", 64), ("simclr_step/batch:64/bf16:1/real_time", "bf16", 64)],
    "simclr-256": [("simclr_step/batch:256/bf16:0/real_time", "f32", 256), ("simclr_step/batch:256/bf16:1/real_time", "bf16", 256)],
    "nt_xent": [("nt_xent/f32/real_time", "f32", 4096)],
}


def peer(case, dtype, size, compiled, seconds):
    """Runs one workload in this process; prints {"ms": […], "peak_mib": …}."""
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.c1, self.b1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
            self.c2, self.b2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
            same = stride == 1 and i == o
            self.shortcut = nn.Identity() if same else nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

        def forward(self, x):
            return F.relu(self.b2(self.c2(F.relu(self.b1(self.c1(x))))) + self.shortcut(x))

    def encoder():
        layers, width = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
        for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            layers += [Block(width, out, stride), Block(out, out, 1)]
            width = out
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def nt_xent(z, tau=0.5):
        z = F.normalize(z.float(), dim=1)
        n = z.shape[0]
        similarity = z @ z.t() / tau
        similarity.fill_diagonal_(-1e9)
        return F.cross_entropy(similarity, torch.arange(n).roll(n // 2))

    amp = torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bf16")
    wrap = torch.compile if compiled else (lambda m: m)
    if case.startswith("simclr"):
        head = nn.Sequential(nn.Linear(512, 2048, bias=False), nn.BatchNorm1d(2048), nn.ReLU(), nn.Linear(2048, 128))
        model = nn.Sequential(encoder(), head).to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-4)
        views = torch.rand(2 * size, 3, 32, 32).to(memory_format=torch.channels_last)
        run = wrap(model)

        def step():
            with amp:
                z = run(views)
            loss = nt_xent(z)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    else:
        z = torch.randn(size, 128, requires_grad=True)
        run = wrap(nt_xent)

        def step():
            z.grad = None
            run(z).backward()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(), step()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        t = time.perf_counter()
        step()
        times.append((time.perf_counter() - t) * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"ms": times, "peak_mib": (peak - before) / 1024, "torch": torch.__version__}))


def run_peer(case, dtype, size, compiled, seconds):
    command = [sys.executable, __file__, "--peer", case, dtype, str(size), str(int(compiled)), str(seconds)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        return None  # torch.compile is not to be had everywhere
    return json.loads(result.stdout.strip().splitlines()[-1])


def run_ours(build, name, seconds):
    command = [f"{build}/gestalt_bench", f"--benchmark_filter=^{name}$", "--benchmark_format=json", f"--benchmark_min_time={seconds}"]
    row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["benchmarks"][0]
    scale = {"ms": 1, "us": 1e-3}[row["time_unit"]]
    return {"ms": row["real_time"] * scale, **{k: row[k] for k in ("of_peak", "GFLOP/s", "peak_MiB") if k in row}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of timing a round and program")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--compile", action="store_true", help="also time torch.compile")
    parser.add_argument("--out")
    options = parser.parse_args()
    lines = ["| work | Gestalt ms (min-max) | PyTorch eager ms | torch.compile ms | ratio | of peak | Gestalt MiB | PyTorch MiB |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    version = ""
    for case in options.cases.split(","):
        for name, dtype, size in CASES[case]:
            ours, eager, compiled = [], [], []
            for _ in range(options.rounds):
                ours.append(run_ours(options.build, name, options.seconds))
                eager.append(run_peer(case, dtype, size, False, options.seconds))
                if options.compile:
                    compiled.append(run_peer(case, dtype, size, True, options.seconds))
            mine = [r["ms"] for r in ours]
            theirs = statistics.median(statistics.median(r["ms"]) for r in eager)
            faster = [statistics.median(r["ms"]) for r in compiled if r]
            best = min([theirs] + ([statistics.median(faster)] if faster else []))
            version = eager[0]["torch"]
            lines.append(
                f"| {case} {dtype} {size} | {statistics.median(mine):.1f} ({min(mine):.1f}-{max(mine):.1f}) | {theirs:.1f} | "
                f"{f'{statistics.median(faster):.1f}' if faster else '-'} | {best / statistics.median(mine):.2f} | "
                f"{ours[0].get('of_peak', 0):.2f} | {ours[0].get('peak_MiB', 0):.0f} | {max(r['peak_mib'] for r in eager):.0f} |")
            print(lines[-1], flush=True)
    text = "\n".join([f"PyTorch {version}, {os.cpu_count()} cores, {options.rounds} rounds in alternation.", ""] + lines) + "\n"
    print(text)
    if options.out:
        with open(options.out, "w") as f:
            f.write(text)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--peer":
        peer(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5] == "1", float(sys.argv[6]))
    else:
        main()
