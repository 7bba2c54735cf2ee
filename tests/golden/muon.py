#!/usr/bin/env python3
"""Five steps of Muon with AdamW for the bias, in f64, on formula-made parameters: the scale that matches AdamW's, a clipped
gradient, a part that stays frozen at first. Written from the algorithm (Jordan et al. 2024; the scale of Liu et al. 2025,
section 2.2); torch.optim.Muon, whose iteration runs in bf16 alone, is held against it here. Writes muon.json.

usage: muon.py > muon.json
"""
import json

import torch

from formula import hash_uniform

STEPS, RATE, DECAY, MOMENTUM = 5, 0.02, 0.1, 0.95
SHAPES = {"wide": (3, 4), "tall": (7, 3), "filters": (4, 2, 2, 3)}


def orthogonal(g):
    x = g / max(g.norm(), 1e-7)
    if x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def tensor(name, shape):
    return torch.from_numpy(hash_uniform(name, torch.Size(shape).numel())).reshape(shape)


def run(shape, clip=None, frozen=0):
    weight, bias = tensor("weight", shape), torch.nn.Parameter(tensor("bias", (4,)))
    moment = torch.zeros(shape[0], weight.numel() // shape[0], dtype=torch.float64)
    adamw = torch.optim.AdamW([bias], lr=RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=0)
    for step in range(STEPS):
        grads = [tensor(f"weight gradient {step}", shape) * 3, tensor(f"bias gradient {step}", (4,)) * 3]
        if clip:
            norm = torch.sqrt(sum((g * g).sum() for g in grads))
            grads = [g * min(1, clip / (norm + 1e-6)) for g in grads]
        bias.grad = grads[1]
        adamw.step()
        if step < frozen:
            continue
        g = grads[0].reshape(moment.shape)
        moment = MOMENTUM * moment + (1 - MOMENTUM) * g
        update = orthogonal(MOMENTUM * moment + (1 - MOMENTUM) * g).reshape(shape)
        weight = weight * (1 - RATE * DECAY) - RATE * 0.2 * max(moment.shape) ** 0.5 * update
    return {"weight": weight.flatten().tolist(), "bias": bias.detach().flatten().tolist()}


def check_with_torch():
    p = torch.nn.Parameter(tensor("weight", (7, 3)))
    optimizer = torch.optim.Muon([p], lr=RATE, weight_decay=DECAY, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")
    for step in range(STEPS):
        p.grad = tensor(f"weight gradient {step}", (7, 3)) * 3
        optimizer.step()
    moved = p.detach().flatten() - tensor("weight", (7, 3)).flatten()
    expected = torch.tensor(run((7, 3))["weight"], dtype=torch.float64) - tensor("weight", (7, 3)).flatten()
    assert (moved - expected).norm() < 0.02 * expected.norm(), (moved - expected).norm() / expected.norm()


check_with_torch()
record = {name: run(shape) for name, shape in SHAPES.items()}
record["clipped"] = run(SHAPES["tall"], clip=1.0)
record["frozen"] = run(SHAPES["tall"], frozen=2)
print(json.dumps(record, indent=1))
