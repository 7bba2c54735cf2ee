#!/usr/bin/env python3
"""VICReg's terms, cross-entropies against soft targets, DINO's centre and last layer, and interpolated positions in
PyTorch (f64), on inputs made by a formula that tests/method_goldens.h repeats.

usage: views.py > views.json     (needs torch)
"""
import numpy as np
import torch
import torch.nn.functional as F

from formula import json_text

torch.set_default_dtype(torch.float64)


def S(shape, k, s=1.0):
    i = np.arange(np.prod(shape), dtype=np.float64)
    return torch.from_numpy(s * np.sin(k + 1.7 * i + 0.31 * i * i).reshape(shape))


def variance(z):
    return F.relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean()


def covariance(z):
    c = torch.cov(z.t())
    return (c - torch.diag(torch.diag(c))).square().sum() / z.shape[1]


record = {"torch": torch.__version__}


def add(name, loss, *leaves):
    """The loss, then of each leaf the gradient's first element and the sum of magnitudes."""
    grads = torch.autograd.grad(loss, leaves, retain_graph=True)
    record[name] = [loss.item()] + [x for g in grads for x in (g.reshape(-1)[0].item(), g.abs().sum().item())]


a, b = S((4, 6), 0.3).requires_grad_(), S((4, 6), 1.1).requires_grad_()
invariance, hinge, cov = F.mse_loss(a, b), variance(a) + variance(b), covariance(a) + covariance(b)
record["vicreg_parts"] = [invariance.item(), hinge.item() / 2, cov.item()]
add("vicreg", 25 * invariance + 25 * hinge / 2 + cov, a, b)
add("vicreg_not_halved", 25 * invariance + 25 * hinge + cov, a)

prototypes, centre = F.normalize(S((7, 6), 0.9)), S((7,), 0.2, 0.1)
student, teacher = 3 * F.normalize(a) @ prototypes.t(), (3 * F.normalize(b) @ prototypes.t()).detach()


def cross_entropies(targets, v, i, images):
    """A row's for student view v against target view i."""
    log_p = F.log_softmax(student[v * images:(v + 1) * images] / 0.1, dim=1)
    return -(targets[i * images:(i + 1) * images] * log_p).sum(dim=1)


soft = F.softmax((teacher - centre) / 0.04, dim=1)
entropy = -(soft * soft.log()).sum(dim=1).mean()
add("dino_rows", cross_entropies(soft, 0, 0, 4).mean(), a)
record["dino_rows_health"] = [entropy.item(), (cross_entropies(soft, 0, 0, 4).mean() - entropy).item()]
record["dino_centre"] = (0.9 * centre + 0.1 * teacher.mean(dim=0)).tolist()
# Two views of two images; then four of one, of which the teacher saw the first two.
add("dino_two_views", (cross_entropies(soft, 1, 0, 2) + cross_entropies(soft, 0, 1, 2)).mean() / 2, a)
crops = [(v, i) for v in range(4) for i in range(2) if v != i]
add("dino_crops", sum(cross_entropies(soft[:2], v, i, 1).mean() for v, i in crops) / len(crops), a)
given = F.softmax(S((4, 7), 0.7, 2), dim=1)
add("probabilities", (cross_entropies(given, 1, 0, 2) + cross_entropies(given, 0, 1, 2)).mean() / 2, a)
record["probabilities_health"] = [-(given * given.log()).sum(dim=1).mean().item()]
record["probabilities_health"].append(record["probabilities"][0] - record["probabilities_health"][0])
add("weighted", (cross_entropies(given, 0, 0, 4) * S((4,), 0.5)).sum(), a)

record["weight_norm"] = (F.normalize(a) @ F.normalize(S((5, 6), 0.6)).t())[0].tolist()
layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(6, 5, bias=False))
with torch.no_grad():
    layer.parametrizations.weight.original0.fill_(1)
    layer.parametrizations.weight.original1.copy_(S((5, 6), 0.6))
v = layer.parametrizations.weight.original1
loss = (layer(F.normalize(a)) * S((4, 5), 1.9)).sum()
record["weight_norm_gradient"] = torch.autograd.grad(loss, v)[0].reshape(-1).tolist()

table = S((1, 10, 4), 0.4)
for rows, columns in ((2, 2), (4, 5), (7, 1)):
    patches = table[:, 1:].reshape(1, 3, 3, 4).permute(0, 3, 1, 2)
    other = F.interpolate(patches, size=(rows, columns), mode="bicubic", align_corners=False)
    record[f"positions_{rows}x{columns}"] = torch.cat(
        [table[:, :1], other.permute(0, 2, 3, 1).reshape(1, rows * columns, 4)], dim=1).reshape(-1).tolist()
print(json_text(record))
