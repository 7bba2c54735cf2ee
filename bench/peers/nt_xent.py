"""NT-Xent alone, forward and backward."""
from .common.losses import nt_xent
from .common.training import loss_case


def case(options):
    return loss_case(options, nt_xent, 128)
