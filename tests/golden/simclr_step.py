#!/usr/bin/env python3
"""One SimCLR step, and three of descent, in PyTorch (f64): ResNet-18 with the CIFAR stem, projection head, NT-Xent.

A ReLU whose input is within f32's rounding of 0 may fall on either side, and then gradients differ by more than
rounding. So the views are, of many candidates, those whose nearest input to 0 is the farthest away.

usage: simclr_step.py > simclr_step.json     (needs torch and torchvision)
"""
import torch
import torch.nn.functional as F
import torchvision

from formula import hash_uniform, json_text, parameter, summary
from trajectory import descend, statistics

torch.set_default_dtype(torch.float64)
BATCH, SIZE, TAU, CANDIDATES = 4, 16, 0.5, 300


class Head(torch.nn.Module):
    """512 → 512 → 128 with batch norm and ReLU between."""

    def __init__(self):
        super().__init__()
        self.linears = torch.nn.ModuleList([torch.nn.Linear(512, 512, bias=False), torch.nn.Linear(512, 128)])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(512)])

    def forward(self, x):
        return self.linears[1](F.relu(self.norms[0](self.linears[0](x))))


class Simclr(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torchvision.models.resnet18()
        self.encoder.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.encoder.maxpool = torch.nn.Identity()
        self.encoder.fc = torch.nn.Identity()
        self.head = Head()

    def forward(self, x):
        return self.head(self.encoder(x))


def nt_xent(z):
    z = F.normalize(z, dim=1)
    n = z.shape[0]
    similarity = (z @ z.t() / TAU).masked_fill(torch.eye(n, dtype=torch.bool), float("-inf"))
    return F.cross_entropy(similarity, torch.arange(n).roll(n // 2))


def columns(z):
    """The loss, and the share of images whose first view is nearer to its second than to those of others."""
    first, second = F.normalize(z, dim=1).chunk(2)
    right = (first @ second.t()).argmax(dim=1) == torch.arange(len(first))
    return {"loss": nt_xent(z), "accuracy": right.double().mean()}


model = Simclr().train()
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.from_numpy(parameter(name, tuple(p.shape))))


def views(name):
    u = hash_uniform(name, 2 * BATCH * SIZE * SIZE * 3).reshape(2 * BATCH, SIZE, SIZE, 3) + 0.5
    return torch.from_numpy(u).float().double().permute(0, 3, 1, 2)


margin = []
relu = torch.nn.functional.relu
torch.nn.functional.relu = F.relu = lambda x, inplace=False: (margin.append(x.abs().min().item()), relu(x))[1]
for module in model.modules():
    if isinstance(module, torch.nn.ReLU):
        module.register_forward_pre_hook(lambda m, x: margin.append(x[0].abs().min().item()))
start = {name: value.clone() for name, value in model.state_dict().items()}
best = (0, "")
with torch.no_grad():
    for candidate in range(CANDIDATES):
        margin.clear()
        model(views(f"views {candidate}"))
        best = max(best, (min(margin), f"views {candidate}"))

model.load_state_dict(start)  # the running statistics moved
terms = columns(model(views(best[1])))
loss = terms.pop("loss")
loss.backward()
gradients = {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters()}
model.load_state_dict(start)
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(["data = shapes:64", f"batch = {BATCH}", f"size = {SIZE}", "model = resnet18", "stem = cifar",
                         "width = 64", "head-hidden = 512", "head-out = 128", f"temperature = {TAU}"]),
    "views": [best[1]],
    "margin": best[0],
    "loss": loss.item(),
    "terms": {name: t.item() for name, t in terms.items()},
    "gradients": gradients,
    "trajectory": descend(2e-4, [(model.parameters(), lambda step: columns(model(views(best[1]))))],
                          states=lambda: statistics(model)),
}))
