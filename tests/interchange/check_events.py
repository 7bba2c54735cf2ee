"""Event files: TensorBoard reads scalars, pictures and histograms, also of a run that was killed; W&B's reader too."""
import collections
import csv
import io
import json
import os
import signal
import struct
import subprocess
import time

from PIL import Image

from common import report

TINY = ["pretrain", "mae", "--preset", "mae-tiny", "--data", "shapes:256", "--epochs", "6", "--probe-every", "1", "--tensorboard",
        "--checkpoint-minutes", "0", "--no-html"]


def killed_and_resumed(gestalt):
    run = gestalt.new()
    program = subprocess.Popen([gestalt.program, *TINY, "--out", str(run)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while program.poll() is None and not (run / "picture-0002.png").exists():
        time.sleep(0.01)
    program.send_signal(signal.SIGKILL)
    program.wait()
    gestalt("pretrain", "mae", "--resume", run, "--no-html")
    return run


def check_tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
    events.Reload()
    rows = list(csv.DictReader(open(run / "metrics.csv")))
    steps = [int(float(row["step"])) for row in rows]
    tags = events.Tags()
    for column in (name for name in rows[0] if name not in ("step", "epoch")):
        points = [(int(float(row["step"])), float(row[column])) for row in rows if row[column]]
        got = [(e.step, e.value) for e in events.Scalars(f"metrics/{column}")]
        near = len(got) == len(points) and all(a[0] == b[0] and abs(a[1] - b[1]) <= 1e-6 * abs(b[1]) for a, b in zip(got, points))
        report(f"TensorBoard: {column} as in metrics.csv, once a step", near, f"{len(got)} points")
    report("TensorBoard: timings", "timing/forward_ms" in tags["scalars"])
    for tag in ("views", "picture"):
        pictures = events.Images(tag) if tag in tags["images"] else []
        same = pictures and all(Image.open(io.BytesIO(p.encoded_image_string)).size == (p.width, p.height) for p in pictures)
        report(f"TensorBoard: {tag}", bool(same) and [p.step for p in pictures] == steps, f"{len(pictures)} pictures")
    histograms = [name for name in tags["histograms"] if name.startswith("weights/encoder.")]
    whole = all(len(events.Histograms(name)) == len(steps) for name in histograms)
    report("TensorBoard: histograms of weights", len(histograms) > 10 and whole, f"{len(histograms)} of {len(steps)} steps")


def records(path):
    """Of a .wandb file, whose blocks are those of LevelDB's log."""
    from wandb.proto import wandb_internal_pb2

    data, at, record = open(path, "rb").read(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        record, at = record + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def history(work):
    """What W&B has written so far: by key, the values."""
    seen = collections.defaultdict(list)
    for path in work.rglob("*.wandb"):
        for record in records(path):
            for item in record.history.item if record.WhichOneof("record_type") == "history" else ():
                seen[item.key or "/".join(item.nested_key)].append(item.value_json)
    return seen


def check_wandb(gestalt):
    """W&B reads event files that grow while its run is open; offline it keeps what it read in a file."""
    import wandb

    work, run = gestalt.new(), gestalt.new()
    work.mkdir(), run.mkdir()
    os.environ["WANDB_SILENT"] = "true"
    session = wandb.init(mode="offline", project="events", dir=str(work), sync_tensorboard=True)
    session._tensorboard_callback(str(run), save=True, root_logdir=str(run))  # what its patch of TensorBoard's writer calls
    gestalt(*TINY, "--out", run)
    losses = [float(row["loss"]) for row in csv.DictReader(open(run / "metrics.csv"))]
    for _ in range(60):  # it looks at the files from time to time, and at the end only for so long
        time.sleep(1)
        if len(history(work)["metrics/loss"]) + 1 >= len(losses):  # a step is written when the next one begins
            break
    session.finish()
    seen = history(work)
    got = [json.loads(value) for value in seen["metrics/loss"]]
    report("W&B: the loss as in metrics.csv", len(got) == len(losses) and
           all(abs(a - b) <= 1e-6 * abs(b) for a, b in zip(got, losses)), f"{len(got)} points of {len(seen)} keys")
    report("W&B: pictures and histograms", any(k.startswith("views") for k in seen) and any(k.startswith("weights/") for k in seen))


def check(gestalt, _, __):
    run = killed_and_resumed(gestalt)
    report("events: a file a sitting", len(list(run.glob("events.out.tfevents.*"))) == 2)
    check_tensorboard(run)
    check_wandb(gestalt)
