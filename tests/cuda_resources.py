#!/usr/bin/env python3
"""The gate on what every CUDA kernel takes of a multiprocessor, from what nvcc --resource-usage said at its compilation.

usage: tests/cuda_resources.py BUILD_FOLDER [--budgets tests/cuda_budgets.csv] [--launches tests/cuda_launches.csv] [--write]
Prints the table, and fails on a spill, on a kernel that takes more registers or static shared memory than its budget or
of which fewer blocks fit on a multiprocessor, on a kernel without a budget and on a budget without a kernel. Threads and
dynamic shared memory of a block, which blocks are counted with, are tests/cuda_launches.py's. --write records what the kernels take now, spills excepted.
Architectures that the budgets do not name are held to the first rule alone.
"""
import argparse
import csv
import pathlib
import re
import subprocess
import sys

COLUMNS = ["architecture", "file", "kernel", "registers", "shared_bytes", "blocks"]
# Of a multiprocessor (CUDA programming guide, compute capabilities): bytes of shared memory.
SHARED_OF = {"sm_80": 164 << 10, "sm_86": 100 << 10, "sm_89": 100 << 10, "sm_90": 228 << 10}
WARPS_OF = {"sm_80": 64, "sm_86": 48, "sm_89": 48, "sm_90": 64}
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'")
SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+)(?:\+\d+)? bytes smem")


def short(name):
    """`kernel<float, 64>` of a demangled `void gestalt::…::kernel<float, 64>(…)`."""
    name = re.sub(r"\(anonymous namespace\)::|gestalt::(kernels::)?(cuda::)?", "", name)
    if name.endswith(")"):
        depth, end = 0, len(name)
        while end > 0:
            end -= 1
            depth += {")": 1, "(": -1}.get(name[end], 0)
            if depth == 0:
                break
        name = name[:end]
    return name.removeprefix("void ")


def parse(text, file):
    """The kernels of one compilation's listing, as dicts."""
    found, kernel = [], None
    for line in text.splitlines():
        if match := ENTRY.search(line):
            kernel = {"architecture": match[2], "file": file, "mangled": match[1], "stack": 0, "spills": 0}
        elif kernel and (match := SPILLS.search(line)):
            kernel["stack"], kernel["spills"] = int(match[1]), int(match[2]) + int(match[3])
        elif kernel and (match := USED.search(line)):
            shared = SHARED.search(line)
            kernel["registers"], kernel["shared_bytes"] = int(match[1]), int(shared[1]) if shared else 0
            found.append(kernel)
            kernel = None
    return found


def read_launches(path):
    """Kernel to (threads, dynamic bytes) of a block."""
    with open(path, newline="") as f:
        return {row["kernel"]: (int(row["threads"]), int(row["dynamic_bytes"])) for row in csv.DictReader(f)}


def blocks_on_multiprocessor(kernel, launch):
    """How many blocks fit, or None where that is not known. Registers are given to a warp by 256, a quarter of them to
    each of four schedulers; each block takes 1 KiB of shared memory for the system."""
    if not launch or kernel["architecture"] not in SHARED_OF:
        return None
    threads, dynamic = launch
    warps = -(-threads // 32)
    of_warp = -(-max(kernel["registers"], 8) * 32 // 256) * 256
    by_registers = 4 * (16384 // of_warp) // warps
    by_shared = SHARED_OF[kernel["architecture"]] // (kernel["shared_bytes"] + dynamic + 1024)
    return min(by_registers, by_shared, WARPS_OF[kernel["architecture"]] // warps, 32)


def read_listings(folder, launches):
    kernels = []
    for path in sorted(pathlib.Path(folder).rglob("*.cu.o.resources")):
        kernels += parse(path.read_text(), path.name.removesuffix(".o.resources"))
    names = subprocess.run(["c++filt"], input="\n".join(k["mangled"] for k in kernels), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    for kernel, name in zip(kernels, names):
        kernel["kernel"] = short(name)
        kernel["blocks"] = blocks_on_multiprocessor(kernel, launches.get(kernel["kernel"]))
    return kernels


def key(row):
    return row["architecture"], row["file"], row["kernel"]


def faults(kernels, budgets):
    """What is wrong, a line each."""
    allowed = {key(b): b for b in budgets}
    architectures = {b["architecture"] for b in budgets}
    taken, wrong = {}, []
    for k in kernels:
        what = f"{k['file']}: {k['kernel']} ({k['architecture']})"
        if key(k) in taken:
            wrong.append(f"{what} stands twice in the listing")
        taken[key(k)] = k
        if k["spills"]:
            wrong.append(f"{what} spills {k['spills']} bytes of registers")
        if k["architecture"] not in architectures:
            continue
        if key(k) not in allowed:
            wrong.append(f"{what} has no budget")
            continue
        for column in ("registers", "shared_bytes"):
            if k[column] > int(allowed[key(k)][column]):
                wrong.append(f"{what} takes {k[column]} {column}, more than its budget of {allowed[key(k)][column]}")
        if k["blocks"] is not None and k["blocks"] < int(allowed[key(k)]["blocks"] or 0):
            wrong.append(f"{what} fits {k['blocks']} times on a multiprocessor, less than {allowed[key(k)]['blocks']}")
    seen = {k["architecture"] for k in kernels}
    for b in budgets:
        if b["architecture"] in seen and key(b) not in taken:
            wrong.append(f"{b['file']}: {b['kernel']} ({b['architecture']}) has a budget, but there is no such kernel")
    if not seen & architectures:
        wrong.append("the listing has no kernel of an architecture with budgets")
    return wrong


def table(kernels):
    lines = [f"{'arch':6} {'file':20} {'registers':>9} {'shared':>7} {'stack':>6} {'spills':>6} {'blocks':>6}  kernel"]
    for k in kernels:
        lines.append(f"{k['architecture']:6} {k['file']:20} {k['registers']:9} {k['shared_bytes']:7} {k['stack']:6} "
                     f"{k['spills']:6} {'' if k['blocks'] is None else k['blocks']:>6}  {k['kernel']}")
    return "\n".join(lines)


def beside(name):
    return str(pathlib.Path(__file__).with_name(name))


def read_options(doc, budgets, launches=None):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--budgets", default=beside(budgets))
    if launches:
        parser.add_argument("--launches", default=beside(launches))
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def hold(kernels, options, columns, find_faults):
    """Records the kernels or holds them to what is recorded; ends the program with what is wrong."""
    if options.write:
        with open(options.budgets, "w", newline="") as f:
            writer = csv.DictWriter(f, columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(kernels)
    with open(options.budgets, newline="") as f:
        wrong = find_faults(kernels, list(csv.DictReader(f)))
    for line in wrong:
        print(f"fault: {line}", file=sys.stderr)
    print(f"{len(kernels)} kernels, {len(wrong)} faults")
    sys.exit(1 if wrong else 0)


def main():
    options = read_options(__doc__, "cuda_budgets.csv", "cuda_launches.csv")
    kernels = sorted(read_listings(options.build, read_launches(options.launches)), key=key)
    if not kernels:
        sys.exit(f"cuda_resources: no listing of kernels below {options.build}; build it with -DGESTALT_CUDA=ON")
    print(table(kernels))
    hold(kernels, options, COLUMNS, faults)


if __name__ == "__main__":
    main()
