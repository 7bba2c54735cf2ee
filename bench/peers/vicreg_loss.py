"""VICReg's three terms of two views alone, forward and backward (Bardes et al. 2022)."""
import torch

from .common.losses import vicreg
from .common.training import Case, compiled, gradient_of


def case(options):
    z = torch.randn(options.batch or 4096, options.size or 2048, device=options.device, requires_grad=True)
    loss = compiled(options)(vicreg)
    return Case(gradient_of(lambda both: loss(*both.chunk(2)), z))
