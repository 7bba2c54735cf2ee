#!/usr/bin/env python3
"""Whitening by Cholesky's decomposition in PyTorch (f64), on inputs made by a formula that tests/method_goldens.h repeats:
of the sum of products with other such numbers, its value and its gradient.

usage: whitening.py > whitening.json     (needs torch)
"""
import numpy as np
import torch

from formula import json_text

torch.set_default_dtype(torch.float64)


def S(shape, k):
    i = np.arange(np.prod(shape), dtype=np.float64)
    return torch.from_numpy(np.sin(k + 1.7 * i + 0.31 * i * i).reshape(shape))


def whiten(z, shrink):
    x = z - z.mean(dim=0)
    covariance = (1 - shrink) * x.t() @ x / (len(x) - 1) + shrink * torch.eye(x.shape[1])
    return torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), x.t(), upper=False).t()


record = {"torch": torch.__version__}
for shrink in (0, 0.1):
    z = S((12, 3), 0.4).requires_grad_()
    y = torch.cat([whiten(group, shrink) for group in z.chunk(2)])
    loss = (y * S((12, 3), 1.3)).sum()
    grad = torch.autograd.grad(loss, z)[0]
    record[f"shrink {shrink}"] = [loss.item(), grad[0, 0].item(), grad.abs().sum().item()]
    record[f"values {shrink}"] = y.reshape(-1).tolist()
print(json_text(record))
