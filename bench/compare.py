#!/usr/bin/env python3
"""Gestalt beside PyTorch on this machine: the same model, batch, dtype and optimizer, in alternation in one run.

Each case starts `gestalt_bench run` and its case of bench/peers for each PyTorch configuration, and gives each a round
in turn, so that a slow minute of the machine meets all of them. Views and tokens lie in memory in both; a step is
forward, loss, backward, update. The ratio is the time of PyTorch's fastest configuration over Gestalt's.

examples:
  bench/compare.py --output bench/results/compare-cpu.md          all cases, three rounds; also writes compare-cpu.json
  bench/compare.py --case nt_xent,adamw --rounds 5
  bench/compare.py --quick                                        a smoke test: tiny batches, one round, no compiler
  bench/compare.py --spread first.json second.json                two runs beside each other

Needs torch, and torchvision for the augmentation (pip install torch torchvision), and build/gestalt_bench.
"""
import argparse
import dataclasses
import datetime
import json
import os
import selectors
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import peers

MODEL = ("eager", "compile")


@dataclasses.dataclass
class Case:
    name: str
    work: str  # a row of the table
    aims: dict  # dtype -> ratio that is aimed at
    workload: str = ""  # of gestalt_bench and bench/peers, if not `name`
    configs: tuple = MODEL
    batch: int = 0
    quick_batch: int = 8
    default: bool = True
    bandwidth: bool = False  # bound by memory: compared with the machine's copy

    def __post_init__(self):
        self.workload = self.workload or self.name


CASES = [
    Case("simclr", "SimCLR ResNet-18 (CIFAR stem) step, batch 64", {"f32": 1.3, "bf16": 1.5}),
    Case("byol", "BYOL ResNet-18 (CIFAR stem) step, batch 64", {"f32": 1.3, "bf16": 1.5}),
    Case("vicreg", "VICReg ResNet-18 (CIFAR stem), expander 2048³, step, batch 64", {"f32": 1.3, "bf16": 1.5}),
    Case("moco", "MoCo v2 ResNet-18 (CIFAR stem), queue 4,096, step, batch 64", {"f32": 1.3, "bf16": 1.3}),
    Case("barlow", "Barlow Twins ResNet-18 (CIFAR stem), projector 2048³, step, batch 64", {"f32": 1.3, "bf16": 1.3}),
    Case("swav", "SwAV ResNet-18 (CIFAR stem), 512 prototypes, queues of 1,024, step, batch 64", {"f32": 1.3, "bf16": 1.5}),
    Case("mae", "MAE ViT-Ti/4 at 32², step, batch 128", {"f32": 1.5, "bf16": 2}),
    Case("ijepa", "I-JEPA ViT-Ti/4 at 32², step, batch 128", {"f32": 1.3, "bf16": 1.5}),
    Case("dino", "DINO ViT-Ti/4, two views of 32² and four of 16², step, batch 32", {"f32": 1.3, "bf16": 1.5}),
    Case("gpt-4x128", "GPT 4 × 128, context 64, step, batch 12", {"f32": 3, "bf16": None}, quick_batch=4),
    Case("gpt-6x384", "GPT 6 × 384, context 256, step, batch 16", {"f32": 1.3, "bf16": 1.5}, quick_batch=2),
    Case("nt_xent", "NT-Xent forward + backward, 4,096 × 128", {"f32": 4}, quick_batch=512),
    Case("hard_negatives", "the same with hard and debiased negatives (β 1, τ⁺ 0.1)", {"f32": 3}, quick_batch=512),
    Case("info_nce", "info-NCE forward + backward, 4,096 × 128 against a queue of 16,384", {"f32": 3}, quick_batch=256),
    Case("dino_loss", "DINO's loss forward + backward, 4,096 rows of 4,096 prototypes", {"f32": 3}, quick_batch=256),
    Case("swav_loss", "SwAV's assignments and loss, forward + backward, 4,096 rows of 3,000 prototypes", {"f32": 3}, quick_batch=256),
    Case("sigreg", "SIGReg forward + backward, 4,096 × 128 along 1,024 directions", {"f32": 3}, quick_batch=256),
    Case("vicreg_loss", "VICReg's terms forward + backward, 4,096 × 2,048", {"f32": 1.3}, quick_batch=256),
    Case("augment-32", "two views of 64 images, 32²", {"f32": 15}, configs=("v1-pil", "v2-pil", "v2-tensor")),
    Case("augment-224", "two views of 64 images, 224²", {"f32": 8}, configs=("v1-pil", "v2-pil", "v2-tensor")),
    Case("masked_loss", "masked reconstruction loss + gradient, 128 × 196 × 768", {"f32": 3}),
    Case("adamw", "AdamW, 124 M parameters", {"f32": 1.5}, configs=("loop", "foreach", "fused"), quick_batch=1_000_000,
         bandwidth=True),
    Case("start", "start of `gestalt pretrain` to the first step, 50,000 packed images", {"f32": None}, configs=("eager",)),
    Case("simclr-256", "SimCLR ResNet-18 (CIFAR stem) step, batch 256", {"f32": None, "bf16": None}, workload="simclr",
         configs=("eager",), batch=256, default=False),
]


class Failed(Exception):
    pass


class Program:
    """A process that says when it is ready and then runs a round for each line it is sent."""

    def __init__(self, command, timeout):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        start_new_session=True)
        self.pending = b""
        try:
            self.ready = self.line(timeout)
        except Failed:
            self.close()
            raise

    def line(self, timeout):
        """The next line of JSON; other output is passed over."""
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while True:
                while b"\n" in self.pending:
                    text, self.pending = self.pending.split(b"\n", 1)
                    if text.startswith(b"{"):
                        return json.loads(text)
                if not selector.select(max(0, end - time.monotonic())):
                    raise Failed(f"no answer within {timeout:.0f} s")
                data = os.read(self.process.stdout.fileno(), 1 << 20)
                if not data:
                    self.errors.seek(0)
                    last = [line.strip() for line in self.errors if line.strip()] or ["ended without a word"]
                    raise Failed(last[-1][:200])
                self.pending += data

    def round(self, seconds):
        self.process.stdin.write(f"{seconds}\n".encode())
        self.process.stdin.flush()
        return self.line(600)

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()


@dataclasses.dataclass
class Timings:
    """What one program took, round by round."""

    rounds: list = dataclasses.field(default_factory=list)  # each a list of milliseconds
    peak_mib: float = 0
    ready: dict = dataclasses.field(default_factory=dict)
    failure: str = ""

    def add(self, line):
        self.rounds.append(line["ms"])
        self.peak_mib = max(self.peak_mib, line["peak_mib"])

    def median(self):
        return statistics.median(ms for one in self.rounds for ms in one)

    def medians(self):
        return [statistics.median(one) for one in self.rounds]

    def text(self):
        if self.failure:
            return self.failure
        low, high = min(self.medians()), max(self.medians())
        return f"{figure(self.median())} ({figure(low)}–{figure(high)})"


def figure(value):
    return f"{value:.0f}" if value >= 999.5 else f"{value:.3g}"


def flags(case, dtype, options):
    batch = case.quick_batch if options.quick else case.batch
    # On CUDA a step is captured in the third.
    least, warmup = ("1", "1") if options.quick else ("2", "4" if options.device == "cuda" else "2")
    return [case.workload, "--dtype", dtype, "--device", options.device, "--batch", str(batch), "--least", least,
            "--warmup", warmup, "--threads", str(options.threads)]


def start_programs(case, dtype, options):
    """What to run, by name: Program, or Timings that say why not."""
    ours = [f"{options.build}/gestalt_bench", "run", *flags(case, dtype, options), "--serve"]
    programs = {"gestalt": Program(ours, 120)}
    for config in case.configs:
        if config == "compile" and not options.compile:
            continue
        command = peers.command(options.python, *flags(case, dtype, options), "--config", config)
        try:
            programs[config] = Program(command, options.compile_timeout if config == "compile" else 120)
        except Failed as why:
            programs[config] = Timings(failure=f"failed: {why}")
    return programs


def compare(case, dtype, options):
    programs = start_programs(case, dtype, options)
    results = {name: p if isinstance(p, Timings) else Timings(ready=p.ready) for name, p in programs.items()}
    running = [name for name, p in programs.items() if isinstance(p, Program)]
    try:
        check_same(case, results)
        for turn in range(options.rounds):
            first = turn % len(running)
            for name in running[first:] + running[:first]:
                results[name].add(programs[name].round(options.seconds))
    finally:
        for name in running:
            programs[name].close()
    return results


def check_same(case, results):
    """Refuses to compare models of different sizes."""
    counts = {name: r.ready["parameters"] for name, r in results.items() if r.ready}
    if len(set(counts.values())) > 1:
        sys.exit(f"{case.name}: the parameter counts differ: {counts}")


# --- Start ----------------------------------------------------------------------------------------------------------


def packed_images(options):
    """50,000 images of 32 pixels in one file, made once."""
    path = f"{options.build}/compare-images.packed"
    if not os.path.exists(path):
        subprocess.run([f"{options.build}/gestalt", "pack", options.images, path], check=True, stdout=subprocess.DEVNULL)
    return path


def seconds_to_first_step(packed, options):
    """From starting `gestalt pretrain simclr` until its first checkpoint, which it writes just before its first step."""
    folder = tempfile.mkdtemp(prefix="gestalt-start-")
    command = [f"{options.build}/gestalt", "pretrain", "simclr", "--data", f"packed:{packed}", "--model", "resnet18",
               "--batch", "64", "--device", options.device, "--out", f"{folder}/run"]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists(f"{folder}/run/checkpoint.safetensors"):
        if process.poll() is not None:
            sys.exit(f"start: {' '.join(command)} ended with {process.returncode}")
        time.sleep(0.001)
    seconds = time.perf_counter() - begin
    process.kill()
    process.wait()
    shutil.rmtree(folder)
    return seconds


def compare_start(case, _, options):
    packed = packed_images(options)
    results = {"gestalt": Timings(), "eager": Timings()}
    for turn in range(options.rounds + 1):
        ours = seconds_to_first_step(packed, options) * 1e3
        begin = time.perf_counter()
        program = Program(peers.command(options.python, "start", "--warmup", "0", "--file", packed), 120)
        theirs = (time.perf_counter() - begin) * 1e3
        program.close()
        if turn > 0:  # the first fills the system's file cache
            results["gestalt"].add({"ms": [ours], "peak_mib": 0})
            results["eager"].add({"ms": [theirs], "peak_mib": 0})
        results["eager"].ready = program.ready
    return results


# --- The table ------------------------------------------------------------------------------------------------------


def summary(case, dtype, results, machine):
    """One row, as numbers."""
    ours = results["gestalt"]
    others = {name: r for name, r in results.items() if name != "gestalt" and r.rounds}
    row = {"case": case.name, "work": case.work, "dtype": dtype, "aim": case.aims[dtype], "ms": ours.median(),
           "texts": {name: r.text() for name, r in results.items()}, "peak_mib": ours.peak_mib,
           "rounds": {name: r.rounds for name, r in results.items()}, "parameters": ours.ready.get("parameters", 0)}
    if others:
        best = min(others, key=lambda name: others[name].median())
        ratios = [b / a for a, b in zip(ours.medians(), others[best].medians())]
        row |= {"best": best, "ratio": others[best].median() / ours.median(), "ratios": ratios,
                "peer_peak_mib": min(other.peak_mib for other in others.values())}
    seconds = ours.median() / 1e3
    if case.bandwidth:
        row["of_peak"] = ours.ready["gbyte"] / seconds / machine["copy_gb_per_s"]
    elif ours.ready.get("gflop"):
        row["of_peak"] = ours.ready["gflop"] / seconds / machine[f"{dtype}_gflop_per_s"]
    return row


HEADS = ["work", "dtype", "parameters", "Gestalt ms", "PyTorch ms by configuration", "ratio (by round)", "aim",
         "of peak", "memory MiB, Gestalt : PyTorch"]


def cells(row):
    theirs = "<br>".join(f"{name} {text}" for name, text in row["texts"].items() if name != "gestalt")
    ratio, memory = "", ""
    if "ratio" in row:
        ratio = f"**{row['ratio']:.2f}** ({min(row['ratios']):.2f}–{max(row['ratios']):.2f})"
        if row["peak_mib"] > 0 and not row["case"].startswith("augment"):
            share = 100 * row["peak_mib"] / max(1e-9, row["peer_peak_mib"])
            memory = f"{row['peak_mib']:.0f} : {row['peer_peak_mib']:.0f} ({share:.0f} %)"
    aim = "≤ 500 ms" if row["case"] == "start" else f"≥ {row['aim']:g}" if row["aim"] else ""
    parameters = f"{row['parameters']:,}" if row["parameters"] else ""
    of_peak = f"{row['of_peak']:.2f}" if "of_peak" in row else ""
    return [row["work"], row["dtype"], parameters, row["texts"]["gestalt"], theirs, ratio, aim, of_peak, memory]


def cpu_name():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")


def report(rows, before, after, torch, options):
    def rates(m):
        return (f"copy {m['copy_gb_per_s']:.1f} GB/s, product {m['f32_gflop_per_s']:.0f} (f32) and "
                f"{m['bf16_gflop_per_s']:.0f} (bf16) GFLOP/s")

    cores = options.threads or len(os.sched_getaffinity(0))
    lines = [
        "# Gestalt beside PyTorch",
        "",
        f"`{shlex.join(sys.argv)}`",
        "",
        f"{datetime.date.today()}, {cores} cores of {cpu_name()}, PyTorch {torch}, {options.rounds} rounds in turn. "
        f"Before: {rates(before)}. After: {rates(after)}.",
        "",
        "Times are medians of all steps (lowest and highest median of a round). The ratio is PyTorch's fastest "
        "configuration over Gestalt. 'Of peak' is the step's products over the measured product rate, or for AdamW its "
        "traffic over the copy rate. Memory is the growth of the process's resident memory from before the model is "
        "built, or from when an operation's inputs lie there, to its highest; PyTorch's is its least configuration's.",
        "",
        "| " + " | ".join(HEADS) + " |",
        "|" + " --- |" * len(HEADS),
    ]
    return "\n".join(lines + ["| " + " | ".join(cells(row)) + " |" for row in rows]) + "\n"


def numbers(torch, before, after, rows):
    """What a run measured as JSON, one row a line, so that a new run is a readable difference."""
    def line(value):
        return json.dumps(value, ensure_ascii=False)

    heads = [f'"{name}": {line(value)},' for name, value in (("torch", torch), ("before", before), ("after", after))]
    return "\n".join(["{", *heads, '"rows": [', ",\n".join(map(line, rows)), "]}"]) + "\n"


def ceilings(options):
    output = subprocess.run([f"{options.build}/gestalt_bench", "machine"], check=True, capture_output=True, text=True)
    return json.loads(output.stdout)


def spread(first, second):
    """Two runs of the same cases beside each other."""
    rows = [{(r["case"], r["dtype"]): r for r in json.load(open(path))["rows"]} for path in (first, second)]
    print("| work | dtype | Gestalt ms | again | ratio | again | difference |\n| --- | --- | --- | --- | --- | --- | --- |")
    for key, a in rows[0].items():
        b = rows[1].get(key)
        if b is None or "ratio" not in a or "ratio" not in b:
            continue
        change = 100 * (b["ratio"] / a["ratio"] - 1)
        print(f"| {a['work']} | {a['dtype']} | {figure(a['ms'])} | {figure(b['ms'])} | {a['ratio']:.2f} | "
              f"{b['ratio']:.2f} | {change:+.1f} % |")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", help="names, separated by commas: " + ", ".join(c.name for c in CASES))
    parser.add_argument("--dtype", choices=["f32", "bf16"], help="only this one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of a round, at least two steps [2]")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=0, help="of both sides; 0: one a core")
    parser.add_argument("--build", default="build", help="folder with gestalt_bench and gestalt")
    parser.add_argument("--python", default=sys.executable, help="the Python that has torch")
    parser.add_argument("--images", default="shapes:50000:32", help="what the case 'start' packs and opens")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave torch.compile out")
    parser.add_argument("--compile-timeout", type=float, default=240, help="seconds that torch.compile may take [240]")
    parser.add_argument("--quick", action="store_true", help="one short round on tiny batches, without torch.compile")
    parser.add_argument("--output", help="file for the table; the numbers go beside it, in .json")
    parser.add_argument("--spread", nargs=2, metavar="JSON", help="compare two runs' numbers, and stop")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.compile = 1, 0.1, False
    return parser, options


def main():
    parser, options = parse()
    if options.spread:
        return spread(*options.spread)
    chosen = [c for c in CASES if c.default]
    if options.case:
        by_name = {c.name: c for c in CASES}
        unknown = [name for name in options.case.split(",") if name not in by_name]
        if unknown:
            parser.error(f"no case {', '.join(unknown)}; there are {', '.join(by_name)}")
        chosen = [by_name[name] for name in options.case.split(",")]
    before, rows, torch = ceilings(options), [], "?"
    for case in chosen:
        for dtype in case.aims:
            if options.dtype not in (None, dtype):
                continue
            begin = time.monotonic()
            results = (compare_start if case.name == "start" else compare)(case, dtype, options)
            rows.append(summary(case, dtype, results, before))
            torch = next((r.ready["torch"] for r in results.values() if "torch" in r.ready), torch)
            print("| " + " | ".join(cells(rows[-1])) + f" | {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    after = ceilings(options)
    text = report(rows, before, after, torch, options)
    print(text)
    if options.output:
        with open(options.output, "w") as file:
            file.write(text)
        with open(os.path.splitext(options.output)[0] + ".json", "w") as file:
            file.write(numbers(torch, before, after, rows))


if __name__ == "__main__":
    main()
