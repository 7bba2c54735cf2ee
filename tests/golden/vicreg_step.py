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
from trajectory import descend, statistics
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
start = {name: value.clone() for name, value in model.state_dict().items()}
best = clearest_views(relus_of(model), model.terms, margin)


def columns(step):
    invariance, hinge, cov = model.terms(*views(best[1]))
    return {"loss": 25 * invariance + 25 * hinge + cov, "invariance": invariance, "variance": hinge, "covariance": cov}


model.load_state_dict(start)  # the running statistics moved
terms = columns(0)
loss = terms.pop("loss")
loss.backward()
model.load_state_dict(start)
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(fields_of(WIDTH, HIDDEN, HIDDEN)),
    "views": [best[1]],
    "margin": best[0],
    "loss": loss.item(),
    "terms": {name: t.item() for name, t in terms.items()},
    "gradients": {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters()},
    "trajectory": descend(0.002, [(model.parameters(), columns)], states=lambda: statistics(model)),
}))
