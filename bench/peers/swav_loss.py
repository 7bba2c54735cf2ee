"""SwAV's assignments and its loss of two views alone, forward and backward (Caron et al. 2020)."""
import torch

from .common.losses import swav
from .common.training import Case, compiled, gradient_of


def case(options):
    z = torch.randn(options.batch or 4096, options.size or 3000, device=options.device, requires_grad=True)
    return Case(gradient_of(compiled(options)(swav), z))
