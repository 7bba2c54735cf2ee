#!/usr/bin/env python3
"""The PyTorch side of bench/compare.py: the workloads of `gestalt_bench list`, written as a PyTorch user would.

usage: bench/peers.py CASE [--config eager|compile|...] [--dtype f32|bf16] [--batch N] [--size N] [--device cpu|cuda]
                      [--seconds S | --serve]

Prints a line of JSON when ready (parameters, threads, version) and one for each round (milliseconds of each step, peak
memory). With --serve a round starts for each line of standard input, which gives its seconds. bf16 is autocast, as
training uses it; convolutions are channels-last; optimizers are the fused ones. Shares no code with Gestalt.
"""
import argparse
import copy
import itertools
import json
import os
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


# --- Encoders -------------------------------------------------------------------------------------------------------


class BasicBlock(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        self.downsample = nn.Identity()
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


def resnet18_cifar():
    """ResNet-18 with a 3x3 stem and no max-pool: (N, 3, S, S) -> (N, 512)."""
    layers, inside = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for outside, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [BasicBlock(inside, outside, stride), BasicBlock(outside, outside, 1)]
        inside = outside
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def mlp(inside, hidden, outside):
    return nn.Sequential(
        nn.Linear(inside, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outside))


class TransformerBlock(nn.Module):
    """Pre-norm; attention by scaled_dot_product_attention."""

    def __init__(self, width, heads, causal, gelu, eps):
        super().__init__()
        self.heads, self.causal, self.gelu = heads, causal, gelu
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.proj(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate=self.gelu))


class MaskedAutoencoder(nn.Module):
    """ViT-Ti encoder, decoder 128 x 4 x 4, fixed positions, loss on normalised masked patches (He et al. 2022)."""

    def __init__(self, size, patch=4, width=192, depth=12, heads=3, decoder=(128, 4, 4), ratio=0.75):
        super().__init__()
        self.patch, self.count = patch, (size // patch) ** 2
        self.kept = int(self.count * (1 - ratio))
        narrow, decoder_depth, decoder_heads = decoder
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.mask_token = nn.Parameter(torch.randn(1, 1, narrow) * 0.02)
        self.register_buffer("positions", torch.randn(1, self.count + 1, width) * 0.02)
        self.register_buffer("decoder_positions", torch.randn(1, self.count + 1, narrow) * 0.02)
        self.encoder = nn.Sequential(*[TransformerBlock(width, heads, False, "none", 1e-6) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, 1e-6)
        self.decoder_embed = nn.Linear(width, narrow)
        self.decoder = nn.Sequential(
            *[TransformerBlock(narrow, decoder_heads, False, "none", 1e-6) for _ in range(decoder_depth)])
        self.decoder_norm = nn.LayerNorm(narrow, 1e-6)
        self.predict = nn.Linear(narrow, patch * patch * 3)

    def forward(self, images):
        batch = images.shape[0]
        x = self.embed(images).flatten(2).transpose(1, 2) + self.positions[:, 1:]
        order = torch.rand(batch, self.count, device=x.device).argsort(1)
        restore, keep = order.argsort(1), order[:, : self.kept]
        x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))
        cls = (self.cls_token + self.positions[:, :1]).expand(batch, -1, -1)
        x = self.decoder_embed(self.norm(self.encoder(torch.cat([cls.to(x.dtype), x], 1))))
        masked = self.mask_token.to(x.dtype).expand(batch, self.count - self.kept, -1)
        y = torch.cat([x[:, 1:], masked], 1)
        y = y.gather(1, restore[..., None].expand(-1, -1, y.shape[-1]))
        y = self.decoder(torch.cat([x[:, :1], y], 1) + self.decoder_positions)
        mask = torch.ones(batch, self.count, device=x.device).scatter(1, keep, 0.0)
        return masked_loss(self.predict(self.decoder_norm(y[:, 1:])), images, mask, self.patch)


class Gpt(nn.Module):
    def __init__(self, vocabulary, context, width, depth, heads):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[TransformerBlock(width, heads, True, "tanh", 1e-5) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, 1e-5)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        logits = F.linear(self.norm(self.blocks(x)), self.wte.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1))


# --- Losses ---------------------------------------------------------------------------------------------------------


def nt_xent(z, temperature=0.5):
    z = F.normalize(z.float(), dim=1)
    count = z.shape[0]
    similarity = z @ z.t() / temperature
    similarity.fill_diagonal_(-1e9)
    return F.cross_entropy(similarity, torch.arange(count, device=z.device).roll(count // 2))


def cosine_loss(p, z):
    return (2 - 2 * (F.normalize(p.float(), dim=1) * F.normalize(z.float(), dim=1)).sum(1)).mean()


def masked_loss(predictions, images, mask, patch):
    """MAE's forward_loss: images (B, 3, H, W), mask (B, patches) with 1 where a patch was hidden."""
    batch, channels, height, width = images.shape
    target = images.view(batch, channels, height // patch, patch, width // patch, patch)
    target = target.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, patch * patch * channels)
    target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    return (((predictions.float() - target) ** 2).mean(-1) * mask).sum() / mask.sum()


# --- Cases: each returns step(), the trained parameters and what a round yields --------------------------------------


class Case:
    def __init__(self, step, modules=(), parameters=None):
        self.step = step
        counted = [p.numel() for m in modules for p in m.parameters() if p.requires_grad]
        self.parameters = sum(counted) if parameters is None else parameters


def compiled(options):
    return torch.compile if options.config == "compile" else lambda function: function


def amp(options):
    return torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.dtype == "bf16")


def trainer(loss_of, optimizer, after=lambda: None):
    def step():
        loss = loss_of()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        after()
        return loss

    return step


def sgd(modules):
    parameters = [p for m in modules for p in m.parameters()]
    return torch.optim.SGD(parameters, 0.01, 0.9, weight_decay=1e-4, fused=True)


def adamw(module):
    return torch.optim.AdamW(module.parameters(), 1e-4, weight_decay=0.05, fused=True)


def two_views(options):
    shape = (2 * (options.batch or 64), 3, options.size or 32, options.size or 32)
    return torch.rand(shape, device=options.device).to(memory_format=torch.channels_last)


def simclr(options):
    model = nn.Sequential(resnet18_cifar(), mlp(512, 2048, 128)).to(options.device, memory_format=torch.channels_last)
    views = two_views(options)

    @compiled(options)
    def loss_of(x):
        with amp(options):
            z = model(x)
        return nt_xent(z)

    return Case(trainer(lambda: loss_of(views), sgd([model])), [model])


def byol(options):
    """Each view passes batch norm by itself, as in the authors' code."""
    online = nn.Sequential(resnet18_cifar(), mlp(512, 2048, 128)).to(options.device, memory_format=torch.channels_last)
    target, predictor = copy.deepcopy(online).requires_grad_(False), mlp(128, 2048, 128).to(options.device)
    views = [v.contiguous(memory_format=torch.channels_last) for v in two_views(options).chunk(2)]
    pairs = list(target.parameters()), list(online.parameters())

    @compiled(options)
    def loss_of(first, second):
        with amp(options):
            with torch.no_grad():
                z = [target(v) for v in (first, second)]
            p = [predictor(online(v)) for v in (first, second)]
        return cosine_loss(p[0], z[1]) + cosine_loss(p[1], z[0])

    @torch.no_grad()
    def average():
        torch._foreach_lerp_(*pairs, 0.01)

    return Case(trainer(lambda: loss_of(*views), sgd([online, predictor]), average), [online, predictor])


def mae(options, size=32, **shape):
    size = options.size or size
    model = MaskedAutoencoder(size, **shape).to(options.device)
    images = torch.randn(options.batch or 128, 3, size, size, device=options.device)

    @compiled(options)
    def loss_of(x):
        with amp(options):
            return model(x)

    return Case(trainer(lambda: loss_of(images), adamw(model)), [model])


def gpt(options, width, depth, context, batch, vocabulary=65):
    context, batch = options.size or context, options.batch or batch
    model = Gpt(vocabulary, context, width, depth, depth).to(options.device)
    tokens, targets = torch.randint(vocabulary, (2, batch, context), device=options.device)

    @compiled(options)
    def loss_of(x, y):
        with amp(options):
            return model(x, y)

    return Case(trainer(lambda: loss_of(tokens, targets), adamw(model)), [model])


def gradient_of(function, x):
    def step():
        x.grad = None
        loss = function(x)
        loss.backward()
        return loss

    return step


def nt_xent_case(options):
    z = torch.randn(options.batch or 4096, options.size or 128, device=options.device, requires_grad=True)
    return Case(gradient_of(compiled(options)(nt_xent), z))


def masked_loss_case(options):
    batch, size, patch = options.batch or 128, options.size or 224, 16
    count = (size // patch) ** 2
    predictions = torch.randn(batch, count, patch * patch * 3, device=options.device, requires_grad=True)
    images = torch.randn(batch, 3, size, size, device=options.device)
    order = torch.rand(batch, count, device=options.device).argsort(1)
    mask = torch.ones(batch, count, device=options.device).scatter(1, order[:, : count // 4], 0.0)
    loss_of = compiled(options)(masked_loss)
    return Case(gradient_of(lambda p: loss_of(p, images, mask, patch), predictions))


def adamw_case(options):
    """One update of 48 tensors; --config loop, foreach or fused."""
    each = (options.batch or 124_000_000) // 48 // 16 * 16
    weights = [torch.randn(each, device=options.device, requires_grad=True) for _ in range(48)]
    for w in weights:
        w.grad = torch.randn_like(w)
    kind = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[options.config]
    optimizer = torch.optim.AdamW(weights, 1e-4, **kind)
    return Case(optimizer.step, parameters=each * 48)


class Views(torch.utils.data.Dataset):
    """Two random views of an image; endless."""

    def __init__(self, images, transform):
        self.images, self.transform = images, transform

    def __len__(self):
        return 1 << 40

    def __getitem__(self, index):
        image = self.images[index % len(self.images)]
        return self.transform(image), self.transform(image)


def augment(options, view, image):
    """A batch of two views from DataLoader workers, one a core; --config v1-pil, v2-pil or v2-tensor."""
    import numpy
    from PIL import Image
    from torchvision import transforms as v1
    from torchvision.transforms import v2

    batch, size = options.batch or 64, options.size or view
    t = v1 if options.config == "v1-pil" else v2
    jitter = t.RandomApply([t.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)
    chain = [t.RandomResizedCrop(size, (0.08, 1)), t.RandomHorizontalFlip(), jitter, t.RandomGrayscale(0.2)]
    if size >= 96:
        chain.append(t.RandomApply([t.GaussianBlur(23, (0.1, 2.0))], p=0.5))
    if options.config == "v1-pil":
        chain.append(v1.ToTensor())
    else:
        chain += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    chain.append(t.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    side = options.size or image
    pixels = numpy.random.default_rng(1).integers(0, 256, (batch, side, side, 3), dtype=numpy.uint8)
    images = [Image.fromarray(p) for p in pixels]
    if options.config == "v2-tensor":
        images = [torch.from_numpy(p).permute(2, 0, 1) for p in pixels]
    workers = options.threads or len(os.sched_getaffinity(0))
    loader = torch.utils.data.DataLoader(
        Views(images, t.Compose(chain)), batch, num_workers=workers, sampler=itertools.count())
    batches = iter(loader)
    case = Case(lambda: next(batches))
    case.ahead = 2 * workers  # batches that were made between rounds; from then on they come as fast as they are made
    return case


def start(options):
    """Everything up to the first step of SimCLR training on 50,000 images of 32 pixels in a file, then the step."""
    import numpy
    from torchvision import transforms  # noqa: F401, what the augmentation comes from

    pixels = numpy.memmap(options.file, numpy.uint8, "r")[: 50_000 * 3072].reshape(-1, 32, 32, 3)
    torch.from_numpy(pixels[:256].copy())
    return simclr(options)


CASES = {
    "simclr": simclr,
    "byol": byol,
    "mae": mae,
    "mae-vit-b": lambda o: mae(o, 224, patch=16, width=768, depth=12, heads=12, decoder=(512, 8, 16)),
    "gpt-124m": lambda o: gpt(o, 768, 12, 1024, 32, 50304),
    "gpt-4x128": lambda o: gpt(o, 128, 4, 64, 12),
    "gpt-6x384": lambda o: gpt(o, 384, 6, 256, 16),
    "nt_xent": nt_xent_case,
    "augment-32": lambda o: augment(o, 32, 32),
    "augment-224": lambda o: augment(o, 224, 256),
    "masked_loss": masked_loss_case,
    "adamw": adamw_case,
    "start": start,
}


# --- Rounds ---------------------------------------------------------------------------------------------------------


def status_mib(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))


def round_of(case, options, seconds, before):
    wait = torch.cuda.synchronize if options.device == "cuda" else lambda: None
    for _ in range(getattr(case, "ahead", 0)):
        case.step()
    wait()
    times, begin = [], time.perf_counter()
    while len(times) < options.least or time.perf_counter() - begin < seconds:
        start_of_step = time.perf_counter()
        case.step()
        wait()
        times.append((time.perf_counter() - start_of_step) * 1e3)
    if hasattr(case, "ahead"):  # workers deliver in bursts: only the mean says how fast they are
        times = [sum(times) / len(times)]
    peak = torch.cuda.max_memory_allocated() / 2**20 if options.device == "cuda" else status_mib("VmHWM") - before
    return {"ms": times, "peak_mib": peak}


def say(line):
    print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
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
    else:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak begins here
    before = status_mib("VmRSS")
    case = CASES[options.case](options)
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
