"""Two random views of a batch at 224 pixels."""
from .common.augmentation import augment


def case(options):
    return augment(options, 224, 256)
