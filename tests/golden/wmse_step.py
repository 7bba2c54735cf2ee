#!/usr/bin/env python3
"""One step of W-MSE in PyTorch (f64) on a narrow ResNet with one basic block a stage: loss and every gradient.

usage: wmse_step.py > wmse_step.json     (needs torch and torchvision)
"""
import torch
import torch.nn.functional as F

from formula import json_text, summary
from trajectory import descend, statistics
from narrow_step import clearest_views, fields_of, narrow_resnet, relus_of, set_parameters, views

WIDTH, HIDDEN, OUT, ROWS, SHRINK = 8, 32, 2, 4, 0.3


def whiten(z):
    x = z - z.mean(dim=0)
    covariance = (1 - SHRINK) * torch.cov(x.t()) + SHRINK * torch.eye(OUT)
    return x @ torch.linalg.inv(torch.linalg.cholesky(covariance)).t()


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linears = torch.nn.ModuleList(
            [torch.nn.Linear(8 * WIDTH, HIDDEN, bias=False), torch.nn.Linear(HIDDEN, OUT)])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(HIDDEN)])
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        return self.linears[1](self.relu(self.norms[0](self.linears[0](x))))


class Wmse(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.projector = Head()

    def loss(self, first, second):
        a, b = [torch.cat([whiten(group) for group in self.projector(self.encoder(v)).split(ROWS)])
                for v in (first, second)]
        return (2 - 2 * F.cosine_similarity(a, b)).mean()


model = Wmse().train()
set_parameters(model)
start = {name: value.clone() for name, value in model.state_dict().items()}
best = clearest_views(relus_of(model), model.loss)
loss = model.loss(*views(best[1]))
loss.backward()
model.load_state_dict(start)
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(fields_of(WIDTH, HIDDEN, OUT) + [f"whiten-rows = {ROWS}", f"shrink = {SHRINK}"]),
    "views": [best[1]],
    "margin": best[0],
    "loss": loss.item(),
    "gradients": {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters()},
    "trajectory": descend(1e-4, [(model.parameters(), lambda step: {"loss": model.loss(*views(best[1]))})],
                          states=lambda: statistics(model)),
}))
