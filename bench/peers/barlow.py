"""A training step of Barlow Twins: ResNet-18 with the CIFAR stem, two views of a batch (Zbontar et al. 2021)."""
import torch.nn as nn

from .common.losses import barlow
from .common.models import expander, resnet18_cifar
from .common.training import two_view_case


def case(options):
    return two_view_case(options, nn.Sequential(resnet18_cifar(), expander(512, 2048, 2048)), lambda z: barlow(*z.chunk(2)))
