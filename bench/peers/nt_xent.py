"""NT-Xent alone, forward and backward."""
import torch

from .common.losses import nt_xent
from .common.training import Case, compiled, gradient_of


def case(options):
    z = torch.randn(options.batch or 4096, options.size or 128, device=options.device, requires_grad=True)
    return Case(gradient_of(compiled(options)(nt_xent), z))
