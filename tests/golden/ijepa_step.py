#!/usr/bin/env python3
"""One step of I-JEPA in PyTorch (f64) with timm's blocks: context, targets and predictions, loss, terms, gradients, and
all parts after an update with the target encoder's moving average.

The encoder is a ViT of 128 × 6 × 4 without a class token, with patches of 4 pixels and fixed sine-cosine positions.

usage: ijepa_step.py > ijepa_step.json     (needs torch and timm)
"""
import functools

from block_mask import COUNT, lengths, lists
from formula import hash_uniform, json_text, parameter, summary
from trajectory import descend

import numpy as np
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block, PatchEmbed

torch.set_default_dtype(torch.float64)
BATCH, SIZE, PATCH, SEED, STEP, RATE, MOMENTUM, END, STEPS = 3, 24, 4, 5, 9, 0.5, 0.6, 0.9, 12
WIDTH, DEPTH, HEADS = 128, 6, 4  # vit-nano
NARROW, NARROW_DEPTH, NARROW_HEADS = 32, 2, 2
SIDE = SIZE // PATCH
norm = functools.partial(torch.nn.LayerNorm, eps=1e-6)


def positions(width):
    """(1, side², width): sines and cosines of the column, then those of the row, rounded to f32."""
    omega = 10000.0 ** (-np.arange(width // 4) / (width // 4))
    rows = []
    for patch in range(SIDE * SIDE):
        angles = [patch % SIDE * omega, patch // SIDE * omega]
        rows.append(np.concatenate([f(angle) for angle in angles for f in (np.sin, np.cos)]))
    return torch.from_numpy(np.array(rows).astype(np.float32).astype(np.float64))[None]


def pick(x, index):
    return torch.gather(x, 1, index[:, :, None].expand(-1, -1, x.shape[2]))


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("pos_embed", positions(WIDTH))
        self.patch_embed = PatchEmbed(SIZE, PATCH, 3, WIDTH)
        self.blocks = torch.nn.ModuleList([Block(WIDTH, HEADS, 4, qkv_bias=True, norm_layer=norm) for _ in range(DEPTH)])
        self.norm = norm(WIDTH)

    def forward(self, images, index=None):
        x = self.patch_embed(images) + self.pos_embed
        if index is not None:
            x = pick(x, index)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Predictor(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.predictor_embed = torch.nn.Linear(WIDTH, NARROW)
        self.mask_token = torch.nn.Parameter(torch.zeros(1, 1, NARROW))
        self.register_buffer("predictor_pos_embed", positions(NARROW))
        self.predictor_blocks = torch.nn.ModuleList(
            [Block(NARROW, NARROW_HEADS, 4, qkv_bias=True, norm_layer=norm) for _ in range(NARROW_DEPTH)])
        self.predictor_norm = norm(NARROW)
        self.predictor_proj = torch.nn.Linear(NARROW, WIDTH)

    def forward(self, features, context, target):
        at = self.predictor_pos_embed.expand(len(features), -1, -1)
        x = torch.cat([self.predictor_embed(features) + pick(at, context), self.mask_token + pick(at, target)], dim=1)
        for block in self.predictor_blocks:
            x = block(x)
        return self.predictor_proj(self.predictor_norm(x[:, context.shape[1]:]))


class Ijepa(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.predictor, self.teacher = Encoder(), Predictor(), Encoder()


def record_of(original):
    model = Ijepa()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.from_numpy(parameter(name, tuple(p.shape))))
    model.teacher.requires_grad_(False)
    pixels = hash_uniform("images", BATCH * SIZE * SIZE * 3).reshape(BATCH, SIZE, SIZE, 3) + 0.5
    images = torch.from_numpy(pixels).float().double().permute(0, 3, 1, 2)
    kept, picked = lengths(SIDE, original)

    def blocks(step):
        drawn = [lists(SIDE, original, SEED, step, sample, kept, picked) for sample in range(BATCH)]
        return [torch.tensor([d[i] for d in drawn]) for i in range(COUNT + 1)]

    def columns(step):
        context, *targets = blocks(step)
        normalised = F.layer_norm(model.teacher(images), (WIDTH,))
        seen = model.encoder(images, context)
        losses = [F.smooth_l1_loss(model.predictor(seen, context, t), pick(normalised, t)) for t in targets]
        return {"loss": torch.stack(losses).mean()}

    def move_teacher(step):
        keep = MOMENTUM + (END - MOMENTUM) * step / STEPS
        for mine, student in zip(model.teacher.parameters(), model.encoder.parameters()):
            mine.copy_(keep * mine + (1 - keep) * student)

    targets = blocks(STEP)[1:]
    features = model.teacher(images)
    normalised = F.layer_norm(features, (WIDTH,))
    loss = columns(STEP)["loss"]
    loss.backward()
    wanted = torch.cat([pick(normalised, t) for t in targets]).reshape(-1, WIDTH)
    mean_target = F.smooth_l1_loss(wanted.mean(dim=0, keepdim=True).expand_as(wanted), wanted)
    target_std = torch.cat([pick(features, t) for t in targets]).reshape(-1, WIDTH).std(dim=0).mean()
    gradients = {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters() if p.grad is not None}
    start = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p -= RATE * p.grad
        move_teacher(STEP)
    after = {name: summary(name, p.numpy()) for name, p in model.state_dict().items()}
    model.load_state_dict(start)
    learned = [p for p in model.parameters() if p.requires_grad]
    trajectory = descend(0.05, [(learned, columns)], move_teacher, first=STEP,
                         states=lambda: {"teacher." + name: p for name, p in model.teacher.named_parameters()})
    return {
        "torch": torch.__version__,
        "fields": "\n".join(["data = shapes:64", f"batch = {BATCH}", f"size = {SIZE}", "model = vit-nano", f"patch = {PATCH}",
                             f"predictor-width = {NARROW}", f"predictor-depth = {NARROW_DEPTH}",
                             f"predictor-heads = {NARROW_HEADS}", f"teacher-momentum = {MOMENTUM}",
                             f"teacher-momentum-end = {END}", f"steps = {STEPS}", f"original-blocks = {str(original).lower()}",
                             f"seed = {SEED}"]),
        "step": STEP,
        "rate": RATE,
        "views": ["images"],
        "states": {"teacher.": "encoder."},
        "loss": loss.item(),
        "terms": {"mean_target": mean_target.item(), "target_std": target_std.item()},
        "gradients": gradients,
        "after": after,
        "trajectory": trajectory,
    }


print(json_text(record_of(False)))
