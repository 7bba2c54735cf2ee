#!/usr/bin/env python3
"""SIGReg and the distance of views from their centre in PyTorch (f64), on inputs made by a formula that
tests/method_goldens.h repeats.

usage: sigreg.py > sigreg.json     (needs torch)
"""
import numpy as np
import torch

from formula import json_text

torch.set_default_dtype(torch.float64)
T = torch.linspace(0, 3, 17)
PHI = torch.exp(-T ** 2 / 2)


def S(shape, k, s=1.0):
    i = np.arange(np.prod(shape), dtype=np.float64)
    return torch.from_numpy(s * np.sin(k + 1.7 * i + 0.31 * i * i).reshape(shape))


def statistics(p):
    """(N, M) → (M): the integral over both signs of t, by the trapezoidal rule."""
    angles = p[:, :, None] * T
    error = (angles.cos().mean(dim=0) - PHI) ** 2 + angles.sin().mean(dim=0) ** 2
    return 2 * len(p) * torch.trapezoid(error * PHI, T, dim=-1)


record = {"torch": torch.__version__}


def add(name, loss, leaf):
    grad = torch.autograd.grad(loss, leaf)[0]
    record[name] = [loss.item(), grad.reshape(-1)[0].item(), grad.abs().sum().item()]


def directions(a):
    return a / a.norm(dim=0)


z = S((8, 6), 0.4).requires_grad_()
A = directions(S((6, 2), 0.9))
add("sigreg", statistics(z @ A).mean(), z)
add("sigreg_two_views", torch.stack([statistics(v @ A) for v in z.chunk(2)]).mean(), z)
# As the authors' tests have it: four points, two directions.
points = torch.tensor([[0.5, -1], [1.5, 0.25], [-0.75, 2], [0, -0.5]], requires_grad=True)
add("sigreg_points", statistics(points @ torch.tensor([[1, 0.6], [0, 0.8]])).mean(), points)

views = torch.stack(z.chunk(4))
add("distance", (views - views.mean(dim=0)).square().mean(), z)
views = torch.stack(z.chunk(4))
add("distance_two_centres", (views - views[:2].mean(dim=0)).square().mean(), z)
print(json_text(record))
