"""A training step of VICReg: ResNet-18 with the CIFAR stem, two views of a batch (Bardes et al. 2022)."""
import torch.nn as nn

from .common.losses import vicreg
from .common.models import expander, resnet18_cifar
from .common.training import two_view_case


def case(options):
    return two_view_case(options, nn.Sequential(resnet18_cifar(), expander(512, 2048, 2048)), lambda z: vicreg(*z.chunk(2)))
