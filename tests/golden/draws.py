#!/usr/bin/env python3
"""What each use of random numbers draws, by a second implementation of kernels/random.md's table and of each rule.

usage: draws.py     (writes draws.json beside this file, for tests/kernels/philox_test.cpp)
"""
import json
import math
import pathlib

from philox import USES, direction, draw, normals


def unit(word):
    return (word >> 8) / 2**24


def blocks():
    seeds, steps = (0, 0xFEDCBA9876543210), (0, 0x123456789ABCDE, 2**56 - 1)
    return [[seed, USES[use], step, sample, slot, draw(seed, use, step, sample, slot)]
            for use in USES for seed in seeds for step in steps for sample, slot in ((0, 0), (7, 2**32 - 1), (2**32 - 1, 9))]


def order(count, seed, epoch):
    """Fisher and Yates from the back; a swap takes 64 bits, two swaps a block."""
    order = list(range(count))
    for drawn, i in enumerate(range(count - 1, 0, -1)):
        words = draw(seed, "order", epoch, drawn // 2, 0)[2 * (drawn % 2):][:2]
        at = (words[0] << 32 | words[1]) * (i + 1) >> 64
        order[i], order[at] = order[at], order[i]
    return order


def normal(seed, number, element, attempt):
    """Box and Muller 1958."""
    u, v = [(w + 0.5) / 2**32 for w in draw(seed, "weights", number, element, attempt)[:2]]
    return math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)


def truncated(seed, number, element):
    return next(z for z in (normal(seed, number, element, attempt) for attempt in range(99)) if abs(z) <= 2)


def uniform(seed, number, element):
    return (draw(seed, "weights", number, element, 0)[0] + 0.5) / 2**32


def mask(seed, step, sample, patches):
    return sorted(range(patches), key=lambda n: (draw(seed, "mask", step, sample, n // 4)[n % 4], n))


def view(seed, step, sample, number):
    """Whether flipped, grey; brightness and hue with a chance of 0.8 of both, in 1 ± 0.4 and ± 0.1."""
    chance, factor = [draw(seed, "view", step, sample, number << 16 | k) for k in (10, 11)]
    jitter = unit(chance[1]) < 0.8
    return [unit(chance[0]) < 0.5, unit(chance[2]) < 0.2, 0.6 + 0.8 * unit(factor[0]) if jitter else 1,
            -0.1 + 0.2 * unit(factor[3]) if jitter else 0]


def window(seed, number, starts):
    words = draw(seed, "window", number >> 32, number & 0xFFFFFFFF, 0)
    return (words[0] << 32 | words[1]) * starts >> 64


def kept(seed, step, slot, element, p):
    return unit(draw(seed, "dropout", step, element // 4, slot)[element % 4]) >= p


def token(seed, position, choices):
    """Of equally likely ones."""
    words = draw(seed, "token", position, 0, 0)
    return (words[0] / 2**32 + words[1] / 2**64) * choices // 1


def letters(count):
    text = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .\n"
    return "".join(text[draw(1, "made_up", 0, i, 0)[0] % len(text)] for i in range(count))


record = {
    "uses": USES,
    "blocks": blocks(),
    "order": order(50, 5, 2),
    "uniform": [[uniform(7, number, i) for i in range(40)] for number in range(12)],
    "normal": [normal(7, 12, i, 0) for i in range(40)],
    "truncated": [truncated(7, 13, i) for i in range(200)],
    "masks": [mask(5, 9, sample, 10) for sample in (0, 3, 2**31 - 1)],
    "views": [[view(5, step, sample, number) for sample in range(40)] for step, number in ((0, 0), (3, 1))],
    "windows": [window(7, number, 1000 - 16) for number in (0, 1, 2**32 - 1, 2**32, 2**40 + 3)],
    "dropout": [kept(5, 6, 70000, element, 0.3) for element in range(50)],
    "noise": [normals(5, "noise", 9, sample, 7) for sample in (0, 3, 2**31 - 1)],
    "directions": [direction(5, 9, number, 7) for number in range(6)],
    "letters": letters(200),
    "tokens": [int(token(9, position, 10)) for position in range(40)],
}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(record) + "\n")
