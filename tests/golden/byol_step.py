#!/usr/bin/env python3
"""One step of BYOL or SimSiam in PyTorch (f64) on a narrow ResNet with one basic block a stage: loss, every gradient,
and for BYOL the weights, the moving average and all running statistics after an SGD step.

usage: byol_step.py byol > byol_step.json; byol_step.py simsiam > simsiam_step.json     (needs torch and torchvision)
"""
import math
import sys

import torch
import torch.nn.functional as F
import torchvision

from formula import json_text, summary
from trajectory import descend, statistics
from narrow_step import BATCH, clearest_views, fields_of, narrow_resnet, relus_of, set_parameters, views

WIDTH = 16
RATE, STEP, STEPS, TAU = 0.05, 3, 10, 0.9


class Head(torch.nn.Module):
    """Two linear layers with batch norm and ReLU between; `output_norm` adds a batch norm without scale and shift."""

    def __init__(self, inside, hidden, out, output_norm=False):
        super().__init__()
        self.linears = torch.nn.ModuleList(
            [torch.nn.Linear(inside, hidden, bias=False), torch.nn.Linear(hidden, out, bias=not output_norm)])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(hidden)])
        if output_norm:
            self.norms.append(torch.nn.BatchNorm1d(out, affine=False))
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        y = self.linears[1](self.relu(self.norms[0](self.linears[0](x))))
        return self.norms[1](y) if len(self.norms) > 1 else y


class Network(torch.nn.Module):
    def __init__(self, output_norm):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.projector = Head(8 * WIDTH, 64, 32, output_norm)

    def forward(self, x):
        return self.projector(self.encoder(x))


class Siamese(Network):
    """Online network with a predictor; `target` is a network or None, for which it is its own target."""

    def __init__(self, method):
        super().__init__(method == "simsiam")
        self.predictor = Head(32, 48, 32)
        self.method = method
        if method == "byol":
            self.target = Network(False)

    def loss(self, first, second):
        z1, z2 = self(first), self(second)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        with torch.no_grad():
            t1, t2 = (self.target(first), self.target(second)) if self.method == "byol" else (z1, z2)
        distance = lambda p, t: (F.normalize(p, dim=1) - F.normalize(t.detach(), dim=1)).square().sum(1).mean()
        total = distance(p1, t2) + distance(p2, t1)  # ‖p̄ − t̄‖² = 2 − 2 cos
        return total if self.method == "byol" else total / 4


method = sys.argv[1]
model = Siamese(method).train()
set_parameters(model)
start = {name: value.clone() for name, value in model.state_dict().items()}
best = clearest_views(relus_of(model, lambda part: not part.startswith("target")), model.loss)
model.load_state_dict(start)  # the running statistics moved

loss = model.loss(*views(best[1]))
loss.backward()
online = {n: p for n, p in model.named_parameters() if not n.startswith("target.")}
fields = fields_of(WIDTH, 64, 32) + ["predictor-hidden = 48"]
record = {
    "torch": torch.__version__,
    "fields": "\n".join(fields + ([f"tau = {TAU}", f"steps = {STEPS}"] if method == "byol" else [])),
    "views": [best[1]],
    "margin": best[0],
    "loss": loss.item(),
    "gradients": {name: summary(name, p.grad.numpy()) for name, p in online.items()},
}


def move_target(step):
    tau = 1 - (1 - TAU) * (math.cos(math.pi * step / STEPS) + 1) / 2
    if method == "byol":
        for name, p in model.target.named_parameters():
            p.copy_(tau * p + (1 - tau) * online[name])


if method == "byol":
    with torch.no_grad():
        for name, p in online.items():
            p -= RATE * p.grad
        move_target(STEP)
    record |= {"step": STEP, "states": {"target.": ""}, "rate": RATE}
    record["after"] = {name: summary(name, value.numpy()) for name, value in model.state_dict().items()
                       if not name.endswith("num_batches_tracked")}
model.load_state_dict(start)
record["trajectory"] = descend(
    0.1 * RATE, [(online.values(), lambda step: {"loss": model.loss(*views(best[1]))})], move_target,
    lambda: statistics(model) | {name: p for name, p in model.named_parameters() if name not in online},
    record.get("step", 0))
print(json_text(record))
