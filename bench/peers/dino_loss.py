"""DINO's loss of two views alone, forward and backward."""
import torch

from .common.losses import dino
from .common.training import Case, compiled, gradient_of


def case(options):
    rows, prototypes = options.batch or 4096, options.size or 4096
    z = torch.randn(rows, prototypes, device=options.device, requires_grad=True)
    teacher = torch.randn(rows, prototypes, device=options.device)
    centre = torch.randn(1, prototypes, device=options.device)
    loss = compiled(options)(dino)
    return Case(gradient_of(lambda student: loss(student, teacher, centre), z))
