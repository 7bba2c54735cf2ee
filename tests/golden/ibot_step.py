#!/usr/bin/env python3
"""One step of iBOT in PyTorch (f64) with timm's blocks: two masked global and two local views, loss, terms, gradients, and
both centres after it.

The encoder is a ViT of 128 × 6 × 4 with patches of 4 pixels and fixed sine-cosine positions, which local views
interpolate.

usage: ibot_step.py > ibot_step.json     (needs torch and timm)
"""
import functools

from block_mask import hidden
from formula import hash_uniform, json_text, parameter, summary
from trajectory import descend

import numpy as np
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block, PatchEmbed

torch.set_default_dtype(torch.float64)
BATCH, GLOBAL, LOCAL, PATCH, SEED, STEP = 4, 24, 12, 4, 5, 9
WIDTH, DEPTH, HEADS = 128, 6, 4  # vit-nano
HIDDEN, BOTTLENECK, OUT, WEIGHT, MOMENTUM = 32, 16, 24, 0.75, 0.6
COOL, WARM, STEPS, MOST = 0.03, 0.05, 12, 0.5  # the teacher's temperature from, to and until; the largest share of a mask
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


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.register_buffer("pos_embed", positions())
        self.patch_embed = PatchEmbed(None, PATCH, 3, WIDTH)
        self.blocks = torch.nn.ModuleList([Block(WIDTH, HEADS, 4, qkv_bias=True, norm_layer=norm) for _ in range(DEPTH)])
        self.norm = norm(WIDTH)

    def forward(self, x, mask=None, token=None):
        side = x.shape[2] // PATCH
        table = self.pos_embed[:, 1:].reshape(1, SIDE, SIDE, WIDTH).permute(0, 3, 1, 2)
        if side != SIDE:
            table = F.interpolate(table, size=(side, side), mode="bicubic", align_corners=False)
        x = self.patch_embed(x)
        if mask is not None:
            x = torch.where(mask[:, :, None], token, x)
        x = x + table.permute(0, 2, 3, 1).reshape(1, side * side, WIDTH)
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        widths = [WIDTH, HIDDEN, HIDDEN, BOTTLENECK]
        self.mlp = torch.nn.ModuleList([torch.nn.Linear(i, o) for i, o in zip(widths, widths[1:])])
        self.last_layer = torch.nn.Linear(BOTTLENECK, OUT, bias=False)

    def forward(self, x):
        x = self.mlp[2](F.gelu(self.mlp[1](F.gelu(self.mlp[0](x)))))
        return F.normalize(x, dim=-1) @ F.normalize(self.last_layer.weight, dim=1).t()


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = Encoder(), Head()


class Ibot(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.student, self.teacher = Network(), Network()
        self.mask_token = torch.nn.Parameter(torch.zeros(1, 1, WIDTH))


def views(name, size):
    u = hash_uniform(name, 2 * BATCH * size * size * 3).reshape(2 * BATCH, size, size, 3) + 0.5
    return torch.from_numpy(u).float().double().permute(0, 3, 1, 2)


def entropy_of(p):
    return -(p * p.log()).sum(dim=-1)


model = Ibot()
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.from_numpy(parameter(name, tuple(p.shape))))
centre, patch_centre = [torch.from_numpy((hash_uniform(name, OUT) * 0.1).astype(np.float32).astype(np.float64))
                        for name in ("centre", "patch_centre")]
wide, small = views("global views", GLOBAL), views("local views", LOCAL)


def temperature(step):
    return COOL + (WARM - COOL) * min(step / STEPS, 1)


def columns(step):
    """The loss and its terms; both centres move."""
    mask = torch.zeros(2 * BATCH, SIDE * SIDE, dtype=torch.bool)
    for view in range(2):
        for sample in range(BATCH):
            mask[view * BATCH + sample, hidden(SIDE, SEED, step, sample, view)] = True
    assert 0 < mask.any(dim=1).sum() < 2 * BATCH

    def mean_hidden(of_patch):
        return ((of_patch * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)).mean()

    with torch.no_grad():
        taught = model.teacher.head(model.teacher.encoder(wide))
        targets = F.softmax((taught[:, 0] - centre) / temperature(step), dim=-1)
        patch_targets = F.softmax((taught[:, 1:] - patch_centre) / temperature(step), dim=-1)
        centre.copy_(0.9 * centre + 0.1 * taught[:, 0].mean(dim=0))
        patch_centre.copy_(0.9 * patch_centre + 0.1 * taught[:, 1:].reshape(-1, OUT).mean(dim=0))
    seen = model.student.encoder(wide, mask, model.mask_token)
    classes = torch.cat([seen[:, 0], model.student.encoder(small)[:, 0]])
    log_p = F.log_softmax(model.student.head(classes) / 0.1, dim=-1).chunk(4)
    pairs = [(i, v) for i in range(2) for v in range(4) if i != v]
    class_loss = sum(-(targets.chunk(2)[i] * log_p[v]).sum(dim=1).mean() for i, v in pairs) / len(pairs)
    patch_log_p = F.log_softmax(model.student.head(seen[:, 1:]) / 0.1, dim=-1)
    patch_loss = mean_hidden(-(patch_targets * patch_log_p).sum(dim=-1))
    entropy = entropy_of(targets).mean()
    # Lists of hidden patches have one length; the first patch fills the others up.
    most = int(MOST * SIDE * SIDE)
    listed = [row.nonzero()[:, 0].tolist() for row in mask]
    listed = torch.tensor([row + [0] * (most - len(row)) for row in listed])
    patch_entropy = entropy_of(patch_targets).gather(1, listed).mean()
    return {"loss": class_loss + WEIGHT * patch_loss, "class_loss": class_loss, "patch_loss": patch_loss,
            "teacher_entropy": entropy, "patch_entropy": patch_entropy,
            "kl": class_loss - entropy + WEIGHT * (patch_loss - mean_hidden(entropy_of(patch_targets)))}


def move_teacher(step):
    keep = 1 + (MOMENTUM - 1) * 0.5 * (1 + np.cos(np.pi * step / STEPS))
    for mine, student in zip(model.teacher.parameters(), model.student.parameters()):
        mine.copy_(keep * mine + (1 - keep) * student)


first = [centre.clone(), patch_centre.clone()]
terms = columns(STEP)
loss = terms.pop("loss")
loss.backward()
after = {"centre": centre.tolist(), "patch_centre": patch_centre.tolist()}
centre.copy_(first[0]), patch_centre.copy_(first[1])
learned = [p for name, p in model.named_parameters() if not name.startswith("teacher.")]
gradients = {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters() if not name.startswith("teacher.")}
model.teacher.requires_grad_(False)
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(["data = shapes:64", f"batch = {BATCH}", f"size = {GLOBAL}", "model = vit-nano", f"patch = {PATCH}",
                         "local-views = 2", f"local-size = {LOCAL}", f"head-hidden = {HIDDEN}",
                         f"head-bottleneck = {BOTTLENECK}", f"prototypes = {OUT}", "student-temperature = 0.1",
                         f"teacher-temperature = {COOL}", f"teacher-temperature-end = {WARM}",
                         f"teacher-temperature-epochs = {STEPS}", f"steps = {STEPS}", "freeze-last-epochs = 0",
                         f"patch-weight = {WEIGHT}", f"teacher-momentum = {MOMENTUM}", "teacher-momentum-end = 1",
                         f"mask-ratio-max = {MOST}", f"seed = {SEED}"]),
    "step": STEP,
    "views": ["global views", "local views"],
    "states": {"teacher.": "student.", "centre": 0.1, "patch_centre": 0.1},
    "loss": loss.item(),
    "terms": {name: t.item() for name, t in terms.items()},
    "after": after,
    "gradients": gradients,
    "trajectory": descend(0.002, [(learned, columns)], move_teacher, first=STEP,
                          states=lambda: {"centre": centre, "patch_centre": patch_centre} |
                          {"teacher." + name: p for name, p in model.teacher.named_parameters()}),
}))
