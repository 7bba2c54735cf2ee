#!/usr/bin/env python3
"""Which images the few-label protocols keep, by a second implementation of the rule.

usage: few_labels.py     (writes few_labels.json beside this file)

The rule: of each class, the share of the images (rounded half away from zero, at least one) whose 32-bit noise is
lowest. Image i's noise is the first word of draw(seed 0, few_labels, step 0, sample i, slot 0); see philox.py.
"""
import json
import math
import pathlib

from philox import draw


def few_labels(labels, share):
    kept = []
    for label in sorted(set(labels)):
        of_class = sorted((draw(0, "few_labels", 0, i, 0)[0], i) for i, l in enumerate(labels) if l == label)
        count = max(1, math.floor(share * len(of_class) + 0.5))
        kept += [i for _, i in of_class[:count]]
    return sorted(kept)


labels = [i * i % 7 % 5 for i in range(2000)]  # uneven classes
record = {"0.01": few_labels(labels, 0.01), "0.1": few_labels(labels, 0.1)}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(record) + "\n")
