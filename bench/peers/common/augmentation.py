"""Two random views of each image of a batch, from torchvision and a DataLoader."""
import itertools
import os

import torch

from .training import Case


class Views(torch.utils.data.Dataset):
    """Two random views of an image; endless."""

    def __init__(self, images, transform):
        self.images, self.transform = images, transform

    def __len__(self):
        return 1 << 40

    def __getitem__(self, index):
        image = self.images[index % len(self.images)]
        return self.transform(image), self.transform(image)


def augment(options, view, image):
    """A batch of two views from DataLoader workers, one a core; --config v1-pil, v2-pil or v2-tensor."""
    import numpy
    from PIL import Image
    from torchvision import transforms as v1
    from torchvision.transforms import v2

    batch, size = options.batch or 64, options.size or view
    t = v1 if options.config == "v1-pil" else v2
    jitter = t.RandomApply([t.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)
    chain = [t.RandomResizedCrop(size, (0.08, 1)), t.RandomHorizontalFlip(), jitter, t.RandomGrayscale(0.2)]
    if size >= 96:
        chain.append(t.RandomApply([t.GaussianBlur(23, (0.1, 2.0))], p=0.5))
    if options.config == "v1-pil":
        chain.append(v1.ToTensor())
    else:
        chain += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    chain.append(t.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    side = options.size or image
    pixels = numpy.random.default_rng(1).integers(0, 256, (batch, side, side, 3), dtype=numpy.uint8)
    images = [Image.fromarray(p) for p in pixels]
    if options.config == "v2-tensor":
        images = [torch.from_numpy(p).permute(2, 0, 1) for p in pixels]
    workers = options.threads or len(os.sched_getaffinity(0))
    loader = torch.utils.data.DataLoader(
        Views(images, t.Compose(chain)), batch, num_workers=workers, sampler=itertools.count())
    batches = iter(loader)
    case = Case(lambda: next(batches))
    case.ahead = 2 * workers  # batches that were made between rounds; from then on they come as fast as they are made
    return case
