"""A training step of SimCLR: ResNet-18 with the CIFAR stem, two views of a batch (Chen et al. 2020)."""
import torch.nn as nn

from .common.losses import nt_xent
from .common.models import mlp, resnet18_cifar
from .common.training import two_view_case


def case(options):
    return two_view_case(options, nn.Sequential(resnet18_cifar(), mlp(512, 2048, 128)), nt_xent)
