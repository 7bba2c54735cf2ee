#!/usr/bin/env python3
"""The work of the CUDA backend's table of aims, on this machine's GPU, beside PyTorch where it has a counterpart.

Each row gives the time on the device's own clock, from the beginning of a step to its end; the aim; what share that
time is of the machine's measured copy bandwidth and bf16 product rate; and, for the same step timed from outside with
a wait at its end, PyTorch's time over Gestalt's. A case that fails is a row that says why, and the file has every row as soon as it is
measured. bench/run_gpu.sh runs this.

usage: bench/compare_gpu.py --output bench/results/FILE.md [--build build-cuda] [--case nt_xent,adamw] [--rounds 3]
       --quick: a smoke test on tiny batches; with --build build-emulated it needs no GPU
"""
import argparse
import dataclasses
import datetime
import json
import signal
import subprocess
import sys

import peers
from compare import Failed, Program, Timings


@dataclasses.dataclass
class Case:
    name: str
    work: str
    aim: str
    workload: str
    dtype: str = "bf16"
    batch: int = 0
    size: int = 0
    quick: tuple = (8, 0)  # batch and size of a smoke test
    sets: tuple = ()  # NAME=VALUE of the training step's method
    configs: tuple = ("eager", "compile")
    peer: str = ""  # the case of bench/peers; the workload's name, if empty
    rate: str = ""  # what an aim in items a second counts
    bytes_each: int = 0  # of traffic an item, where the launches cannot tell


VIT_B = ("model=vit-base", "patch=16", "decoder-width=512", "decoder-depth=8", "decoder-heads=16", "data=shapes:512:224")
GPT2 = ("layers=12", "heads=12", "width=768", "vocabulary-multiple=50304")

CASES = [
    Case("augment", "augment, two views of 224² of 1,024 images of 256², all operations", "≤ 2.5 ms",
         "augment-224-byol", batch=1024, quick=(1, 32), configs=()),
    Case("nt_xent", "NT-Xent forward + backward, N = 4,096, d = 128", "≤ 0.11 ms", "nt_xent", batch=8192, size=128,
         quick=(64, 32)),
    Case("nt_xent-large", "NT-Xent forward + backward, N = 65,536, d = 128", "≤ 20 ms", "nt_xent", batch=131072, size=128,
         quick=(128, 32), configs=("eager",)),
    Case("masked_loss", "masked reconstruction loss + gradient, batch 1,024", "≤ 0.25 ms", "masked_loss", batch=1024,
         quick=(1, 32)),
    Case("adamw", "AdamW of 124 M parameters", "≥ 0.9 of copy", "adamw", dtype="f32", quick=(10000, 0),
         configs=("foreach", "fused"), bytes_each=28),
    Case("simclr", "SimCLR step, ResNet-18 (CIFAR stem), batch 512", "≥ 32,000 images/s", "simclr", batch=512,
         quick=(2, 8), rate="images/s"),
    Case("gpt2", "GPT-2 124M step, 32 windows of 1,024", "≥ 500,000 (H100), 550,000 (H200) tokens/s", "gpt-6x384", batch=32, size=1024,
         quick=(1, 16), sets=GPT2, peer="gpt-124m", rate="tokens/s"),
    Case("mae", "MAE ViT-B/16 step, batch 256", "≥ 6,000 images/s", "mae", batch=256, size=224, quick=(2, 16), sets=VIT_B,
         peer="mae-vit-b", rate="images/s"),
]


def programs_of(case, options):
    batch, size = case.quick if options.quick else (case.batch, case.size)
    flags = ["--dtype", case.dtype, "--device", "cuda", "--batch", str(batch), "--size", str(size)]
    flags += ["--least", "2", "--warmup", "2"] if options.quick else ["--least", "10", "--warmup", "5"]
    sets = [] if options.quick else [word for s in case.sets for word in ("--set", s)]
    ours = [f"{options.build}/gestalt_bench", "run", case.workload, *flags, *sets, "--serve"]
    programs = {"gestalt": Program(ours, 600)}
    for config in () if options.quick else case.configs:
        command = peers.command(options.python, case.peer or case.workload, *flags, "--config", config)
        try:
            programs[config] = Program(command, 600)
        except Failed as why:
            programs[config] = Timings(failure=f"failed: {why}")
    return programs


def measure(case, options):
    programs = programs_of(case, options)
    results = {name: p if isinstance(p, Timings) else Timings(ready=p.ready) for name, p in programs.items()}
    device = Timings(ready=results["gestalt"].ready)
    running = [name for name, p in programs.items() if isinstance(p, Program)]
    try:
        for _ in range(options.rounds):
            for name in list(running):
                try:
                    line = programs[name].round(options.seconds)
                except Failed as why:
                    if name == "gestalt":
                        raise
                    results[name] = Timings(failure=f"failed: {why}")
                    running.remove(name)
                    programs[name].close()
                    continue
                results[name].add(line)
                if name == "gestalt":
                    device.add(line | {"ms": line["device_ms"]})
    finally:
        for name in running:
            programs[name].close()
    return device, results


def row(case, device, results, machine):
    seconds, ready = device.median() / 1e3, device.ready
    gbyte = case.bytes_each * ready["items"] / 1e9 or ready["gbyte"]
    others = {name: r for name, r in results.items() if name != "gestalt"}
    timed = {name: r.median() for name, r in others.items() if r.rounds}
    best = min(timed, key=timed.get) if timed else None
    return [case.work, case.dtype, f"{device.text()} ms",
            f"{ready['items'] / seconds:,.0f} {case.rate}" if case.rate else "", case.aim,
            f"{gbyte / seconds / machine['copy_gb_per_s']:.2f}",
            f"{ready['gflop'] / seconds / machine['bf16_gflop_per_s']:.2f}" if ready["gflop"] else "",
            "<br>".join(f"{name} {r.text()}" for name, r in others.items()) or "no counterpart",
            f"**{timed[best] / results['gestalt'].median():.2f}** ({best})" if best else ""]


HEADS = ["work", "dtype", "on the device", "rate", "aim", "of copy", "of bf16 product", "PyTorch ms", "ratio"]


def report(rows, machine, command):
    return "\n".join([
        f"{machine['device']}, {datetime.date.today()}. Measured: copy {machine['copy_gb_per_s']:.0f} GB/s, bf16 product "
        f"{machine['bf16_gflop_per_s'] / 1e3:.0f} TFLOP/s, f32 product {machine['f32_gflop_per_s'] / 1e3:.1f} TFLOP/s.",
        "",
        f"`{command}`. Medians of all steps (lowest and highest median of a round). 'Of copy' and 'of bf16 product' are the "
        "traffic and the products that the work needs at least over what the device's time would have held. The ratio is "
        "PyTorch's fastest configuration over Gestalt, both timed by the host.",
        "",
        "| " + " | ".join(HEADS) + " |",
        "|" + " --- |" * len(HEADS),
        *("| " + " | ".join(cells) + " |" for cells in rows)]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build-cuda")
    parser.add_argument("--case", default=",".join(c.name for c in CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of a round, at least ten steps")
    parser.add_argument("--python", default=sys.executable, help="the Python that has torch")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.01
    unknown = set(options.case.split(",")) - {c.name for c in CASES}
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(c.name for c in CASES)}")
    ceilings = [f"{options.build}/gestalt_bench", "machine", "--device", "cuda"] + (["--quick"] if options.quick else [])
    machine = json.loads(subprocess.run(ceilings, check=True, capture_output=True, text=True).stdout)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends with this
    rows, failed = [], 0
    for case in (c for c in CASES if c.name in options.case.split(",")):
        try:
            rows.append(row(case, *measure(case, options), machine))
        except Failed as why:
            rows.append([case.work, case.dtype, f"failed: {why}".replace("|", "/").replace("\n", " "), "", case.aim, "", "", "", ""])
            failed += 1
        print("| " + " | ".join(rows[-1]) + " |", file=sys.stderr, flush=True)
        if options.output:
            with open(options.output, "w") as file:
                file.write(report(rows, machine, " ".join(sys.argv)))
    print(report(rows, machine, " ".join(sys.argv)))
    sys.exit(min(failed, 1))


if __name__ == "__main__":
    main()
