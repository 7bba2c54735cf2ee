"""A training step of BYOL: ResNet-18 with the CIFAR stem, two views of a batch (Grill et al. 2020)."""
import copy

import torch
import torch.nn as nn

from .common.losses import cosine_loss
from .common.models import mlp, resnet18_cifar
from .common.training import Case, amp, compiled, sgd, trainer, two_views


def case(options):
    """Each view passes batch norm by itself, as in the authors' code."""
    online = nn.Sequential(resnet18_cifar(), mlp(512, 2048, 128)).to(options.device, memory_format=torch.channels_last)
    target, predictor = copy.deepcopy(online).requires_grad_(False), mlp(128, 2048, 128).to(options.device)
    views = [v.contiguous(memory_format=torch.channels_last) for v in two_views(options).chunk(2)]
    pairs = list(target.parameters()), list(online.parameters())

    @compiled(options)
    def loss_of(first, second):
        with amp(options):
            with torch.no_grad():
                z = [target(v) for v in (first, second)]
            p = [predictor(online(v)) for v in (first, second)]
        return cosine_loss(p[0], z[1]) + cosine_loss(p[1], z[0])

    @torch.no_grad()
    def average():
        torch._foreach_lerp_(*pairs, 0.01)

    return Case(trainer(lambda: loss_of(*views), sgd([online, predictor]), average), [online, predictor])
