#!/usr/bin/env python3
"""Plants copies and noise among photographs, and asks `gestalt look`, cleanvision and fastdup for them.

    bench/look.py build/gestalt PHOTOS WORK [--seed 1]

PHOTOS is a folder of 100 photographs or more, WORK a new folder. 20 photographs get an exact copy under another name (10
of them as PNG, so that the file's bytes differ), 20 others a near one: saved again as JPEG of quality 60, or resized to
three quarters, or a little brighter, or without 4 % of each edge. 5 images of noise are added. SimCLR learns from all of
it for 10 epochs. Prints a table of what each program found: a copy is found if its pair is reported, a pair that is
no planted one is false; of noise, how many of the 5 are among the 10 strangest. cleanvision and fastdup (PyPI), which
comes with a trained network, have a row where they are installed. Needs Pillow and NumPy. Each program's thresholds are
its defaults; seconds are those of the processor, without the training.
"""
import argparse
import csv
import itertools
import os
import random
import subprocess

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

NEAR = {
    "quality": lambda im: im,
    "smaller": lambda im: im.resize((im.width * 3 // 4, im.height * 3 // 4), Image.Resampling.LANCZOS),
    "brighter": lambda im: ImageEnhance.Brightness(im).enhance(1.15),
    "cropped": lambda im: ImageOps.crop(im, im.width // 25).resize(im.size, Image.Resampling.BICUBIC),
}


def plant(photos, folder, seed):
    """Returns {frozenset of two names: "exact" or "near"} and the names of the noise."""
    chosen = random.Random(seed)
    names = sorted(os.path.join(at, name) for at, _, all_names in os.walk(photos) for name in all_names
                   if name.lower().endswith((".jpg", ".jpeg", ".png")))
    chosen.shuffle(names)
    pairs, noise = {}, []
    for i, name in enumerate(names):
        image = Image.open(name).convert("RGB")
        original = f"photo-{i:04}.jpg"
        with open(name, "rb") as source, open(f"{folder}/{original}", "wb") as to:
            to.write(source.read())
        if i < 20:
            copy = f"again-{i:04}.{'png' if i % 2 else 'jpg'}"
            if i % 2:
                image.save(f"{folder}/{copy}")
            else:
                os.link(f"{folder}/{original}", f"{folder}/{copy}")
            pairs[frozenset((original, copy))] = "exact"
        elif i < 40:
            how = list(NEAR)[i % len(NEAR)]
            copy = f"again-{i:04}.jpg"
            NEAR[how](image).save(f"{folder}/{copy}", quality=60 if how == "quality" else 90)
            pairs[frozenset((original, copy))] = "near"
    draw = np.random.default_rng(seed)
    for i in range(5):
        noise.append(f"noise-{i}.png")
        Image.fromarray(draw.integers(0, 256, (224, 224, 3), np.uint8)).save(f"{folder}/{noise[-1]}")
    return pairs, noise


def all_pairs(names):
    return {frozenset(pair) for pair in itertools.combinations(sorted(map(os.path.basename, names)), 2)}


def with_gestalt(program, folder, work):
    run = f"{work}/run"
    subprocess.run([program, "pretrain", "simclr", "--data", f"images:{folder}", "--model", "resnet10", "--width", "32", "--size", "96",
                    "--batch", "64", "--epochs", "10", "--no-html", "--out", run], check=True, capture_output=True)
    yield  # what is measured begins here
    subprocess.run([program, "look", run, "--data", f"images:{folder}", "--out", f"{work}/look"], check=True, capture_output=True)
    with open(f"{work}/look/duplicates.csv") as rows:
        pairs = {frozenset((row["file"], row["other"])) for row in csv.DictReader(rows)}
    with open(f"{work}/look/outliers.csv") as rows:
        yield pairs, [row["file"] for row in itertools.islice(csv.DictReader(rows), 10)]


def with_cleanvision(_, folder, __):
    import cleanvision
    yield
    lab = cleanvision.Imagelab(data_path=folder)
    lab.find_issues(n_jobs=1, verbose=False)
    pairs = set()
    for kind in ("exact_duplicates", "near_duplicates"):
        for names in lab.info[kind]["sets"]:
            pairs |= all_pairs(names)
    flags = lab.issues[[name for name in lab.issues if name.startswith("is_") and "duplicates" not in name]].any(axis=1)
    yield pairs, [os.path.basename(name) for name in lab.issues.index[flags]][:10]


def with_fastdup(_, folder, work):
    import fastdup
    yield
    found = fastdup.create(work_dir=f"{work}/fastdup", input_dir=folder)
    found.run(num_images=0, overwrite=True, print_summary=False)
    similar = found.similarity()
    pairs = set()
    for a, b in zip(similar["filename_from"], similar["filename_to"]):
        pairs |= all_pairs({a, b})
    yield pairs, [os.path.basename(name) for name in found.outliers()["filename_outlier"].head(10)]


def seconds():
    times = os.times()
    return times.user + times.children_user


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("photos")
    parser.add_argument("work")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = os.path.abspath(options.work) + "/images"
    os.makedirs(folder)
    pairs, noise = plant(options.photos, folder, options.seed)
    print(f"{len(os.listdir(folder))} images\n\n| program | exact copies of 20 | near ones of 20 | false pairs | noise of 5 | CPU seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, look in (("gestalt look", with_gestalt), ("cleanvision", with_cleanvision), ("fastdup", with_fastdup)):
        work = look(options.program, folder, os.path.abspath(options.work))
        try:
            next(work)
        except ImportError:
            print(f"| {name} | not installed | | | | |")
            continue
        begin = seconds()
        got, strangest = next(work)
        took = seconds() - begin
        counts = [sum(pair in got for pair, of in pairs.items() if of == kind) for kind in ("exact", "near")]
        print(f"| {name} | {counts[0]} | {counts[1]} | {len(got - set(pairs))} | {len(set(noise) & set(strangest))} | {took:.1f} |")


if __name__ == "__main__":
    main()
