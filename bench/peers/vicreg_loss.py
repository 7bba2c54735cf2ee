"""VICReg's three terms of two views alone, forward and backward (Bardes et al. 2022)."""
from .common.losses import vicreg
from .common.training import loss_case


def case(options):
    return loss_case(options, lambda z: vicreg(*z.chunk(2)), 2048)
