#!/usr/bin/env python3
"""Which images the few-label protocols keep, by a second implementation of the rule, from Philox 4x32-10's paper.

usage: few_labels.py     (writes few_labels.json beside this file)

The rule: of each class, the share of the images (rounded half away from zero, at least one) whose 32-bit noise is
lowest. Image i's noise is the first word of Philox with key 0 and counter (0, i, 0xfffd << 16, 0).
"""
import json
import math
import pathlib


def philox(counter, key):
    """Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": ten rounds, Weyl sequence on the key."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


assert philox((0, 0, 0, 0), (0, 0))[0] == 0x6627E8D5  # the authors' known answer


def few_labels(labels, share):
    kept = []
    for label in sorted(set(labels)):
        of_class = sorted((philox((0, i, 0xFFFD << 16, 0), (0, 0))[0], i) for i, l in enumerate(labels) if l == label)
        count = max(1, math.floor(share * len(of_class) + 0.5))
        kept += [i for _, i in of_class[:count]]
    return sorted(kept)


labels = [i * i % 7 % 5 for i in range(2000)]  # uneven classes
record = {"0.01": few_labels(labels, 0.01), "0.1": few_labels(labels, 0.1)}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(record) + "\n")
