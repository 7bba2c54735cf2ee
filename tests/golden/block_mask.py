#!/usr/bin/env python3
"""Blocks of patches in NumPy, I-JEPA's and iBOT's: lists of some images from the project's random numbers, and the statistics of many draws
from NumPy's own, for the repaired sampler and the published one.

Blocks: the area is a share of .15 to .2 (a target) or .85 to 1 (the context) of the patches, rounded down, height over
width is .75 to 1.5 or 1. Published (ijepa, multiblock.py): one uniform number for both, sides below the grid's, the upper
end of top and left excluded, the first patches kept. iBOT's masks are those of its loader.py: blocks of uniform area and
log-uniform aspect are added until none of ten fits.

usage: block_mask.py > block_mask.json     (needs numpy)
"""
import math

from formula import json_text
from philox import draw

import numpy as np

TARGET, CONTEXT = (0.15, 0.2, 0.75, 1.5), (0.85, 1.0, 1.0, 1.0)
DRAWS, COUNT = 1024, 4


def sides(grid, kind, u, v):
    low, high, narrow, wide = kind
    area = int(grid * grid * (low + u * (high - low)))
    aspect = narrow + v * (wide - narrow)
    return [round(math.sqrt(x)) for x in (area * aspect, area / aspect)]


def place(grid, kind, original, uniform, integer):
    """(top, left, height, width); uniform(i) is in [0, 1), integer(i, n) in 0 … n − 1."""
    u = uniform(0)
    limit = grid - 1 if original else grid
    height, width = [min(max(side, 1), limit) for side in sides(grid, kind, u, u if original else uniform(1))]
    spare = 0 if original else 1
    return integer(2, grid - height + spare), integer(3, grid - width + spare), height, width


def mask_of(grid, block):
    top, left, height, width = block
    mask = np.zeros((grid, grid), bool)
    mask[top:top + height, left:left + width] = True
    return mask.ravel()


def image(grid, original, seed, step, sample, attempt):
    """Masks of the context's block without the targets, and of each target."""
    masks = []
    for number in range(COUNT + 1):
        words = draw(seed, "mask", step, sample, (1 + number) << 16 | 1 << 15 | attempt)
        block = place(grid, TARGET if number else CONTEXT, original, lambda i: (words[i] >> 8) / 2**24,
                      lambda i, n: words[i] * n >> 32)
        masks.append(mask_of(grid, block))
    masks[0] &= ~np.any(masks[1:], axis=0)
    return masks


def lengths(grid, original):
    contexts, targets = [], []
    for sample in range(DRAWS):
        masks = image(grid, original, 0, 0, sample, 0)
        contexts.append(int(masks[0].sum()))
        targets += [int(m.sum()) for m in masks[1:]]
    return sorted(contexts)[len(contexts) // 20], sorted(targets)[len(targets) // 20]


def lists(grid, original, seed, step, sample, kept, picked):
    best = []
    for attempt in range(20):
        masks = image(grid, original, seed, step, sample, attempt)
        if not best or masks[0].sum() > best[0].sum():
            best = masks
        if best[0].sum() >= kept:
            break
    rows = []
    for number, mask in enumerate(best):
        noise = lambda n: 0 if original else draw(seed, "mask", step, sample, (1 + number) << 16 | n // 4)[n % 4]
        order = sorted(np.flatnonzero(mask).tolist(), key=lambda n: (noise(n), n))
        length = picked if number else kept
        rows.append([order[i % len(order)] for i in range(length)])
    return rows


def statistics(grid, original, generator, count=20000):
    areas, contexts, last_row, last_column = [], [], 0, 0
    for _ in range(count):
        drawn = [place(grid, TARGET if n else CONTEXT, original, lambda i: generator.random(),
                       lambda i, m: int(generator.integers(m))) for n in range(COUNT + 1)]
        masks = [mask_of(grid, block) for block in drawn]
        contexts.append((masks[0] & ~np.any(masks[1:], axis=0)).sum())
        areas += [m.sum() for m in masks[1:]]
        last_row += sum(top + height == grid for top, _, height, _ in drawn[1:])
        last_column += sum(left + width == grid for _, left, _, width in drawn[1:])
    return {"target_area": float(np.mean(areas)), "target_deviation": float(np.std(areas)),
            "context": float(np.mean(contexts)), "context_deviation": float(np.std(contexts)),
            "last_row": last_row / len(areas), "last_column": last_column / len(areas)}


def hide(grid, uniform, integer, again):
    """iBOT's mask of a view, or none of it; again() begins the next four numbers."""
    mask, wanted = np.zeros((grid, grid), bool), (0.1 + uniform(1) * 0.4) * grid * grid
    if uniform(0) >= 0.5:
        return mask.ravel()
    while mask.sum() < wanted:
        room = wanted - mask.sum()
        for _ in range(10):
            again()
            least = (grid // 3) ** 2
            area = least + uniform(0) * (room - least)
            aspect = math.exp(math.log(0.3) + uniform(1) * (math.log(1 / 0.3) - math.log(0.3)))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height >= grid or width >= grid:
                continue
            top, left = integer(2, grid - height + 1), integer(3, grid - width + 1)
            block = mask[top:top + height, left:left + width]
            if 0 < (~block).sum() <= room:
                block[:] = True
                break
        else:
            break
    return mask.ravel()


def hidden(grid, seed, step, sample, view):
    number = [0]
    word = lambda i: draw(seed, "mask", step, sample, (1 + view) << 16 | 1 << 15 | number[0])[i]
    mask = hide(grid, lambda i: (word(i) >> 8) / 2**24, lambda i, n: word(i) * n >> 32,
                lambda: number.__setitem__(0, number[0] + 1))
    return np.flatnonzero(mask).tolist()


def hidden_statistics(grid, generator, count=20000):
    sizes, corner = [], 0
    for _ in range(count):
        mask = hide(grid, lambda i: generator.random(), lambda i, n: int(generator.integers(n)), lambda: None)
        sizes.append(mask.sum())
        corner += mask[-1]
    return {"hidden": float(np.mean(sizes)), "hidden_deviation": float(np.std(sizes)), "none": sizes.count(0) / count,
            "corner": corner / count}


def main():
    cases = []
    for grid, original in ((8, False), (8, True), (14, False), (14, True)):
        kept, picked = lengths(grid, original)
        cases.append({
            "grid": grid, "original": original, "kept": kept, "picked": picked,
            "lists": [lists(grid, original, 5, 9, sample, kept, picked) for sample in (0, 3, 70, 2**31 - 1)],
            # Longer than most contexts and blocks: drawn again, and repeated.
            "long": [lists(grid, original, 5, 9, sample, grid * grid // 2, grid * grid // 5) for sample in (0, 3)],
            "statistics": statistics(grid, original, np.random.default_rng(grid)),
        })
    masks = [{"grid": grid,
              "hidden": [[hidden(grid, 5, 9, sample, view) for sample in (0, 3, 70, 2**31 - 1)] for view in (0, 1)],
              "statistics": hidden_statistics(grid, np.random.default_rng(grid))} for grid in (4, 8, 14)]
    print(json_text({"cases": cases, "masks": masks}))


if __name__ == "__main__":
    main()
