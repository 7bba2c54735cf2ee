"""Images and labels as an archive that the program reads: uncompressed, as it is read once."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Iterable
from typing import IO, Any, Tuple, Union

import numpy as np

Image = Any  #: an array of uint8, (H, W, 3) or (H, W), or a PIL image
Sample = Union[Image, Tuple[Image, Union[int, str, None]]]


def _pixels(image: Image) -> np.ndarray:
    """(H, W, 3) uint8."""
    array = np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(f"got an array of {array.dtype} and shape {array.shape}, expected uint8, (H, W, 3) or (H, W)")
    return array


def _bmp(pixels: np.ndarray) -> bytes:
    """A bitmap of 24 bits, from the top down; rows are of a multiple of 4 bytes, blue first."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, (3 * width + 3) // 4 * 4), np.uint8)
    rows[:, : 3 * width] = pixels[:, :, ::-1].reshape(height, 3 * width)
    head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + rows.size, 0, 0, 54, 40, width, -height, 1, 24, 0, rows.size,
                       2835, 2835, 0, 0)
    return head + rows.tobytes()


def write_samples(samples: Iterable[Sample], archive: IO[bytes]) -> None:
    """As webdataset lays them out: N.bmp and, where there are labels, N.cls."""
    labelled = None

    def add(name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))

    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for number, sample in enumerate(samples):
            image, label = sample if isinstance(sample, tuple) else (sample, None)
            text = "" if label is None else str(label).strip()
            if label is not None and not text:
                raise ValueError(f"sample {number} has the label {label!r}, expected a text or a number")
            if labelled is None:
                labelled = label is not None
            if labelled != (label is not None):
                raise ValueError(f"sample {number} has {'a' if not labelled else 'no'} label, unlike those before it")
            add(f"{number:09}.bmp", _bmp(_pixels(image)))
            if labelled:
                add(f"{number:09}.cls", text.encode())
    archive.flush()
