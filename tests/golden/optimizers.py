#!/usr/bin/env python3
"""Five steps of SGD and AdamW in PyTorch (f64) on formula-made parameters: plain, clipped, with a scheduled decay, with a
frozen parameter, with decays and rates of each parameter. Writes optimizers.json.

usage: optimizers.py > optimizers.json
"""
import json
import math

import torch

from formula import hash_uniform

SHAPES = {"weight": (3, 4), "bias": (4,)}
STEPS, RATE, DECAY = 5, 0.1, 0.05


def run(make, clip=None, clip_each=None, decays=(DECAY, 0.0), rates=(1, 1), decay_end=None, frozen=(0, 0)):
    """decays, rates (factors) and frozen (steps without a gradient) are of the weight and the bias; with decay_end a half
    cosine leads decays there."""
    p = {n: torch.nn.Parameter(torch.from_numpy(hash_uniform(n, torch.Size(s).numel()).reshape(s))) for n, s in SHAPES.items()}
    optimizer = make([{"params": [q], "weight_decay": d, "lr": RATE * r} for q, d, r in zip(p.values(), decays, rates)])
    for step in range(STEPS):
        if decay_end is not None:
            for group, d in zip(optimizer.param_groups, decays):
                group["weight_decay"] = decay_end + 0.5 * (d - decay_end) * (1 + math.cos(math.pi * step / STEPS))
        for n, q in p.items():
            q.grad = torch.from_numpy(hash_uniform(f"{n} gradient {step}", q.numel()).reshape(q.shape)) * 3
        if clip:
            torch.nn.utils.clip_grad_norm_(p.values(), clip)
        for q, steps in zip(p.values(), frozen):
            if clip_each:
                torch.nn.utils.clip_grad_norm_([q], clip_each)
            if step < steps:
                q.grad = None
        optimizer.step()
    return {n: q.detach().flatten().tolist() for n, q in p.items()}


def sgd(groups):
    return torch.optim.SGD(groups, lr=RATE, momentum=0.9)


def adamw(groups):
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), eps=1e-8)


print(json.dumps({
    "sgd": run(sgd),
    "sgd clipped each": run(sgd, clip_each=2.2),
    "sgd factors": run(sgd, decays=(DECAY * 3, DECAY * 0.5), rates=(0.5, 2)),
    "sgd frozen": run(sgd, frozen=(2, 0)),
    "adamw": run(adamw),
    "adamw clipped": run(adamw, clip=1.0),
    "adamw clipped each": run(adamw, clip_each=2.2),
    "adamw decay schedule": run(adamw, decays=(DECAY, DECAY), decay_end=0.4),
    "adamw frozen": run(adamw, frozen=(2, 0)),
    "adamw all": run(adamw, clip_each=2.2, decays=(DECAY, DECAY), decay_end=0.4, frozen=(0, 2)),
}, indent=1))
