"""NT-Xent with hard and debiased negatives alone, forward and backward (Robinson et al. 2021)."""
import torch

from .common.losses import hard_negatives
from .common.training import Case, compiled, gradient_of


def case(options):
    z = torch.randn(options.batch or 4096, options.size or 128, device=options.device, requires_grad=True)
    return Case(gradient_of(compiled(options)(hard_negatives), z))
