#!/usr/bin/env python3
"""One step of VICReg in PyTorch (f64) on a narrow ResNet with one basic block a stage: loss, its terms, every gradient.

A ReLU whose input is within f32's rounding of 0 may fall on either side, and then gradients differ by more than
rounding; the same holds for the variance term's hinge. So the views are, of many candidates, those whose nearest input
to a kink is the farthest away.

usage: vicreg_step.py > vicreg_step.json     (needs torch and torchvision)
"""
import torch
import torch.nn.functional as F

from formula import json_text, summary
from narrow_step import BATCH, Projector, clearest_views, fields_of, narrow_resnet, relus_of, set_parameters, views

WIDTH, HIDDEN = 8, 32


margin = []


def variance(z):
    std = (z.var(dim=0) + 1e-4).sqrt()
    margin.append((1 - std).abs().min().item())
    return F.relu(1 - std).mean()


def covariance(z):
    z = z - z.mean(dim=0)
    c = z.t() @ z / (len(z) - 1)
    return (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]


class Vicreg(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.projector = Projector(8 * WIDTH, HIDDEN)

    def terms(self, first, second):
        """Each view goes through the network by itself, with its own batch statistics."""
        a, b = self.projector(self.encoder(first)), self.projector(self.encoder(second))
        return F.mse_loss(a, b), (variance(a) + variance(b)) / 2, covariance(a) + covariance(b)


model = Vicreg().train()
set_parameters(model)
best = clearest_views(relus_of(model), model.terms, margin)

terms = model.terms(*views(best[1]))
loss = 25 * terms[0] + 25 * terms[1] + terms[2]
loss.backward()
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(fields_of(WIDTH, HIDDEN, HIDDEN)),
    "views": [best[1]],
    "margin": best[0],
    "loss": loss.item(),
    "terms": {name: t.item() for name, t in zip(("invariance", "variance", "covariance"), terms)},
    "gradients": {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters()},
}))
