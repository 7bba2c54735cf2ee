#!/usr/bin/env python3
"""One step of LeJEPA in PyTorch (f64) on a narrow ResNet with one basic block a stage, two large and two small views:
loss, its terms, every gradient. Its directions are drawn by the second implementation of Philox.

usage: lejepa_step.py > lejepa_step.json     (needs torch and torchvision)
"""
import numpy as np
import torch

from formula import hash_uniform, json_text, summary
from trajectory import descend, statistics
from narrow_step import BATCH, clearest_views, fields_of, narrow_resnet, relus_of, set_parameters, views
from philox import direction

WIDTH, HIDDEN, OUT = 8, 32, 12
LAMBDA, SLICES, SEED, LOCAL = 0.3, 20, 5, 8


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linears = torch.nn.ModuleList([
            torch.nn.Linear(8 * WIDTH, HIDDEN, bias=False), torch.nn.Linear(HIDDEN, HIDDEN, bias=False),
            torch.nn.Linear(HIDDEN, OUT)])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(HIDDEN) for _ in range(2)])
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        for linear, norm in zip(self.linears, self.norms):
            x = self.relu(norm(linear(x)))
        return self.linears[2](x)


class Lejepa(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.projector = Head()

    def terms(self, first, second, small, step=0):
        h = torch.cat([self.encoder(torch.cat([first, second])), self.encoder(small)])
        z = torch.stack(self.projector(h).chunk(4))
        t = torch.linspace(0, 3, 17)
        phi = torch.exp(-t ** 2 / 2)
        slices = torch.from_numpy(np.array([direction(SEED, step, m, OUT) for m in range(SLICES)]).T)
        angles = (z @ slices)[..., None] * t  # (4, B, M, 17)
        error = (angles.cos().mean(dim=1) - phi) ** 2 + angles.sin().mean(dim=1) ** 2
        sigreg = (2 * BATCH * torch.trapezoid(error * phi, t, dim=-1)).mean()
        std = (z[0].var(dim=0) + 1e-4).sqrt().mean()
        return (z - z[:2].mean(dim=0)).square().mean(), sigreg, std


def make(name):
    u = hash_uniform("small " + name, 2 * BATCH * LOCAL * LOCAL * 3).reshape(2 * BATCH, LOCAL, LOCAL, 3) + 0.5
    return *views(name), torch.from_numpy(u).float().double().permute(0, 3, 1, 2)


model = Lejepa().train()
set_parameters(model)
start = {name: value.clone() for name, value in model.state_dict().items()}
best = clearest_views(relus_of(model), model.terms, draw=make)


def columns(step):
    prediction, sigreg, std = model.terms(*make(best[1]), step)
    return {"loss": (1 - LAMBDA) * prediction + LAMBDA * sigreg, "prediction": prediction, "sigreg": sigreg, "std": std}


terms = columns(0)
loss = terms.pop("loss")
loss.backward()
model.load_state_dict(start)
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(fields_of(WIDTH, HIDDEN, OUT) + [f"lambda = {LAMBDA}", f"slices = {SLICES}", f"seed = {SEED}",
                                                         "local-views = 2", f"local-size = {LOCAL}"]),
    "views": [best[1], "small " + best[1]],
    "margin": best[0],
    "loss": loss.item(),
    "terms": {name: t.item() for name, t in terms.items()},
    "gradients": {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters()},
    "trajectory": descend(0.001, [(model.parameters(), columns)], states=lambda: statistics(model)),
}))
