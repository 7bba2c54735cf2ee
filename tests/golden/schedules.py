#!/usr/bin/env python3
"""Schedules as PyTorch's learning-rate schedulers and NumPy make them, at every step. Writes schedules.json.

usage: schedules.py > schedules.json
"""
import json

import numpy as np
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR


def rates(peak, steps, make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = make(optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def warm_cosine(peak, end, steps, warmup, start=0.0):
    first = start + (peak - start) / warmup
    return rates(peak, steps, lambda o: SequentialLR(
        o, [LinearLR(o, first / peak, 1.0, warmup - 1), CosineAnnealingLR(o, steps - warmup, eta_min=end)], [warmup]))


print(json.dumps({
    "cosine": rates(0.3, 40, lambda o: CosineAnnealingLR(o, 40, eta_min=0.02)),
    "warm-up, then cosine": warm_cosine(2.0, 0.2, 50, 10),
    "warm-up from above 0": warm_cosine(0.6, 0.0006, 30, 5, start=0.1),
    "rising cosine": (1 - 0.004 * 0.5 * (1 + np.cos(np.pi * np.arange(41) / 40))).tolist(),
    "linear": np.concatenate([np.linspace(0.04, 0.07, 31), np.full(5, 0.07)]).tolist(),
}, indent=1))
