#!/usr/bin/env python3
"""Assignments by Sinkhorn's algorithm in NumPy, as the equations of Caron et al. 2020 divide them, and SwAV's loss of two
views in PyTorch (f64), on inputs made by a formula that tests/method_goldens.h repeats.

usage: sinkhorn.py > sinkhorn.json     (needs torch)
"""
import numpy as np
import torch
import torch.nn.functional as F

from formula import json_text

torch.set_default_dtype(torch.float64)


def S(shape, k, s=1.0):
    i = np.arange(np.prod(shape), dtype=np.float64)
    return torch.from_numpy(s * np.sin(k + 1.7 * i + 0.31 * i * i).reshape(shape))


def assigned(scores, epsilon, rounds):
    """Columns of Q are samples and rows prototypes, as in the paper; the result has a row a sample."""
    q = np.exp((scores - scores.max()) / epsilon).T
    classes, samples = q.shape
    q /= q.sum()
    for _ in range(rounds):
        q /= q.sum(axis=1, keepdims=True)
        q /= classes
        q /= q.sum(axis=0, keepdims=True)
        q /= samples
    return (q * samples).T


def health(q):
    mean = q.mean(axis=0)
    return [-(mean * np.log(mean)).sum(), np.mean(mean >= 0.5 / len(mean))]


def add(name, scores, epsilon, rounds, extra=None):
    rows = scores if extra is None else np.concatenate([extra, scores])
    q = assigned(rows, epsilon, rounds)[-len(scores):]
    record[name], record[name + "_health"] = q.reshape(-1).tolist(), health(q)


record = {"torch": torch.__version__}
a, b = S((4, 6), 0.3).requires_grad_(), S((4, 6), 1.1).requires_grad_()
prototypes = F.normalize(S((7, 6), 0.9))
scores = [F.normalize(x) @ prototypes.t() for x in (a, b)]
queue = (F.normalize(S((5, 6), 2.3)) @ prototypes.t()).numpy()
one = scores[0].detach().numpy()
add("three_rounds", one, 0.05, 3)
add("one_round", one, 0.05, 1)
add("queue", one, 0.05, 3, queue)
wide = [S((n, 70), k).numpy() for n, k in ((37, 0.4), (21, 0.8))]
add("chunks", wide[0], 0.25, 4, wide[1])

q = [torch.from_numpy(assigned(s.detach().numpy(), 0.05, 3)) for s in scores]
loss = sum(-(q[i] * F.log_softmax(scores[1 - i] / 0.1, dim=1)).sum(dim=1).mean() for i in range(2)) / 2
grads = torch.autograd.grad(loss, (a, b))
record["swav"] = [loss.item()] + [x for g in grads for x in (g[0, 0].item(), g.abs().sum().item())]
print(json_text(record))
