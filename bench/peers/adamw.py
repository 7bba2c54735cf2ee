"""One update of AdamW."""
import torch

from .common.training import Case


def case(options):
    """One update of 48 tensors; --config loop, foreach or fused."""
    each = (options.batch or 124_000_000) // 48 // 16 * 16
    weights = [torch.randn(each, device=options.device, requires_grad=True) for _ in range(48)]
    for w in weights:
        w.grad = torch.randn_like(w)
    kind = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[options.config]
    optimizer = torch.optim.AdamW(weights, 1e-4, **kind)
    return Case(optimizer.step, parameters=each * 48)
