"""A training step of VICReg: ResNet-18 with the CIFAR stem, two views of a batch (Bardes et al. 2022)."""
import torch
import torch.nn as nn

from .common.losses import vicreg
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
        return vicreg(*z.chunk(2))

    return Case(trainer(lambda: loss_of(views), sgd([model])), [model])
