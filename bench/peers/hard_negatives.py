"""NT-Xent with hard and debiased negatives alone, forward and backward (Robinson et al. 2021)."""
from .common.losses import hard_negatives
from .common.training import loss_case


def case(options):
    return loss_case(options, hard_negatives, 128)
