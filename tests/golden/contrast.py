#!/usr/bin/env python3
"""Contrastive losses and their gradients in PyTorch (f64), on inputs made by a formula that tests/method_goldens.h
repeats: MoCo, MoCo v3, NNCLR, decoupled (DCL, DCLW), hard and debiased negatives (HCL), supervised (SupCon), and Barlow
Twins. Every one is written over its whole matrix of similarities.

usage: contrast.py > contrast.json     (needs torch)
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

from formula import json_text

torch.set_default_dtype(torch.float64)


def S(shape, k, s=1.0):
    i = np.arange(np.prod(shape), dtype=np.float64)
    return torch.from_numpy(s * np.sin(k + 1.7 * i + 0.31 * i * i).reshape(shape))


n = lambda x: F.normalize(x, dim=1)
record = {"torch": torch.__version__}


def add(name, loss, *leaves):
    """The loss, then of each leaf the gradient's first element and the sum of magnitudes."""
    grads = torch.autograd.grad(loss, leaves, retain_graph=True)
    record[name] = [loss.item()] + [x for g in grads for x in (g.reshape(-1)[0].item(), g.abs().sum().item())]


def cross_entropy(queries, keys, temperature):
    return F.cross_entropy(queries @ keys.t() / temperature, torch.arange(len(queries)))


def moco(q, k, queue, temperature):
    logits = torch.cat([(n(q) * n(k)).sum(dim=1, keepdim=True), n(q) @ n(queue).t()], dim=1) / temperature
    accuracy = (logits.argmax(dim=1) == 0).double().mean()
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long)), accuracy


def pair_similarities(z):
    """Of each row its positive's, (R), and those with all that are neither itself nor its positive, (R, R − 2)."""
    rows, s = len(z), n(z) @ n(z).t()
    positive = (torch.arange(rows) + rows // 2) % rows
    others = torch.ones(rows, rows, dtype=torch.bool)
    others[torch.arange(rows), torch.arange(rows)] = False
    others[torch.arange(rows), positive] = False
    return s[torch.arange(rows), positive], s[others].reshape(rows, rows - 2)


def dcl(z, temperature, sigma=None):
    positive, negatives = pair_similarities(z)
    weight = 1.0
    if sigma is not None:
        half = len(z) // 2
        weight = (2 - half * F.softmax(positive[:half].detach() / sigma, dim=0)).repeat(2)
    return (torch.logsumexp(negatives / temperature, dim=1) - weight * positive / temperature).mean()


def hcl(z, temperature, beta, tau_plus):
    positive, negatives = pair_similarities(z)
    pos, neg = (positive / temperature).exp(), (negatives / temperature).exp()
    importance = neg ** beta
    count = negatives.shape[1]
    reweighted = (importance * neg).sum(dim=1) / importance.mean(dim=1)
    ng = ((reweighted - tau_plus * count * pos) / (1 - tau_plus)).clamp(min=count * math.exp(-1 / temperature))
    return -(pos / (pos + ng)).log().mean()


def supcon(z, labels, temperature):
    rows, s = len(z), n(z) @ n(z).t() / temperature
    itself = torch.eye(rows, dtype=torch.bool)
    log_p = s - torch.logsumexp(s.masked_fill(itself, -math.inf), dim=1, keepdim=True)
    same = (labels[:, None] == labels[None, :]) & ~itself
    return -((log_p * same).sum(dim=1) / same.sum(dim=1).clamp(min=1)).mean()


def barlow(a, b, weight):
    standard = lambda x: (x - x.mean(dim=0)) / (x.var(dim=0, unbiased=False) + 1e-5).sqrt()
    c = standard(a).t() @ standard(b) / len(a)
    off = c - torch.diag(torch.diag(c))
    record["barlow_health"] = [torch.diag(c).mean().item(), off.abs().sum().item() / (len(c) * (len(c) - 1))]
    return (torch.diag(c) - 1).square().sum() + weight * off.square().sum()


a, b = S((4, 6), 0.3).requires_grad_(), S((4, 6), 1.1).requires_grad_()
z = torch.cat([a, b])
bank = n(S((5, 6), 2.3))

loss, accuracy = moco(a, b.detach(), bank, 0.2)
add("moco", loss, a)
record["moco_accuracy"] = [accuracy.item()]
add("moco_v3", 2 * 0.2 * cross_entropy(n(a), n(b.detach()), 0.2), a)
neighbours = (n(a) @ bank.t()).argmax(dim=1)
record["neighbours"] = neighbours.tolist()
add("nnclr", cross_entropy(bank[neighbours], n(b), 0.1), b)
# Keys that learn too, in-batch and queued negatives together.
logits = torch.cat([n(a) @ n(b).t(), n(a) @ bank.t()], dim=1) / 0.3
add("both", F.cross_entropy(logits, torch.arange(4)), a, b)
add("nt_xent", hcl(z, 0.5, 0, 0), a, b)
add("dcl", dcl(z, 0.5), a, b)
add("dclw", dcl(z, 0.5, 0.5), a, b)
add("hcl", hcl(z, 0.5, 1, 0.1), a, b)
add("debiased", hcl(z, 0.5, 0, 0.1), a, b)
add("supcon", supcon(z, torch.tensor([0, 0, 1, 2, 0, 0, 1, 2]), 0.1), a, b)
add("barlow", barlow(a, b, 0.0051), a, b)
print(json_text(record))
