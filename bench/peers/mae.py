"""A training step of MAE: ViT-Ti with patches of 4 at 32 pixels (He et al. 2022)."""
import torch

from .common.models import MaskedAutoencoder
from .common.training import Case, adamw, amp, compiled, trainer


def case(options, size=32, **shape):
    size = options.size or size
    model = MaskedAutoencoder(size, **shape).to(options.device)
    images = torch.randn(options.batch or 128, 3, size, size, device=options.device)

    @compiled(options)
    def loss_of(x):
        with amp(options):
            return model(x)

    return Case(trainer(lambda: loss_of(images), adamw(model)), [model])
