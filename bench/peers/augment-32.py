"""Two random views of a batch at 32 pixels."""
from .common.augmentation import augment


def case(options):
    return augment(options, 32, 32)
