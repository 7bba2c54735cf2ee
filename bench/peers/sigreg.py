"""LeJEPA's SIGReg of two views alone, forward and backward (Balestriero and LeCun 2025)."""
from .common.losses import sigreg
from .common.training import loss_case


def case(options):
    return loss_case(options, sigreg, 128)
