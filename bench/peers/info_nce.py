"""MoCo's loss alone, forward and backward, against a queue of 16,384."""
import torch
import torch.nn.functional as F

from .common.losses import moco
from .common.training import Case, compiled, gradient_of


def case(options):
    rows, columns = options.batch or 4096, options.size or 128
    z = torch.randn(rows, columns, device=options.device, requires_grad=True)
    keys = F.normalize(torch.randn(rows, columns, device=options.device), dim=1)
    queue = F.normalize(torch.randn(16384, columns, device=options.device), dim=1).t().contiguous()
    loss = compiled(options)(moco)
    return Case(gradient_of(lambda q: loss(q, keys, queue, 0.2), z))
