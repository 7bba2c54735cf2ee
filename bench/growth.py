#!/usr/bin/env python3
"""How time and memory grow with the batch, the image, the sequence and the threads; a plot and a table.

Runs `gestalt_bench run` at each size and fits time = c · size^k by least squares on logarithms over the upper half of
the sizes, where constant costs no longer show. Memory is the growth of the process's resident memory.

examples:
  bench/growth.py --output bench/results/growth-cpu.png     all curves; also writes growth-cpu.md
  bench/growth.py --curve nt_xent,threads
  bench/growth.py --quick                                   the three smallest sizes of each, as a smoke test

Needs matplotlib (pip install matplotlib) for the plot, and build/gestalt_bench.
"""
import argparse
import dataclasses
import datetime
import json
import math
import os
import statistics
import subprocess
import sys


@dataclasses.dataclass
class Curve:
    name: str
    title: str
    workload: str
    axis: str  # of the plot
    flag: str  # of gestalt_bench run, that the sizes go to
    sizes: tuple
    expected: str  # how time and memory should grow, and why
    flags: tuple = ()
    memory: bool = True  # grows with it


def powers(first, last, factor=2):
    return tuple(first * factor**i for i in range(int(math.log(last / first, factor) + 1.5)))


CURVES = [
    Curve("nt_xent", "NT-Xent, 128 columns", "nt_xent", "rows (two views of a batch)", "--batch", powers(64, 65536, 4),
          "time 2: every pair of rows; memory 1: no similarity matrix"),
    Curve("batch", "SimCLR step, ResNet-18, 32²", "simclr", "images in the batch", "--batch", powers(4, 64),
          "time 1, memory 1: activations"),
    Curve("image", "SimCLR step, ResNet-18, batch 4", "simclr", "side of the images in pixels", "--size", powers(16, 128),
          "time 2, memory 2: pixels", ("--batch", "4")),
    Curve("sequence", "GPT step, 4 × 128, batch 4", "gpt-4x128", "context in tokens", "--size", powers(64, 2048),
          "time 1 to 2: products, then attention; memory 1: no attention matrix", ("--batch", "4")),
    Curve("threads", "SimCLR step, ResNet-18, batch 16", "simclr", "threads", "--threads", (1, 2),
          "time −1: perfect scaling", ("--batch", "16"), False),
    Curve("threads-mae", "MAE step, ViT-Ti/4, batch 32", "mae", "threads", "--threads", (1, 2),
          "time −1: perfect scaling", ("--batch", "32"), False),
    Curve("threads-nt_xent", "NT-Xent, 4,096 × 128", "nt_xent", "threads", "--threads", (1, 2),
          "time −1: perfect scaling", ("--batch", "4096"), False),
]


def measure(curve, size, options):
    """Median milliseconds, their range, and MiB."""
    command = [f"{options.build}/gestalt_bench", "run", curve.workload, *curve.flags, curve.flag, str(size),
               "--dtype", options.dtype, "--seconds", str(options.seconds), "--least", "1", "--warmup", "1"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = json.loads(output.splitlines()[-1])
    return {"size": size, "ms": statistics.median(line["ms"]), "low": min(line["ms"]), "high": max(line["ms"]),
            "mib": max(line["peak_mib"], 0.01)}


def exponent(points, key):
    """The slope of log(key) against log(size) over the upper half of the sizes, three at least."""
    upper = points[-max(3, (len(points) + 1) // 2):]
    x = [math.log(p["size"]) for p in upper]
    y = [math.log(p[key]) for p in upper]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def table(measured, options):
    lines = [
        f"{datetime.date.today()}, {len(os.sched_getaffinity(0))} cores, {options.dtype}: `bench/growth.py`. Exponents "
        "are fitted over the upper half of the sizes.",
        "",
        "| curve | sizes | ms | MiB | exponent of time | of memory | expected |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for curve, points in measured:
        def row(key):
            return " ".join(f"{p[key]:.3g}" if p[key] < 1000 else f"{p[key]:.0f}" for p in points)

        memory = f"{exponent(points, 'mib'):.2f}" if curve.memory else ""
        lines.append(f"| {curve.title}, {curve.axis} | {' '.join(str(p['size']) for p in points)} | {row('ms')} | "
                     f"{row('mib')} | {exponent(points, 'ms'):.2f} | {memory} | {curve.expected} |")
    return "\n".join(lines) + "\n"


def plot(measured, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    columns = 4
    rows = (len(measured) + columns - 1) // columns
    figure, all_axes = pyplot.subplots(rows, columns, figsize=(4.6 * columns, 3.9 * rows), squeeze=False)
    for axes in all_axes.flat[len(measured):]:
        axes.set_visible(False)
    for axes, (curve, points) in zip(all_axes.flat, measured):
        sizes = [p["size"] for p in points]
        ms = [p["ms"] for p in points]
        spread = [[p["ms"] - p["low"] for p in points], [p["high"] - p["ms"] for p in points]]
        time = axes.errorbar(sizes, ms, yerr=spread, color="tab:blue", marker="o", capsize=3,
                             label=f"time, exponent {exponent(points, 'ms'):.2f}")
        axes.set(xscale="log", yscale="log", title=curve.title, xlabel=curve.axis, ylabel="ms a step")
        handles = [time]
        if curve.memory:
            memory_axes = axes.twinx()
            handles += memory_axes.plot(sizes, [p["mib"] for p in points], color="tab:orange", marker="s", linestyle="--",
                                        label=f"memory, exponent {exponent(points, 'mib'):.2f}")
            memory_axes.set(yscale="log", ylabel="MiB")
        axes.xaxis.set_major_locator(ticker.FixedLocator(sizes))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.tick_params(axis="x", labelrotation=45)
        axes.grid(alpha=0.3)
        axes.legend(handles=handles, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curve", help="names, separated by commas: " + ", ".join(c.name for c in CURVES))
    parser.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--seconds", type=float, default=1.5, help="of timing at each size, one step at least [1.5]")
    parser.add_argument("--build", default="build", help="folder with gestalt_bench")
    parser.add_argument("--quick", action="store_true", help="the three smallest sizes of each curve")
    parser.add_argument("--output", help="file for the plot, .png or .svg; the table goes beside it, in .md")
    options = parser.parse_args()
    chosen = CURVES
    if options.curve:
        by_name = {c.name: c for c in CURVES}
        unknown = [name for name in options.curve.split(",") if name not in by_name]
        if unknown:
            parser.error(f"no curve {', '.join(unknown)}; there are {', '.join(by_name)}")
        chosen = [by_name[name] for name in options.curve.split(",")]
    measured = []
    for curve in chosen:
        points = []
        for size in curve.sizes[:3] if options.quick else curve.sizes:
            points.append(measure(curve, size, options))
            print(f"{curve.name} {size}: {points[-1]['ms']:.3g} ms, {points[-1]['mib']:.0f} MiB", file=sys.stderr, flush=True)
        measured.append((curve, points))
    text = table(measured, options)
    print(text)
    if options.output:
        plot(measured, options.output)
        with open(os.path.splitext(options.output)[0] + ".md", "w") as file:
            file.write(text)


if __name__ == "__main__":
    main()
