"""A training step of DINO: ViT-Ti with patches of 4, two views of 32 and four of 16 pixels (Caron et al. 2021)."""
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F

from .common.models import TransformerBlock
from .common.training import Case, adamw, amp, compiled, trainer

LOCAL_VIEWS, MOMENTUM, OUT = 4, 0.996, 4096


class Encoder(nn.Module):
    """The class token of a ViT whose fixed positions are interpolated for smaller views."""

    def __init__(self, size, patch=4, width=192, depth=12, heads=3):
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        side = size // patch
        self.register_buffer("grid", torch.randn(1, width, side, side) * 0.02)
        self.blocks = nn.Sequential(*[TransformerBlock(width, heads, False, "none", 1e-6) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, 1e-6)

    def forward(self, images):
        x, grid = self.embed(images), self.grid
        if x.shape[-1] != grid.shape[-1]:
            grid = F.interpolate(grid, size=x.shape[-2:], mode="bicubic", align_corners=False)
        x = (x + grid).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.to(x.dtype).expand(len(x), -1, -1), x], 1)
        return self.norm(self.blocks(x))[:, 0]


class Head(nn.Module):
    """Three layers, unit length, then cosines with the prototypes."""

    def __init__(self, inside=192, hidden=2048, bottleneck=256):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(inside, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(),
                                 nn.Linear(hidden, bottleneck))
        self.prototypes = nn.Parameter(torch.empty(OUT, bottleneck).uniform_(-1 / 16, 1 / 16))

    def forward(self, x):
        return F.linear(F.normalize(self.mlp(x), dim=1), F.normalize(self.prototypes, dim=1))


class Network(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.encoder, self.head = Encoder(size), Head()

    def forward(self, *groups):
        return self.head(torch.cat([self.encoder(views) for views in groups]))


def dino_loss(student, teacher, centre, temperature=0.1, teacher_temperature=0.04):
    targets = F.softmax((teacher.float() - centre) / teacher_temperature, dim=1).chunk(2)
    log_p = F.log_softmax(student.float() / temperature, dim=1).chunk(2 + LOCAL_VIEWS)
    pairs = [(i, v) for i in range(2) for v in range(2 + LOCAL_VIEWS) if i != v]
    return sum(-(targets[i] * log_p[v]).sum(1).mean() for i, v in pairs) / len(pairs)


def case(options):
    size, batch = options.size or 32, options.batch or 32
    student = Network(size).to(options.device)
    teacher = copy.deepcopy(student).requires_grad_(False)
    centre = torch.zeros(OUT, device=options.device)
    wide = torch.randn(2 * batch, 3, size, size, device=options.device)
    small = torch.randn(LOCAL_VIEWS * batch, 3, size // 2, size // 2, device=options.device)

    @compiled(options)
    def loss_of(wide, small):
        with amp(options):
            with torch.no_grad():
                logits = teacher(wide)
            loss = dino_loss(student(wide, small), logits, centre)
        centre.lerp_(logits.float().mean(0), 0.1)
        return loss

    def follow():
        with torch.no_grad():
            torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - MOMENTUM)

    return Case(trainer(lambda: loss_of(wide, small), adamw(student), follow), [student])
