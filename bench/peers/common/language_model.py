"""A training step of a GPT of any size (Radford et al. 2019)."""
import torch

from .models import Gpt
from .training import Case, adamw, amp, compiled, trainer


def gpt(options, width, depth, context, batch, vocabulary=65):
    context, batch = options.size or context, options.batch or batch
    model = Gpt(vocabulary, context, width, depth, depth).to(options.device)
    tokens, targets = torch.randint(vocabulary, (2, batch, context), device=options.device)

    @compiled(options)
    def loss_of(x, y):
        with amp(options):
            return model(x, y)

    return Case(trainer(lambda: loss_of(tokens, targets), adamw(model)), [model])
