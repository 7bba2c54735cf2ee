"""From starting Python to the first step of SimCLR training."""
import torch

from . import simclr


def case(options):
    """Everything up to the first step of SimCLR training on 50,000 images of 32 pixels in a file, then the step."""
    import numpy
    from torchvision import transforms  # noqa: F401, what the augmentation comes from

    pixels = numpy.memmap(options.file, numpy.uint8, "r")[: 50_000 * 3072].reshape(-1, 32, 32, 3)
    torch.from_numpy(pixels[:256].copy())
    return simclr.case(options)
