#!/usr/bin/env python3
"""One step of DeepCluster in PyTorch (f64) on a narrow ResNet with one basic block a stage, within an epoch: loss and every
gradient for given clusters, whose images weigh by the square root of their clusters' sizes.

usage: deepcluster_step.py > deepcluster_step.json  (needs torch and torchvision)
"""
import numpy as np
import torch
import torch.nn.functional as F

from formula import json_text, summary
from trajectory import descend, statistics
from narrow_step import BATCH, clearest_views, fields_of, narrow_resnet, relus_of, set_parameters, views

WIDTH, IMAGES, CLUSTERS, RATE = 8, 64, 4, 0.002


class DeepCluster(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.head = torch.nn.Linear(8 * WIDTH, CLUSTERS)

    def forward(self, images):
        return self.head(self.encoder(images))


labels = [i * i % 7 % CLUSTERS for i in range(IMAGES)]
weights = np.bincount(labels)[labels]**-0.5
weights = (weights / weights.mean()).astype(np.float32).astype(np.float64)

model = DeepCluster().train()
set_parameters(model)
start = {part: value.clone() for part, value in model.state_dict().items()}
best = clearest_views(relus_of(model), lambda first, second: model(first))
model.load_state_dict(start)  # the running statistics moved
seen = []  # what the encoder gave in its turn, which the classifier learns from in its own


def loss_of(features):
    each = F.cross_entropy(model.head(features), torch.tensor(labels[:BATCH]), reduction="none")
    return (each * torch.tensor(weights[:BATCH])).mean()


def of_encoder(step):
    seen[:] = [model.encoder(views(best[1])[0])]
    return {"encoder": loss_of(seen[0])}


loss = of_encoder(0)["encoder"]
loss.backward()
model.load_state_dict(start)
turns = {turn: {"loss": loss.item(), "gradients": {part: summary(part, p.grad.numpy()) for part, p in model.named_parameters()
                                                   if part.startswith(turn + ".")}} for turn in ("encoder", "head")}
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(fields_of(WIDTH, 1, 1)[:-2] + [f"clusters = {CLUSTERS}", f"head-lr = {RATE}"]),
    "views": [best[1]],
    "margin": best[0],
    "steps_per_epoch": 8,
    "step": 1,
    "states": {"clusters.labels": labels, "weights": weights.tolist()},
    "trajectory": descend(RATE, [(model.encoder.parameters(), of_encoder),
                                 (model.head.parameters(), lambda step: {"head": loss_of(seen[0].detach())})],
                          states=lambda: statistics(model), first=1),
} | turns))
