#!/usr/bin/env python3
"""The gate on the machine code of the CUDA kernels that multiply on the tensor cores: what one round of their longest
loop, a tile, is made of.

usage: tests/cuda_code.py BUILD_FOLDER [--budgets tests/cuda_code.csv] [--write]
Prints the table, and fails on a loop of more instructions than its budget, on fewer tensor-core instructions or
narrower copies from memory, on a kernel without a budget and on a budget without a kernel. --write records what there
is now. Both sides of a branch count, so that a number is what a round takes at most.
Needs cuobjdump, of the CUDA toolkit or of PyPI (pip install nvidia-cuda-cuobjdump); without it nothing is checked.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

from cuda_resources import hold, key, read_options, short

COLUMNS = ["architecture", "file", "kernel", "instructions", "tensor", "matrix_loads", "copies", "copy_bytes", "special"]
FUNCTION = re.compile(r"Function : (\w+)")
ARCHITECTURE = re.compile(r"code for (sm_\w+)")
INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*);")


def find_tool():
    """cuobjdump's path, or None."""
    packages = pathlib.Path(sysconfig.get_path("purelib"))
    return shutil.which("cuobjdump") or next((str(p) for p in packages.glob("nvidia/**/bin/cuobjdump")), None)


def longest_loop(code):
    """The instructions (address, name, operands) of the longest loop that multiplies; all of them without one."""
    multiplies = [a for a, name, _ in code if name.startswith("HMMA")]
    found = []
    for address, name, operands in code:
        target = re.search(r"0x([0-9a-f]+)\s*$", operands) if name == "BRA" else None
        begin = int(target[1], 16) if target else address + 1
        if begin < address and any(begin <= a <= address for a in multiplies):
            found.append((address - begin, begin, address))
    if not found:
        return code
    _, begin, end = max(found)
    return [i for i in code if begin <= i[0] <= end]


def counts(code):
    loop = longest_loop(code)
    of = lambda prefix: [name for _, name, _ in loop if name.startswith(prefix)]
    widths = [int(w) // 8 for name in of("LDGSTS") for w in re.findall(r"\.(128|64)\b", name)] or [4]
    return {"instructions": len(loop), "tensor": len(of("HMMA")), "matrix_loads": len(of("LDSM")),
            "copies": len(of("LDGSTS")), "copy_bytes": max(widths) if of("LDGSTS") else 0, "special": len(of("MUFU"))}


def parse(text, file):
    """The kernels of one listing that multiply on the tensor cores, as dicts."""
    kernels, architecture, mangled, code = [], "", None, []

    def end():
        if mangled and any(name.startswith("HMMA") for _, name, _ in code):
            kernels.append({"architecture": architecture, "file": file, "mangled": mangled, **counts(code)})

    for line in text.splitlines():
        if match := ARCHITECTURE.search(line):
            end()
            architecture, mangled, code = match[1], None, []
        elif match := FUNCTION.search(line):
            end()
            mangled, code = match[1], []
        elif match := INSTRUCTION.search(line):
            code.append((int(match[1], 16), match[2], match[3]))
    end()
    return kernels


def read_build(tool, folder):
    kernels = []
    for path in sorted(pathlib.Path(folder).rglob("*.cu.o")):
        listing = subprocess.run([tool, "-sass", path], capture_output=True, text=True, check=True).stdout
        kernels += parse(listing, path.name.removesuffix(".o"))
    names = subprocess.run(["c++filt"], input="\n".join(k["mangled"] for k in kernels), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    for kernel, name in zip(kernels, names):
        kernel["kernel"] = short(name)
    return kernels


def faults(kernels, budgets):
    """What is wrong, a line each."""
    allowed = {key(b): b for b in budgets}
    architectures = {b["architecture"] for b in budgets}
    wrong = []
    for k in kernels:
        what = f"{k['file']}: {k['kernel']} ({k['architecture']})"
        if k["architecture"] not in architectures:
            continue
        if key(k) not in allowed:
            wrong.append(f"{what} has no budget")
            continue
        budget = {c: int(allowed[key(k)][c]) for c in COLUMNS[3:]}
        if k["instructions"] > budget["instructions"]:
            wrong.append(f"{what} takes {k['instructions']} instructions a round, more than its {budget['instructions']}")
        for column in ("tensor", "copy_bytes"):
            if k[column] < budget[column]:
                wrong.append(f"{what} has {column} {k[column]}, less than its {budget[column]}")
    there, seen = {key(k) for k in kernels}, {k["architecture"] for k in kernels}
    for b in budgets:
        if b["architecture"] in seen and key(b) not in there:
            wrong.append(f"{b['file']}: {b['kernel']} ({b['architecture']}) has a budget, but there is no such kernel")
    return wrong


def table(kernels):
    lines = [f"{'arch':6} {'file':16} {'instructions':>12} {'tensor':>6} {'ldmatrix':>8} {'copies':>6} {'bytes':>5} "
             f"{'special':>7}  kernel"]
    for k in kernels:
        lines.append(f"{k['architecture']:6} {k['file']:16} {k['instructions']:12} {k['tensor']:6} {k['matrix_loads']:8} "
                     f"{k['copies']:6} {k['copy_bytes']:5} {k['special']:7}  {k['kernel']}")
    return "\n".join(lines)


def main():
    options = read_options(__doc__, "cuda_code.csv")
    tool = find_tool()
    if not tool:
        print("cuda_code: there is no cuobjdump (pip install nvidia-cuda-cuobjdump): the machine code is NOT checked")
        return
    kernels = sorted(read_build(tool, options.build), key=key)
    if not kernels:
        sys.exit(f"cuda_code: no kernel that multiplies below {options.build}; build it with -DGESTALT_CUDA=ON")
    print(table(kernels))
    hold(kernels, options, COLUMNS, faults)


if __name__ == "__main__":
    main()
