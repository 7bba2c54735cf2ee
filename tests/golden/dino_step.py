#!/usr/bin/env python3
"""One step of DINO in PyTorch (f64) with timm's blocks: two global and two local views, loss, the student's gradients,
and the centre after it.

The encoder is a ViT of 128 × 6 × 4 with patches of 4 pixels and fixed sine-cosine positions, which local views
interpolate; its feature is the class token.

usage: dino_step.py > dino_step.json     (needs torch and timm)
"""
import functools

from formula import hash_uniform, json_text, parameter, summary
from trajectory import descend, statistics

import numpy as np
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block

torch.set_default_dtype(torch.float64)
BATCH, GLOBAL, LOCAL, PATCH = 4, 16, 8, 4
WIDTH, DEPTH, HEADS = 128, 6, 4
HIDDEN, BOTTLENECK, OUT, MOMENTUM = 32, 16, 24, 0.9
SIDE = GLOBAL // PATCH
norm = functools.partial(torch.nn.LayerNorm, eps=1e-6)


def positions():
    """(1, 1 + side², width): sines and cosines of the column, then those of the row, rounded to f32."""
    omega = 10000.0 ** (-np.arange(WIDTH // 4) / (WIDTH // 4))
    table = np.zeros((1 + SIDE * SIDE, WIDTH))
    for patch in range(SIDE * SIDE):
        angles = [patch % SIDE * omega, patch // SIDE * omega]
        table[1 + patch] = np.concatenate([f(angle) for angle in angles for f in (np.sin, np.cos)])
    return torch.from_numpy(table.astype(np.float32).astype(np.float64))[None]


class PatchEmbed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = torch.nn.Conv2d(3, WIDTH, PATCH, PATCH)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.register_buffer("pos_embed", positions())
        self.patch_embed = PatchEmbed()
        self.blocks = torch.nn.ModuleList(
            [Block(WIDTH, HEADS, 4, qkv_bias=True, norm_layer=norm) for _ in range(DEPTH)])
        self.norm = norm(WIDTH)

    def forward(self, x):
        side = x.shape[2] // PATCH
        table = self.pos_embed[:, 1:].reshape(1, SIDE, SIDE, WIDTH).permute(0, 3, 1, 2)
        if side != SIDE:
            table = F.interpolate(table, size=(side, side), mode="bicubic", align_corners=False)
        x = self.patch_embed(x) + table.permute(0, 2, 3, 1).reshape(1, side * side, WIDTH)
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        widths = [WIDTH, HIDDEN, HIDDEN, BOTTLENECK]
        self.mlp = torch.nn.ModuleList([torch.nn.Linear(i, o) for i, o in zip(widths, widths[1:])])
        self.last_layer = torch.nn.Linear(BOTTLENECK, OUT, bias=False)

    def forward(self, x):
        x = self.mlp[2](F.gelu(self.mlp[1](F.gelu(self.mlp[0](x)))))
        return F.normalize(x, dim=1) @ F.normalize(self.last_layer.weight, dim=1).t()


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.head = Head()

    def forward(self, *groups):
        return self.head(torch.cat([self.encoder(views) for views in groups]))


class Dino(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.student = Network()
        self.teacher = Network()


def views(name, size):
    u = hash_uniform(name, 2 * BATCH * size * size * 3).reshape(2 * BATCH, size, size, 3) + 0.5
    return torch.from_numpy(u).float().double().permute(0, 3, 1, 2)


model = Dino()
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.from_numpy(parameter(name, tuple(p.shape))))
centre = torch.from_numpy((hash_uniform("centre", OUT) * 0.1).astype(np.float32).astype(np.float64))
wide, small = views("global views", GLOBAL), views("local views", LOCAL)
student = {name: p for name, p in model.named_parameters() if name.startswith("student.")}
teacher = {name: p for name, p in model.named_parameters() if name.startswith("teacher.")}


def columns(step):
    """The loss and its terms; the centre moves after they took it."""
    with torch.no_grad():
        logits = model.teacher(wide)
        targets = F.softmax((logits - centre) / 0.04, dim=1).chunk(2)
        entropy = -(torch.cat(targets) * torch.cat(targets).log()).sum(dim=1).mean()
        centre.copy_(0.9 * centre + 0.1 * logits.mean(dim=0))
    log_p = F.log_softmax(model.student(wide, small) / 0.1, dim=1).chunk(4)
    pairs = [(i, v) for i in range(2) for v in range(4) if i != v]
    loss = sum(-(targets[i] * log_p[v]).sum(dim=1).mean() for i, v in pairs) / len(pairs)
    return {"loss": loss, "teacher_entropy": entropy, "kl": loss - entropy}


def move_teacher(step):
    for name, p in teacher.items():
        p.copy_(MOMENTUM * p + (1 - MOMENTUM) * student[name.replace("teacher.", "student.")])


first_centre = centre.clone()
terms = columns(0)
loss = terms.pop("loss")
loss.backward()
moved_centre = centre.clone()
centre.copy_(first_centre)
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(["data = shapes:64", f"batch = {BATCH}", f"size = {GLOBAL}", "model = vit-nano", f"patch = {PATCH}",
                         "local-views = 2", f"local-size = {LOCAL}", f"head-hidden = {HIDDEN}",
                         f"head-bottleneck = {BOTTLENECK}", f"prototypes = {OUT}", "student-temperature = 0.1",
                         "teacher-temperature-end = 0.04", "teacher-temperature-epochs = 0", "freeze-last-epochs = 0",
                         f"teacher-momentum = {MOMENTUM}", f"teacher-momentum-end = {MOMENTUM}"]),
    "views": ["global views", "local views"],
    "states": {"teacher.": "student.", "centre": 0.1},
    "loss": loss.item(),
    "terms": {name: t.item() for name, t in terms.items()},
    "after": {"centre": moved_centre.tolist()},
    "gradients": {name: summary(name, p.grad.numpy()) for name, p in student.items()},
    "trajectory": descend(0.002, [(student.values(), columns)], move_teacher,
                          lambda: statistics(model) | teacher | {"centre": centre}),
}))
