"""Records what torchvision makes of small images into augment.h, for tests/engine/data/images/augment_test.cpp.

Run: python3 tests/golden/augment.py   (needs torch and torchvision; writes tests/golden/augment.h beside itself)
Float64 all through, so that the recorded values carry torchvision's formulas and none of its rounding
(adjust_hue works in float32 inside torchvision whatever it is given).
"""
import pathlib
import torch
import torchvision
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F


def image(height, width):
    """The test image, by a formula that the test repeats: grays, ties of channels, and every hue."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    r = (x * 37 + y * 91 + (x * y) % 29 * 7) % 256
    g = (x * 53 + y * 17 + 60) % 256
    b = (x * 11 + y * 139 + (x + y) % 7 * 31 + 120) % 256
    g = torch.where((x * y) % 13 == 0, r, g)
    b = torch.where((x + y) % 11 == 0, r, b)
    g = torch.where((x + y) % 11 == 0, r, g)
    return torch.stack((r, g, b)).to(torch.float64) / 255


def resize(t, size):
    return F.resize(t, [size, size], InterpolationMode.BILINEAR, antialias=True)


def solarize(t, threshold):
    assert (t - threshold).abs().min() > 1e-4, "a value too near the threshold to compare"
    return F.solarize(t, threshold)


def gray(t):
    return F.rgb_to_grayscale(t, num_output_channels=3)


def blur(t, taps, sigma):
    return F.gaussian_blur(t, [taps, taps], [sigma, sigma])


small = image(8, 8)
cases = {
    # Resampling: (height, width) to size.
    "resize_same": small,
    "resize_down": resize(image(24, 20), 8),
    "resize_up": resize(image(5, 6), 8),
    "resize_wide": resize(image(3, 40), 8),
    "resize_tall": resize(image(61, 2), 7),
    "resize_pixel": resize(image(1, 1), 4),
    "crop": F.resized_crop(image(24, 20), 3, 5, 13, 10, [8, 8], InterpolationMode.BILINEAR, antialias=True),
    "crop_flip": F.horizontal_flip(F.resized_crop(image(24, 20), 3, 5, 13, 10, [8, 8], antialias=True)),
    "evaluation": F.center_crop(F.resize(image(30, 23), 16, antialias=True), [8, 8]),
    # One operation.
    "brightness_up": F.adjust_brightness(small, 1.6),
    "brightness_down": F.adjust_brightness(small, 0.3),
    "contrast_up": F.adjust_contrast(small, 1.7),
    "contrast_down": F.adjust_contrast(small, 0.25),
    "saturation_up": F.adjust_saturation(small, 1.8),
    "saturation_down": F.adjust_saturation(small, 0.4),
    "hue_plus": F.adjust_hue(small, 0.1),
    "hue_minus": F.adjust_hue(small, -0.23),
    "hue_half": F.adjust_hue(small, 0.5),
    "grayscale": gray(small),
    "blur_narrow": blur(small, 3, 0.4),
    "blur_wide": blur(small, 5, 2.0),
    "blur_big": blur(resize(image(40, 40), 18), 9, 1.3)[:, 4:13, 2:],
    "solarize": solarize(small, 0.501),
    "normalise": F.normalize(small, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


def chain(order, factors, box, flip, as_gray, sigma, threshold):
    t = F.resized_crop(image(24, 20), *box, [8, 8], InterpolationMode.BILINEAR, antialias=True)
    t = F.horizontal_flip(t) if flip else t
    adjust = dict(b=F.adjust_brightness, c=F.adjust_contrast, s=F.adjust_saturation, h=F.adjust_hue)
    for op in order:
        t = adjust[op](t, factors[op])
    t = gray(t) if as_gray else t
    t = blur(t, 3, sigma)
    t = solarize(t, threshold) if threshold else t
    return F.normalize(t, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])


factors = dict(b=1.3, c=0.7, s=1.35, h=-0.07)
cases["chain_bcsh"] = chain("bcsh", factors, (2, 1, 20, 17), True, False, 0.9, 0.0)
cases["chain_hscb"] = chain("hscb", factors, (2, 1, 20, 17), False, False, 0.6, 0.55)
cases["chain_csbh_gray"] = chain("csbh", factors, (0, 3, 9, 12), True, True, 1.5, 0.45)

lines = [
    f"// Written by augment.py with torchvision {torchvision.__version__.split('+')[0]}: (size, size, 3) values per case.",
    "#pragma once",
    "",
    "namespace golden {",
    "// clang-format off",
]
for name, t in cases.items():
    values = [f"{v:.6f}f" for v in t.permute(1, 2, 0).flatten().tolist()]
    lines.append(f"constexpr float {name}[] = {{")
    lines += ["    " + ", ".join(values[i:i + 10]) + "," for i in range(0, len(values), 10)]
    lines.append("};")
lines += ["// clang-format on", "}  // namespace golden", ""]
pathlib.Path(__file__).with_suffix(".h").write_text("\n".join(lines))
