#!/usr/bin/env python3
"""Five steps of SGD, AdamW and clipped AdamW in PyTorch (f64) on formula-made parameters. Writes optimizers.json.

usage: optimizers.py > optimizers.json
"""
import json

import torch

from formula import hash_uniform

SHAPES = {"weight": (3, 4), "bias": (4,)}
STEPS, RATE, DECAY = 5, 0.1, 0.05


def run(make, clip=None):
    p = {n: torch.nn.Parameter(torch.from_numpy(hash_uniform(n, torch.Size(s).numel()).reshape(s))) for n, s in SHAPES.items()}
    groups = [{"params": [p["weight"]], "weight_decay": DECAY}, {"params": [p["bias"]], "weight_decay": 0.0}]
    optimizer = make(groups)
    for step in range(STEPS):
        for n, q in p.items():
            q.grad = torch.from_numpy(hash_uniform(f"{n} gradient {step}", q.numel()).reshape(q.shape)) * 3
        if clip:
            torch.nn.utils.clip_grad_norm_(p.values(), clip)
        optimizer.step()
    return {n: q.detach().flatten().tolist() for n, q in p.items()}


print(json.dumps({
    "sgd": run(lambda g: torch.optim.SGD(g, lr=RATE, momentum=0.9)),
    "adamw": run(lambda g: torch.optim.AdamW(g, lr=RATE, betas=(0.9, 0.95), eps=1e-8)),
    "adamw clipped": run(lambda g: torch.optim.AdamW(g, lr=RATE, betas=(0.9, 0.95), eps=1e-8), clip=1.0),
}, indent=1))
