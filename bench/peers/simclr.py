"""A training step of SimCLR: ResNet-18 with the CIFAR stem, two views of a batch (Chen et al. 2020)."""
import torch
import torch.nn as nn

from .common.losses import nt_xent
from .common.models import mlp, resnet18_cifar
from .common.training import Case, amp, compiled, sgd, trainer, two_views


def case(options):
    model = nn.Sequential(resnet18_cifar(), mlp(512, 2048, 128)).to(options.device, memory_format=torch.channels_last)
    views = two_views(options)

    @compiled(options)
    def loss_of(x):
        with amp(options):
            z = model(x)
        return nt_xent(z)

    return Case(trainer(lambda: loss_of(views), sgd([model])), [model])
