"""Runs one case of the PyTorch side.

usage: python3 bench/peers CASE [--config eager|compile|...] [--dtype f32|bf16] [--batch N] [--size N]
                                [--device cpu|cuda] [--seconds S | --serve]

Prints a line of JSON when ready (parameters, threads, version) and one for each round (milliseconds of each step, peak
memory). With --serve a round starts for each line of standard input, which gives its seconds. bf16 is autocast, as
training uses it; convolutions are channels-last; optimizers are the fused ones. Shares no code with Gestalt.
"""
import argparse
import json
import os
import sys
import time

import torch

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # cases are modules of the package `peers`
import peers


def status_mib(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))


def begin_peak(options):
    """The peak begins here; resident MiB now."""
    if options.device != "cuda":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    return status_mib("VmRSS")


def round_of(case, options, seconds, before):
    wait = torch.cuda.synchronize if options.device == "cuda" else lambda: None
    for _ in range(case.ahead):
        case.step()
    wait()
    times, begin = [], time.perf_counter()
    while len(times) < options.least or time.perf_counter() - begin < seconds:
        start_of_step = time.perf_counter()
        case.step()
        wait()
        times.append((time.perf_counter() - start_of_step) * 1e3)
    if case.ahead:  # workers deliver in bursts: only the mean says how fast they are
        times = [sum(times) / len(times)]
    peak = torch.cuda.max_memory_allocated() / 2**20 if options.device == "cuda" else status_mib("VmHWM") - before
    return {"ms": times, "peak_mib": peak}


def say(line):
    print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=peers.names())
    parser.add_argument("--config", default="eager", help="eager, compile; or the case's own kinds")
    parser.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: one a core")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--least", type=int, default=3, help="steps of a round, at least")
    parser.add_argument("--warmup", type=int, default=2, help="steps before it")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--file", help="of the case start: 50,000 images of 32 pixels, raw")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    before = begin_peak(options)
    case = peers.load(options.case).case(options)
    if not case.parameters:  # of an operation alone, what its inputs take is not its own
        before = begin_peak(options)
    for _ in range(options.warmup):
        case.step()
    say({"case": options.case, "config": options.config, "parameters": case.parameters, "torch": torch.__version__,
         "threads": torch.get_num_threads()})
    if not options.serve:
        return say(round_of(case, options, options.seconds, before))
    for line in sys.stdin:
        say(round_of(case, options, float(line), before))


if __name__ == "__main__":
    main()
