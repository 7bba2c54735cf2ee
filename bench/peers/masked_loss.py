"""The masked reconstruction loss alone and its gradient, patches of 16."""
import torch

from .common.losses import masked_loss
from .common.training import Case, compiled, gradient_of


def case(options):
    batch, size, patch = options.batch or 128, options.size or 224, 16
    count = (size // patch) ** 2
    predictions = torch.randn(batch, count, patch * patch * 3, device=options.device, requires_grad=True)
    images = torch.randn(batch, 3, size, size, device=options.device)
    order = torch.rand(batch, count, device=options.device).argsort(1)
    mask = torch.ones(batch, count, device=options.device).scatter(1, order[:, : count // 4], 0.0)
    loss_of = compiled(options)(masked_loss)
    return Case(gradient_of(lambda p: loss_of(p, images, mask, patch), predictions))
