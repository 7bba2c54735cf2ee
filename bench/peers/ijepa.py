"""A training step of I-JEPA: ViT-Ti with patches of 4 at 32 pixels, predictor 96 x 4 x 3 (Assran et al. 2023)."""
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F

from .common.models import TransformerBlock
from .common.training import Case, adamw, amp, compiled, trainer

# What Gestalt's lists have on a grid of 8 x 8: the same work.
KEPT, PICKED, BLOCKS, MOMENTUM = 18, 9, 4, 0.996


def pick(x, index):
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


def blocks_of(width, depth, heads):
    return nn.Sequential(*[TransformerBlock(width, heads, False, "none", 1e-6) for _ in range(depth)])


class Encoder(nn.Module):
    def __init__(self, size, patch=4, width=192, depth=12, heads=3):
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.register_buffer("positions", torch.randn(1, (size // patch) ** 2, width) * 0.02)
        self.blocks, self.norm = blocks_of(width, depth, heads), nn.LayerNorm(width, 1e-6)

    def forward(self, images, index=None):
        x = self.embed(images).flatten(2).transpose(1, 2) + self.positions
        return self.norm(self.blocks(x if index is None else pick(x, index)))


class Predictor(nn.Module):
    def __init__(self, count, inside=192, width=96, depth=4, heads=3):
        super().__init__()
        self.embed, self.project = nn.Linear(inside, width), nn.Linear(width, inside)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("positions", torch.randn(1, count, width) * 0.02)
        self.blocks, self.norm = blocks_of(width, depth, heads), nn.LayerNorm(width, 1e-6)

    def forward(self, features, context, targets):
        at = self.positions.expand(len(features), -1, -1)
        x = (self.embed(features) + pick(at, context)).repeat(BLOCKS, 1, 1)
        y = torch.cat([self.mask_token + pick(at, t) for t in targets])
        x = self.blocks(torch.cat([x, y.to(x.dtype)], 1))
        return self.project(self.norm(x[:, context.shape[1]:]))


def case(options):
    size, batch = options.size or 32, options.batch or 128
    count = (size // 4) ** 2
    encoder = Encoder(size).to(options.device)
    predictor = Predictor(count).to(options.device)
    teacher = copy.deepcopy(encoder).requires_grad_(False)
    student = nn.ModuleList([encoder, predictor])
    images = torch.randn(batch, 3, size, size, device=options.device)

    @compiled(options)
    def loss_of(x, context, targets):
        with amp(options):
            with torch.no_grad():
                features = teacher(x)
                wanted = F.layer_norm(features.float(), features.shape[-1:])
            predictions = predictor(encoder(x, context), context, targets)
        return F.smooth_l1_loss(predictions.float(), torch.cat([pick(wanted, t) for t in targets]))

    def lists():
        """Random patches in the place of blocks, which are drawn by the loader's workers in public code."""
        order = torch.rand(batch, count, device=options.device).argsort(1)
        return order[:, :KEPT], [order[:, KEPT + i * PICKED : KEPT + (i + 1) * PICKED] for i in range(BLOCKS)]

    def follow():
        with torch.no_grad():
            torch._foreach_lerp_(list(teacher.parameters()), list(encoder.parameters()), 1 - MOMENTUM)

    return Case(trainer(lambda: loss_of(images, *lists()), adamw(student), follow), [student])
