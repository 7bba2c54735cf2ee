"""What the golden steps on images share: a ResNet with one basic block a stage, a projector, and views that keep clear of
every ReLU's kink.

A ReLU whose input is within f32's rounding of 0 may fall on either side, and then gradients differ by more than
rounding. So the views are, of many candidates, those whose nearest input to 0 is the farthest away.
"""
import torch
from torchvision.models.resnet import BasicBlock, ResNet

from formula import hash_uniform, parameter

torch.set_default_dtype(torch.float64)
BATCH, SIZE, CANDIDATES = 8, 16, 60


def narrow_resnet(width):
    model = ResNet(BasicBlock, [1, 1, 1, 1])
    model.conv1 = torch.nn.Conv2d(3, width, 3, 1, 1, bias=False)
    model.bn1 = torch.nn.BatchNorm2d(width)
    model.maxpool = model.fc = torch.nn.Identity()
    model.inplanes = width
    for stage in range(4):
        layer = model._make_layer(BasicBlock, width << stage, 1, stride=1 if stage == 0 else 2)
        setattr(model, f"layer{stage + 1}", layer)
    return model


class Projector(torch.nn.Module):
    """Three linear layers of one width without bias, batch norm and ReLU between."""

    def __init__(self, inside, width):
        super().__init__()
        self.linears = torch.nn.ModuleList(
            [torch.nn.Linear(inside if i == 0 else width, width, bias=False) for i in range(3)])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(width) for _ in range(2)])
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        for linear, norm in zip(self.linears, self.norms):
            x = self.relu(norm(linear(x)))
        return self.linears[2](x)


def set_parameters(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.from_numpy(parameter(name, tuple(p.shape))))


def views(name, size=SIZE):
    """Two of (BATCH, 3, size, size), as f32 holds them."""
    u = hash_uniform(name, 2 * BATCH * size * size * 3).reshape(2 * BATCH, size, size, 3) + 0.5
    return torch.from_numpy(u).float().double().permute(0, 3, 1, 2).chunk(2)


def clearest_views(relus, forward, margin=None, draw=views):
    """(distance, name) of the candidate whose inputs to `relus` stay farthest from 0 in forward(*draw(name)), which may append
    other distances to `margin`."""
    margin = [] if margin is None else margin
    for module in relus:
        module.register_forward_pre_hook(lambda m, x: margin.append(x[0].abs().min().item()))
    best = (0, "")
    with torch.no_grad():
        for candidate in range(CANDIDATES):
            margin.clear()
            forward(*draw(f"views {candidate}"))
            best = max(best, (min(margin), f"views {candidate}"))
    return best


def relus_of(model, taken=lambda name: True):
    return [m for name, m in model.named_modules() if isinstance(m, torch.nn.ReLU) and taken(name)]


def fields_of(width, hidden, out):
    return ["data = shapes:64", f"batch = {BATCH}", f"size = {SIZE}", "model = resnet10", "stem = cifar", f"width = {width}",
            f"head-hidden = {hidden}", f"head-out = {out}"]
