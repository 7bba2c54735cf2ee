#!/usr/bin/env python3
"""One step of Barlow Twins in PyTorch (f64) on a narrow ResNet with one basic block a stage: loss, its terms, every gradient.

A ReLU whose input is within f32's rounding of 0 may fall on either side, and then gradients differ by more than
rounding. So the views are, of many candidates, those whose nearest input to 0 is the farthest away.

usage: barlow_step.py > barlow_step.json     (needs torch and torchvision)
"""
import torch
from torchvision.models.resnet import BasicBlock, ResNet

from formula import hash_uniform, json_text, parameter, summary

torch.set_default_dtype(torch.float64)
BATCH, SIZE, WIDTH, HIDDEN, CANDIDATES = 8, 16, 8, 32, 60
WEIGHT, SCALE = 0.0051, 0.1


def narrow_resnet():
    model = ResNet(BasicBlock, [1, 1, 1, 1])
    model.conv1 = torch.nn.Conv2d(3, WIDTH, 3, 1, 1, bias=False)
    model.bn1 = torch.nn.BatchNorm2d(WIDTH)
    model.maxpool = model.fc = torch.nn.Identity()
    model.inplanes = WIDTH
    for stage in range(4):
        layer = model._make_layer(BasicBlock, WIDTH << stage, 1, stride=1 if stage == 0 else 2)
        setattr(model, f"layer{stage + 1}", layer)
    return model


class Projector(torch.nn.Module):
    """Three linear layers without bias, batch norm and ReLU between."""

    def __init__(self, inside):
        super().__init__()
        self.linears = torch.nn.ModuleList(
            [torch.nn.Linear(inside if i == 0 else HIDDEN, HIDDEN, bias=False) for i in range(3)])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(HIDDEN) for _ in range(2)])
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        for linear, norm in zip(self.linears, self.norms):
            x = self.relu(norm(linear(x)))
        return self.linears[2](x)


class Barlow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = narrow_resnet()
        self.projector = Projector(8 * WIDTH)
        self.norm = torch.nn.BatchNorm1d(HIDDEN, affine=False)

    def terms(self, first, second):
        """Each view goes through the network by itself, with its own batch statistics."""
        a, b = (self.norm(self.projector(self.encoder(view))) for view in (first, second))
        c = a.t() @ b / len(a)
        off = c - torch.diag(c.diagonal())
        loss = (c.diagonal() - 1).square().sum() + WEIGHT * off.square().sum()
        return loss, c.diagonal().mean(), off.abs().sum() / (HIDDEN * (HIDDEN - 1))


model = Barlow().train()
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.from_numpy(parameter(name, tuple(p.shape))))


def views(name):
    u = hash_uniform(name, 2 * BATCH * SIZE * SIZE * 3).reshape(2 * BATCH, SIZE, SIZE, 3) + 0.5
    return torch.from_numpy(u).float().double().permute(0, 3, 1, 2).chunk(2)


margin = []
for module in model.modules():
    if isinstance(module, torch.nn.ReLU):
        module.register_forward_pre_hook(lambda m, x: margin.append(x[0].abs().min().item()))
best = (0, "")
with torch.no_grad():
    for candidate in range(CANDIDATES):
        margin.clear()
        model.terms(*views(f"views {candidate}"))
        best = max(best, (min(margin), f"views {candidate}"))

terms = model.terms(*views(best[1]))
loss = SCALE * terms[0]
loss.backward()
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(["data = shapes:64", f"batch = {BATCH}", f"size = {SIZE}", "model = resnet10", "stem = cifar",
                         f"width = {WIDTH}", f"head-hidden = {HIDDEN}", f"head-out = {HIDDEN}", f"off-diagonal = {WEIGHT}",
                         f"loss-scale = {SCALE}"]),
    "views": [best[1]],
    "margin": best[0],
    "loss": loss.item(),
    "terms": {name: t.item() for name, t in zip(("diagonal", "redundancy"), terms[1:])},
    "gradients": {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters()},
}))
