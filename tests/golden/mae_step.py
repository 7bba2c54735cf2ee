#!/usr/bin/env python3
"""One MAE step in PyTorch (f64) with timm's blocks. Writes mae_step.json (raw pixels) and mae_step_normalised.json.

The forward passes, patchify and the positions are written after the paper and its published formulas (He et al. 2022;
get_2d_sincos_pos_embed of facebookresearch/mae).

usage: mae_step.py     (needs torch and timm; writes beside itself)
"""
import functools
import pathlib

from formula import hash_uniform, json_text, parameter, summary
from trajectory import descend, statistics
from philox import draw

import numpy as np
import torch
from timm.models.vision_transformer import Block, PatchEmbed

torch.set_default_dtype(torch.float64)
BATCH, SIZE, PATCH, KEPT, SEED, STEP = 3, 16, 4, 4, 5, 9
WIDTH, DEPTH, HEADS = 128, 6, 4  # vit-nano
DECODER_WIDTH, DECODER_DEPTH, DECODER_HEADS = 16, 1, 2
SIDE = SIZE // PATCH


def positions_1d(width, at):
    omega = 1.0 / 10000 ** (np.arange(width // 2, dtype=np.float64) / (width / 2.0))
    angle = np.einsum("m,d->md", at.reshape(-1), omega)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def positions(width, side):
    """(1 + side², width): the column's half first, since meshgrid(w, h) puts w first."""
    grid = np.stack(np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32)), axis=0)
    both = np.concatenate([positions_1d(width // 2, grid[0]), positions_1d(width // 2, grid[1])], axis=1)
    return np.concatenate([np.zeros([1, width]), both], axis=0)


def state(width):
    return torch.from_numpy(positions(width, SIDE).astype(np.float32).astype(np.float64))[None]


norm = functools.partial(torch.nn.LayerNorm, eps=1e-6)


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.register_buffer("pos_embed", state(WIDTH))
        self.patch_embed = PatchEmbed(SIZE, PATCH, 3, WIDTH)
        self.blocks = torch.nn.ModuleList(
            [Block(WIDTH, HEADS, 4, qkv_bias=True, norm_layer=norm) for _ in range(DEPTH)])
        self.norm = norm(WIDTH)

    def forward(self, x, visible):
        x = self.patch_embed(x) + self.pos_embed[:, 1:]
        x = torch.gather(x, 1, visible[:, :, None].expand(-1, -1, WIDTH))
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)
        x = torch.cat([cls, x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Mae(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.mask_token = torch.nn.Parameter(torch.zeros(1, 1, DECODER_WIDTH))
        self.decoder_embed = torch.nn.Linear(WIDTH, DECODER_WIDTH)
        self.register_buffer("decoder_pos_embed", state(DECODER_WIDTH))
        self.decoder_blocks = torch.nn.ModuleList(
            [Block(DECODER_WIDTH, DECODER_HEADS, 4, qkv_bias=True, norm_layer=norm) for _ in range(DECODER_DEPTH)])
        self.decoder_norm = norm(DECODER_WIDTH)
        self.decoder_pred = torch.nn.Linear(DECODER_WIDTH, PATCH * PATCH * 3)

    def forward(self, x, order):
        tokens = self.decoder_embed(self.encoder(x, order[:, :KEPT]))
        hidden = self.mask_token.expand(x.shape[0], order.shape[1] - KEPT, -1)
        shuffled = torch.cat([tokens[:, 1:], hidden], dim=1)
        restore = order.argsort(dim=1)
        y = torch.gather(shuffled, 1, restore[:, :, None].expand(-1, -1, DECODER_WIDTH))
        y = torch.cat([tokens[:, :1], y], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            y = block(y)
        return self.decoder_pred(self.decoder_norm(y))[:, 1:]


def patchify(x):
    x = x.reshape(x.shape[0], 3, SIDE, PATCH, SIDE, PATCH)
    return torch.einsum("nchpwq->nhwpqc", x).reshape(x.shape[0], SIDE * SIDE, PATCH * PATCH * 3)


def loss_of(model, images, order, normalise):
    target = patchify(images)
    if normalise:
        target = (target - target.mean(dim=-1, keepdim=True)) / (target.var(dim=-1, keepdim=True) + 1e-6) ** 0.5
    mask = torch.ones(order.shape).scatter(1, order[:, :KEPT], 0.0)
    error = ((model(images, order) - target) ** 2).mean(dim=-1)
    return (error * mask).sum() / mask.sum()


model = Mae()
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.from_numpy(parameter(name, tuple(p.shape))))
pixels = hash_uniform("images", BATCH * SIZE * SIZE * 3).reshape(BATCH, SIZE, SIZE, 3) + 0.5
images = torch.from_numpy(pixels).float().double().permute(0, 3, 1, 2)
start = {name: value.clone() for name, value in model.state_dict().items()}


def order(step):
    """Patches of sample b by what is drawn for their mask; the first KEPT are seen."""
    return torch.tensor([sorted(range(SIDE * SIDE), key=lambda n: (draw(SEED, "mask", step, b, n // 4)[n % 4], n))
                         for b in range(BATCH)])


for normalise, file in ((False, "mae_step.json"), (True, "mae_step_normalised.json")):
    model.load_state_dict(start)
    model.zero_grad()
    loss = loss_of(model, images, order(STEP), normalise)
    loss.backward()
    fields = ["data = shapes:64", f"batch = {BATCH}", f"size = {SIZE}", "model = vit-nano", f"patch = {PATCH}",
              f"decoder-width = {DECODER_WIDTH}", f"decoder-depth = {DECODER_DEPTH}", f"decoder-heads = {DECODER_HEADS}",
              f"mask-ratio = {1 - KEPT / SIDE**2}", f"norm-pixels = {str(normalise).lower()}", f"seed = {SEED}"]
    record = {
        "torch": torch.__version__,
        "fields": "\n".join(fields),
        "step": STEP,
        "views": ["images"],
        "loss": loss.item(),
        "gradients": {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters()},
        "trajectory": descend(
            0.02, [(model.parameters(), lambda step: {"loss": loss_of(model, images, order(step), normalise)})],
            states=lambda: statistics(model), first=STEP),
        "positions": positions(8, 3).reshape(-1).tolist(),
    }
    pathlib.Path(__file__).with_name(file).write_text(json_text(record) + "\n")
