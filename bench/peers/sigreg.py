"""LeJEPA's SIGReg of two views alone, forward and backward (Balestriero and LeCun 2025)."""
import torch

from .common.losses import sigreg
from .common.training import Case, compiled, gradient_of


def case(options):
    z = torch.randn(options.batch or 4096, options.size or 128, device=options.device, requires_grad=True)
    return Case(gradient_of(compiled(options)(sigreg), z))
