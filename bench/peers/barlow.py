"""A training step of Barlow Twins: ResNet-18 with the CIFAR stem, two views of a batch (Zbontar et al. 2021)."""
import torch
import torch.nn as nn

from .common.losses import barlow
from .common.models import expander, resnet18_cifar
from .common.training import Case, amp, compiled, sgd, trainer, two_views


def case(options):
    model = nn.Sequential(resnet18_cifar(), expander(512, 2048, 2048)).to(options.device)
    model = model.to(memory_format=torch.channels_last)
    views = two_views(options)

    @compiled(options)
    def loss_of(x):
        with amp(options):
            z = model(x)
        return barlow(*z.chunk(2))

    return Case(trainer(lambda: loss_of(views), sgd([model])), [model])
