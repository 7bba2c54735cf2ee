"""Exported folders: timm, transformers and torchvision load them by their own loaders and give Gestalt's features."""
import csv
import json
import pathlib
import sys

import torch
from PIL import Image

from common import files_of, near, normalised, pixels_of, refuses, report, runs


def check(gestalt, trained, given):
    import timm
    from transformers import AutoImageProcessor, AutoModel, ViTMAEForPreTraining

    for name, method, size, run, images in trained.all():
        folder = gestalt.new()
        gestalt("export", run, "--out", folder)
        features, pixels = gestalt.embed(run, images), pixels_of(images)
        local = f"local-dir:{folder}"
        near(f"gestalt: {name} from its folder", gestalt.embed(folder, images), features, 0)
        card = (folder / "README.md").read_text()
        report(f"card: {name}", f"gestalt pretrain {method}" in card and "library_name" in card)
        runs(f"card: {name}, its program", card, folder, pixels=normalised(pixels))
        processor = AutoImageProcessor.from_pretrained(folder)
        view = json.loads((folder / "preprocessor_config.json").read_text())
        seen = normalised(pixels, view["image_mean"], view["image_std"])
        if "of width" in name or "epsilon" in name or method == "gan":
            refuses(f"timm refuses {name}", lambda: timm.create_model(local, pretrained=True))
            refuses(f"transformers refuses {name}", lambda: AutoModel.from_pretrained(folder))
            net = None
            if method != "gan":
                space = {"__file__": str(folder / "model.py"), "__name__": "model"}
                exec((folder / "model.py").read_text(), space)
                net = space["load"](str(folder))
                near(f"model.py: {name}", net(seen), features)
        else:
            net = timm.create_model(local, pretrained=True).eval()
            config = timm.data.resolve_model_data_config(net)
            near(f"timm: {name}", net(normalised(pixels, config["mean"], config["std"])), features)
            if method == "mae":
                theirs = AutoModel.from_pretrained(folder, mask_ratio=0.0).eval()
                restored = theirs(seen, noise=torch.arange(16.0).repeat(len(seen), 1)).last_hidden_state
                near(f"transformers: {name}", restored[:, 1:].mean(1), features)
                mae, loading = ViTMAEForPreTraining.from_pretrained(folder, output_loading_info=True)
                problems = {k: v for k, v in loading.items() if v}
                report("ViTMAEForPreTraining: every tensor has its place", not problems, str(problems or ""))
            else:
                theirs = AutoModel.from_pretrained(folder).eval()
                near(f"transformers: {name}", theirs(seen).pooler_output.flatten(1), features)
        if given.photos and net is not None:
            files = files_of(given.photos)[:50]
            ours = gestalt.embed(run, given.photos)[:50]
            pictures = [Image.open(p).convert("RGB") for p in files]
            ways = {"AutoImageProcessor": processor(pictures, return_tensors="pt")["pixel_values"]}
            if not (folder / "model.py").exists():
                transform = timm.data.create_transform(**config, is_training=False)
                ways["timm's transform"] = torch.stack([transform(p) for p in pictures])
            for way, shown in ways.items():
                cosine = torch.cosine_similarity(net(shown), torch.from_numpy(ours)).min().item()
                report(f"photographs: {name} through {way}", cosine >= 0.999, f"cosine {cosine:.6f}")
    check_masked_loss(gestalt, trained)


def check_masked_loss(gestalt, trained):
    """The loss that a run prints, from its weights, its views and the masks that it drew."""
    from transformers import ViTMAEForPreTraining

    sys.path.append(str(pathlib.Path(__file__).parent.parent / "golden"))
    from philox import draw

    images = trained.images(32)
    count = len(files_of(images))
    run = gestalt.train("mae", f"images:{images}", "--size", 32, "--batch", count, "--model", "vit-nano", "--patch", 8,
                        "--seed", 3, "--crop-min", 1, "--flip", 0, "--normalise", "imagenet", "--lr", 0, steps=1)
    folder = gestalt.new()
    gestalt("export", run, "--out", folder)
    mae = ViTMAEForPreTraining.from_pretrained(folder).eval()
    noise = torch.tensor([[draw(3, "mask", 0, b, n // 4)[n % 4] for n in range(16)] for b in range(count)],
                         dtype=torch.float64)
    got = mae(normalised(pixels_of(images)), noise=noise).loss
    rows = list(csv.DictReader(open(run / "metrics.csv")))
    near("ViTMAEForPreTraining: the loss that the run printed", got, float(rows[0]["loss"]))
