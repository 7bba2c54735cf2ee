"""SwAV's assignments and its loss of two views alone, forward and backward (Caron et al. 2020)."""
from .common.losses import swav
from .common.training import loss_case


def case(options):
    return loss_case(options, swav, 3000)
