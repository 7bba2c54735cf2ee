#!/usr/bin/env python3
"""Weights in and out, with the libraries that they come from and go to.

    tests/interchange/run.py build/gestalt [onnx] [folders] [text] [foreign] [--photos DIR] [--bpe DIR] [--only NAME]

    pip install torch torchvision timm transformers onnx onnxruntime safetensors     # from PyPI; nothing else is fetched

onnx: onnxruntime gives the features of `gestalt embed`, for every kind of encoder, from pixels and from images, in
batches of several sizes. folders: timm, transformers and torchvision load what `gestalt export --out` writes by their own
loaders and give these features; --photos names photographs to put through the folder's own processor. text: transformers
gives the loss that `gestalt evaluate text` prints, its tokenizer the same ids, onnxruntime the same logits; --bpe names
GPT-2's encoder.json and vocab.bpe. foreign: `gestalt embed` gives the features of torchvision, timm and transformers on
their own files, and `--init` begins with them.
"""
import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
torch.set_grad_enabled(False)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PARTS = ["onnx", "folders", "text", "foreign"]
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


def check_onnx(gestalt, trained):
    import onnx
    import onnxruntime

    def session(path):
        onnx.checker.check_model(onnx.load(path), full_check=True)
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    for name, _, size, run, folder in trained.all():
        features, pixels = gestalt.embed(run, folder), pixels_of(folder)
        for kind in ("pixels", "images"):
            path = gestalt.new(".onnx")
            gestalt("export", run, "--onnx", path, "--onnx-input", kind)
            net = session(path)
            given = pixels if kind == "pixels" else (pixels.astype(np.float32) / 255).transpose(0, 3, 1, 2)
            for batch in (1, 3, 17):
                got = net.run(["features"], {"images": np.ascontiguousarray(given[:batch])})[0]
                near(f"onnxruntime: {name}, {kind}, batch {batch}", got, features[:batch])
        if "resnet" in name:
            other = trained.images(48)
            got = net.run(None, {"images": (pixels_of(other).astype(np.float32) / 255).transpose(0, 3, 1, 2)})[0]
            near(f"onnxruntime: {name}, images of 48 pixels", got, gestalt.embed(run, other, "--size", 48))


def check_folders(gestalt, trained, photos):
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
        given = normalised(pixels, view["image_mean"], view["image_std"])
        if "of width" in name or "epsilon" in name or method == "gan":
            refuses(f"timm refuses {name}", lambda: timm.create_model(local, pretrained=True))
            refuses(f"transformers refuses {name}", lambda: AutoModel.from_pretrained(folder))
            net = None
            if method != "gan":
                space = {"__file__": str(folder / "model.py"), "__name__": "model"}
                exec((folder / "model.py").read_text(), space)
                net = space["load"](str(folder))
                near(f"model.py: {name}", net(given), features)
        else:
            net = timm.create_model(local, pretrained=True).eval()
            config = timm.data.resolve_model_data_config(net)
            near(f"timm: {name}", net(normalised(pixels, config["mean"], config["std"])), features)
            if method == "mae":
                theirs = AutoModel.from_pretrained(folder, mask_ratio=0.0).eval()
                restored = theirs(given, noise=torch.arange(16.0).repeat(len(given), 1)).last_hidden_state
                near(f"transformers: {name}", restored[:, 1:].mean(1), features)
                mae, loading = ViTMAEForPreTraining.from_pretrained(folder, output_loading_info=True)
                problems = {k: v for k, v in loading.items() if v}
                report("ViTMAEForPreTraining: every tensor has its place", not problems, str(problems or ""))
            else:
                theirs = AutoModel.from_pretrained(folder).eval()
                near(f"transformers: {name}", theirs(given).pooler_output.flatten(1), features)
        if photos and net is not None:
            files = files_of(photos)[:50]
            ours = gestalt.embed(run, photos)[:50]
            pictures = [Image.open(p).convert("RGB") for p in files]
            ways = {"AutoImageProcessor": processor(pictures, return_tensors="pt")["pixel_values"]}
            if not (folder / "model.py").exists():
                transform = timm.data.create_transform(**config, is_training=False)
                ways["timm's transform"] = torch.stack([transform(p) for p in pictures])
            for way, given in ways.items():
                cosine = torch.cosine_similarity(net(given), torch.from_numpy(ours)).min().item()
                report(f"photographs: {name} through {way}", cosine >= 0.999, f"cosine {cosine:.6f}")
    check_masked_loss(gestalt, trained)


def check_masked_loss(gestalt, trained):
    """The loss that a run prints, from its weights, its views and the masks that it drew."""
    from transformers import ViTMAEForPreTraining

    sys.path.append(str(pathlib.Path(__file__).parent.parent / "golden"))
    from philox import draw

    images = trained.images(32)
    seen = [i for i in range(20) if i % 10 != 9]  # every tenth is held out
    run = gestalt.train("mae", f"images:{images}", "--size", 32, "--batch", len(seen), "--model", "vit-nano", "--patch", 8,
                        "--seed", 3, "--crop-min", 1, "--flip", 0, "--normalise", "imagenet", "--lr", 0, steps=1)
    folder = gestalt.new()
    gestalt("export", run, "--out", folder)
    mae = ViTMAEForPreTraining.from_pretrained(folder).eval()
    noise = torch.tensor([[draw(3, "mask", 0, b, n // 4)[n % 4] for n in range(16)] for b in range(len(seen))],
                         dtype=torch.float64)
    got = mae(normalised(pixels_of(images)[seen]), noise=noise).loss
    rows = list(csv.DictReader(open(run / "metrics.csv")))
    near("ViTMAEForPreTraining: the loss that the run printed", got, float(rows[0]["loss"]))


TEXT = "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a " \
       "wife.\nHowever little known the feelings or views of such a man may be… naïve façades, 中文, 12345.\n"


def check_text(gestalt, bpe):
    import onnxruntime
    from transformers import AutoTokenizer, GPT2LMHeadModel

    text = gestalt.new(".txt")
    text.write_text(TEXT * 40)
    kinds = [("byte", []), ("character", ["--vocabulary-multiple", 64])] + ([("gpt2", ["--bpe", bpe])] if bpe else [])
    for kind, flags in kinds:
        run = gestalt.train("gpt", f"text:{text}", "--tokenizer", kind, "--context", 32, "--layers", 2, "--heads", 2,
                            "--width", 32, "--batch", 4, "--lr", 0.01, *flags)
        folder = gestalt.new()
        if kind == "gpt2":
            refuses("AutoTokenizer refuses the run's own folder, which has none",
                    lambda: AutoTokenizer.from_pretrained(run / "gpt2"))
        gestalt("export", run, "--out", folder)
        model, loading = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True)
        report(f"GPT2LMHeadModel: {kind}", not any(loading.values()), str({k: v for k, v in loading.items() if v} or ""))
        model.eval()
        runs(f"card: {kind}, its program", (folder / "README.md").read_text(), folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = tokenizer(TEXT * 40)["input_ids"]
        report(f"AutoTokenizer: {kind}, text comes back", tokenizer.decode(ids) == TEXT * 40, f"{len(ids)} tokens")
        windows = (len(ids) - 1) // 32
        seen = torch.tensor(ids[: windows * 32]).view(windows, 32)
        after = torch.tensor(ids[1 : windows * 32 + 1]).view(windows, 32)
        logits = model(seen).logits
        loss = torch.nn.functional.cross_entropy(logits.double().flatten(0, 1), after.flatten()).item()
        said = json.loads(gestalt("evaluate", "text", run, "--data", f"text:{text}", "--split", "all", "--dtype", "f32",
                                  "--json", *(["--bpe", bpe] if kind == "gpt2" else [])))
        near(f"transformers: {kind}, the loss of evaluate text by its own tokens", loss, said["nats_per_token"])
        path = gestalt.new(".onnx")
        gestalt("export", run, "--onnx", path)
        net = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for batch, length in ((1, 1), (3, 17), (windows, 32)):
            got = net.run(["logits"], {"input_ids": seen[:batch, :length].numpy()})[0]
            near(f"onnxruntime: {kind}, logits of {batch} x {length}", got, logits[:batch, :length])


def shaken(net):
    """Weights as drawn, running statistics and constant parts away from where they begin."""
    generator = torch.Generator().manual_seed(1)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.is_floating_point():
            value.add_(torch.randn(value.shape, generator=generator) * 0.02)
    return net.eval()


def check_foreign(gestalt, trained):
    import timm
    import torchvision
    import transformers
    from safetensors.torch import load_file, save_file

    def file_of(net):
        path = gestalt.new(".safetensors")
        save_file({name: value.contiguous() for name, value in net.state_dict().items()}, path)
        return path

    def agrees(what, path, features, size, *flags):
        images = trained.images(size)
        near(what, gestalt.embed(path, images, *flags), features(normalised(pixels_of(images))))
        return path

    for name in ("resnet18", "resnet34", "resnet50"):
        net = shaken(getattr(torchvision.models, name)())
        path = file_of(net)
        said = gestalt("embed", path, "--data", f"images:{trained.images(64)}", "--size", 64, "--out", gestalt.new(".npy"))
        report(f"torchvision: {name}, the head is named", "ignored: fc.bias, fc.weight" in said)
        net.fc = torch.nn.Identity()
        agrees(f"torchvision: {name}", path, net, 64, "--size", 64)
    vit = shaken(torchvision.models.VisionTransformer(32, 8, 6, 4, 128, 512))
    vit.heads = torch.nn.Identity()
    agrees("torchvision: ViT", file_of(vit), vit, 32)

    net = shaken(timm.create_model("resnet18", num_classes=0))
    agrees("timm: resnet18", file_of(net), net, 64, "--size", 64)
    for flags, pool in (({}, "cls"), ({"global_pool": "avg", "fc_norm": False}, "mean")):
        net = shaken(timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0, **flags))
        agrees(f"timm: vit_tiny, {pool}", file_of(net), net, 64, "--pool", pool)
    folder = gestalt.new()  # as timm writes it for Hugging Face's hub
    net.pretrained_cfg |= {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "input_size": (3, 64, 64)}
    timm.models.save_for_hf(net, folder, safe_serialization=True, model_args={"img_size": 64, "global_pool": "avg", "fc_norm": False})
    images = trained.images(64)
    near("timm: vit_tiny in a folder of its hub", gestalt.embed(folder, images),
         net(normalised(pixels_of(images), (0.5,) * 3, (0.5,) * 3)))
    refuses_all = {"fc_norm": {"global_pool": "avg"}, "reg_token": {"reg_tokens": 4}, "gamma": {"init_values": 0.1}}
    for part, flags in refuses_all.items():
        path = file_of(timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0, **flags))
        said = gestalt("embed", path, "--data", f"images:{images}", "--out", gestalt.new(".npy"), fails=True)
        report(f"gestalt refuses a ViT with {part}", part in said, said.strip().splitlines()[-1][:110])

    shape = dict(hidden_size=128, num_hidden_layers=6, num_attention_heads=4, intermediate_size=512, image_size=32,
                 patch_size=8)
    theirs = shaken(transformers.ViTModel(transformers.ViTConfig(**shape)))
    agrees("transformers: ViTModel", file_of(theirs), lambda x: theirs(x).last_hidden_state[:, 0], 32)
    folder = gestalt.new()
    theirs.save_pretrained(folder)
    transformers.ViTImageProcessor(size=32, image_mean=(0.5,) * 3, image_std=(0.5,) * 3).save_pretrained(folder)
    images = trained.images(32)
    near("transformers: ViTModel in its folder", gestalt.embed(folder, images),
         theirs(normalised(pixels_of(images), (0.5,) * 3, (0.5,) * 3)).last_hidden_state[:, 0])
    mae = shaken(transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**shape, decoder_hidden_size=64, mask_ratio=0.0)))
    folder = gestalt.new()
    mae.save_pretrained(folder)
    agrees("transformers: ViTMAEForPreTraining in its folder", folder,
           lambda x: mae.vit(x, noise=torch.arange(16.0).repeat(len(x), 1)).last_hidden_state[:, 1:].mean(1), 32)
    for blocks, kind in (([2, 2, 2, 2], "basic"), ([3, 4, 6, 3], "bottleneck")):
        scale = 4 if kind == "bottleneck" else 1
        config = transformers.ResNetConfig(embedding_size=64, hidden_sizes=[64 * scale << i for i in range(4)],
                                           depths=blocks, layer_type=kind)
        resnet = shaken(transformers.ResNetModel(config))
        agrees(f"transformers: ResNetModel, {kind}", file_of(resnet), lambda x: resnet(x).pooler_output.flatten(1), 64,
               "--size", 64)

    # A learning rate of 0 leaves the weights where they began.
    vit = shaken(timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, num_classes=0))
    flags = ["--batch", 16, "--lr", 0, "--model", "vit-tiny", "--patch", 8, "--pool", "cls", "--init", file_of(vit)]
    run = gestalt.train("simclr", f"images:{trained.images(32)}", "--size", 32, *flags)
    begun = load_file(run / "encoder.safetensors")
    expected = {name: value for name, value in vit.state_dict().items() if name in begun}
    report("--init: the weights are timm's", len(expected) == len(begun) and
           all(torch.equal(begun[name], value) for name, value in expected.items()), f"{len(begun)} tensors")
    run = gestalt.train("simclr", f"images:{trained.images(64)}", "--size", 64, *flags)
    larger = timm.layers.resample_abs_pos_embed(vit.pos_embed, [8, 8], num_prefix_tokens=1, antialias=False)
    near("--init: positions of another size", load_file(run / "encoder.safetensors")["pos_embed"], larger)
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=256, n_positions=32, n_embd=32, n_layer=2, n_head=2, tie_word_embeddings=False))
    folder, text = gestalt.new(), gestalt.new(".txt")
    theirs.save_pretrained(folder)
    text.write_text(TEXT * 40)
    gpt = ["--tokenizer", "byte", "--context", 32, "--layers", 2, "--heads", 2, "--width", 32, "--batch", 4, "--lr", 0]
    said = gestalt("pretrain", "gpt", "--data", f"text:{text}", "--steps", 1, "--out", gestalt.new(), "--init", folder, *gpt,
                   fails=True)
    report("--init: a GPT-2 with a head of its own is refused", "lm_head.weight is not the token table" in said)
    theirs.config.tie_word_embeddings = True
    tied = transformers.GPT2LMHeadModel(theirs.config)
    tied.save_pretrained(folder)
    run = gestalt.train("gpt", f"text:{text}", "--init", folder, *gpt)
    begun, expected = load_file(run / "gpt2" / "model.safetensors"), tied.state_dict()
    report("--init: a GPT-2's weights", all(torch.equal(value, expected[name]) for name, value in begun.items()),
           f"{len(begun)} tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("parts", nargs="*", metavar="PART", help="of " + ", ".join(PARTS) + "; all where none is named")
    parser.add_argument("--photos")
    parser.add_argument("--bpe")
    parser.add_argument("--only", default="", help="of the encoders of onnx and folders, those with this in their name")
    given = parser.parse_args()
    parts = given.parts or PARTS
    if not set(parts) <= set(PARTS):
        parser.error(f"got {' '.join(parts)}, expected some of {' '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as work:
        gestalt = Gestalt(given.program, work)
        trained = Trained(gestalt, given.only)
        if "onnx" in parts:
            check_onnx(gestalt, trained)
        if "folders" in parts:
            check_folders(gestalt, trained, given.photos)
        if "text" in parts:
            check_text(gestalt, given.bpe)
        if "foreign" in parts:
            check_foreign(gestalt, trained)
    print(f"{len(failures)} failed" + "".join(f"\n  {f}" for f in failures))
    sys.exit(bool(failures))


main()
