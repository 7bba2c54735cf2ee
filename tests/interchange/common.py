"""What the parts share: the program, what it trained, images, and how a comparison is reported."""
import csv
import os
import pathlib
import subprocess
import sys

import numpy as np
import torch
from PIL import Image

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
torch.set_grad_enabled(False)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LIMIT = 1e-5  # of an error, next to the largest feature or 1
failures = []


def report(what, ok, figure=""):
    print(f"{'ok  ' if ok else 'FAIL'} {what}  {figure}", flush=True)
    if not ok:
        failures.append(what)


def near(what, got, expected, limit=LIMIT):
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if got.shape != expected.shape:
        return report(what, False, f"shape {got.shape}, expected {expected.shape}")
    error = np.abs(got - expected).max() / max(1.0, np.abs(expected).max())
    report(what, error <= limit, f"{error:.1e}")


def refuses(what, call):
    try:
        call()
    except Exception as error:  # whatever the library throws
        return report(what, True, f"{type(error).__name__}: {str(error).splitlines()[0][:90]}")
    report(what, False, "was loaded")


def runs(what, card, folder, **given):
    """The program in a model card."""
    program = card.split("```python")[1].split("```")[0].replace("FOLDER", str(folder))
    sys.modules.pop("model", None)
    try:
        exec(program, given)
    except Exception as error:
        return report(what, False, repr(error))
    report(what, True)


class Gestalt:
    def __init__(self, program, work):
        self.program, self.work, self.count = os.path.abspath(program), pathlib.Path(work), 0

    def __call__(self, *arguments, fails=False):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)
        if (done.returncode != 0) != fails:
            sys.exit(f"gestalt {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def new(self, suffix=""):
        self.count += 1
        return self.work / f"{self.count}{suffix}"

    def train(self, method, data, *flags, steps=2):
        out = self.new()
        self("pretrain", method, "--data", data, "--steps", steps, "--dtype", "f32", "--out", out, *flags)
        return out

    def embed(self, model, images, *flags):
        """Features, by the order of the files' names."""
        out = self.new(".npy")
        self("embed", model, "--data", f"images:{images}", "--dtype", "f32", "--out", out, *flags)
        rows = list(csv.DictReader(open(str(out)[:-4] + ".files.csv")))
        order = np.argsort([row["file"] for row in rows])
        return np.load(out)[order]


def draw_images(folder, size, count=20):
    """Smooth colours with some noise, as PNG."""
    folder.mkdir()
    random = np.random.default_rng(size)
    for i in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((size, size), Image.BICUBIC)
        pixels = np.clip(np.asarray(coarse, dtype=float) + random.normal(0, 8, (size, size, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:03}.png")
    return folder


def files_of(folder):
    return sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))


def pixels_of(folder):
    return np.stack([np.asarray(Image.open(p).convert("RGB")) for p in files_of(folder)])


def normalised(pixels, mean=MEAN, std=STD):
    return ((torch.from_numpy(pixels).float() / 255 - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)


# Name, method, size, flags.
ENCODERS = [
    ("resnet10 of width 8, CIFAR's stem", "simclr", 32, ["--model", "resnet10", "--width", "8"]),
    ("resnet18", "simclr", 64, ["--model", "resnet18", "--stem", "imagenet"]),
    ("resnet34 of width 8", "byol", 64, ["--model", "resnet34", "--width", "8", "--stem", "imagenet"]),
    ("resnet50", "simclr", 64, ["--model", "resnet50", "--stem", "imagenet"]),
    ("resnet50 of width 16, CIFAR's stem", "simclr", 32, ["--model", "resnet50", "--width", "16", "--stem", "cifar"]),
    ("resnet10", "simclr", 64, ["--model", "resnet10", "--stem", "imagenet"]),
    ("vit-nano, mean", "simclr", 32, ["--model", "vit-nano", "--patch", "8"]),
    ("vit-tiny, class token", "simclr", 32, ["--model", "vit-tiny", "--pool", "cls", "--patch", "4"]),
    ("vit-nano without class token", "simclr", 32, ["--model", "vit-nano", "--no-class-token"]),
    ("vit-nano of transformers' epsilon", "simclr", 32, ["--model", "vit-nano", "--norm-epsilon", "1e-12"]),
    ("DCGAN's discriminator", "gan", 32, ["--model", "dcgan", "--width", "16"]),
    ("MAE's vit-nano", "mae", 32, ["--model", "vit-nano", "--patch", "8"]),
]


class Trained:
    """Each encoder after two steps, once; and its images."""

    def __init__(self, gestalt, only):
        self.gestalt, self.only, self.runs, self.folders = gestalt, only, {}, {}

    def images(self, size):
        if size not in self.folders:
            self.folders[size] = draw_images(self.gestalt.new(), size)
        return self.folders[size]

    def all(self):
        for name, method, size, flags in (e for e in ENCODERS if self.only in e[0]):
            images = self.images(size)
            if name not in self.runs:
                self.runs[name] = self.gestalt.train(method, f"images:{images}", "--size", size, "--batch", 16, *flags)
            yield name, method, size, self.runs[name], images


TEXT = "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a " \
       "wife.\nHowever little known the feelings or views of such a man may be… naïve façades, 中文, 12345.\n"
