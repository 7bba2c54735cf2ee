#!/usr/bin/env python3
"""One step of Barlow Twins in PyTorch (f64) on a narrow ResNet with one basic block a stage: loss, its terms, every gradient.

usage: barlow_step.py > barlow_step.json     (needs torch and torchvision)
"""
import torch

from formula import json_text, summary
from trajectory import descend, statistics
from narrow_step import BATCH, Projector, clearest_views, fields_of, narrow_resnet, relus_of, set_parameters, views

WIDTH, HIDDEN = 8, 32
WEIGHT, SCALE = 0.0051, 0.1


class Barlow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.projector = Projector(8 * WIDTH, HIDDEN)
        self.norm = torch.nn.BatchNorm1d(HIDDEN, affine=False)

    def terms(self, first, second):
        """Each view goes through the network by itself, with its own batch statistics."""
        a, b = (self.norm(self.projector(self.encoder(view))) for view in (first, second))
        c = a.t() @ b / len(a)
        off = c - torch.diag(c.diagonal())
        loss = (c.diagonal() - 1).square().sum() + WEIGHT * off.square().sum()
        return loss, c.diagonal().mean(), off.abs().sum() / (HIDDEN * (HIDDEN - 1))


model = Barlow().train()
set_parameters(model)
start = {name: value.clone() for name, value in model.state_dict().items()}
best = clearest_views(relus_of(model), model.terms)


def columns(step):
    loss, diagonal, redundancy = model.terms(*views(best[1]))
    return {"loss": SCALE * loss, "diagonal": diagonal, "redundancy": redundancy}


model.load_state_dict(start)  # the running statistics moved
terms = columns(0)
loss = terms.pop("loss")
loss.backward()
model.load_state_dict(start)
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(fields_of(WIDTH, HIDDEN, HIDDEN) + [f"off-diagonal = {WEIGHT}", f"loss-scale = {SCALE}"]),
    "views": [best[1]],
    "margin": best[0],
    "loss": loss.item(),
    "terms": {name: t.item() for name, t in terms.items()},
    "gradients": {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters()},
    "trajectory": descend(0.01, [(model.parameters(), columns)], states=lambda: statistics(model)),
}))
