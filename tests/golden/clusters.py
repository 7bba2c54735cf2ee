#!/usr/bin/env python3
"""k-means as scikit-learn has it, from given and from drawn starts; agreement of partitions as scikit-learn and SciPy have it.

usage: clusters.py     (writes clusters.json beside this file; needs scikit-learn and SciPy)
"""
import json
import math
import pathlib

import numpy as np
import sklearn
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, confusion_matrix, normalized_mutual_info_score

from formula import hash_uniform
from philox import draw


def rows(name, count, dim, groups, spread, shift=0.0):
    """Row i is the centre of group i mod `groups`, plus spread · noise, plus shift; as f32 holds it."""
    centres = 4 * hash_uniform(name + " centres", groups * dim).reshape(groups, dim)
    noise = hash_uniform(name + " noise", count * dim).reshape(count, dim)
    return (centres[np.arange(count) % groups] + spread * noise + shift).astype(np.float32).astype(np.float64)


def lloyd(x, start, iterations, tolerance):
    k = KMeans(len(start), init=start, n_init=1, max_iter=iterations, tol=tolerance, algorithm="lloyd").fit(x)
    return dict(assignments=k.labels_.tolist(), inertia=k.inertia_, iterations=k.n_iter_, centres=k.cluster_centers_.ravel().tolist())


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def spherical(x, start, iterations):
    """Caron et al. 2020's DeepCluster v2: centres without members keep their place."""
    x, centres = unit(x), unit(start)
    for i in range(iterations + 1):
        assigned = (x @ centres.T).argmax(axis=1)
        if i == iterations:
            break
        for c in range(len(centres)):
            if (assigned == c).any():
                centres[c] = unit(x[assigned == c].sum(axis=0, keepdims=True))[0]
    return dict(assignments=assigned.tolist(), inertia=float(((x - centres[assigned])**2).sum()),
                centres=centres.ravel().tolist())


def number(seed, round, centre, restart, candidate):
    """In [0, 1), from 53 bits."""
    high, low = draw(seed, "clusters", round, centre, restart << 16 | candidate // 2)[2 * (candidate % 2):][:2]
    return ((high >> 5) * 2**26 + (low >> 6)) / 2**53


def spread_rows(x, clusters, seed, round, restart):
    """Greedy k-means++."""
    chosen = [int(number(seed, round, 0, restart, 0) * len(x))]
    nearest = ((x - x[chosen[0]])**2).sum(axis=1)
    while len(chosen) < clusters:
        tried = [int(np.searchsorted(nearest.cumsum(), number(seed, round, len(chosen), restart, c) * nearest.sum(), side="right"))
                 for c in range(2 + int(math.log(clusters)))]
        left = [np.minimum(nearest, ((x - x[t])**2).sum(axis=1)) for t in tried]
        best = int(np.argmin([l.sum() for l in left]))
        chosen.append(tried[best])
        nearest = left[best]
    return chosen


def sample_rows(count, clusters, seed, round, restart):
    order = list(range(count))
    for i in range(clusters):
        at = i + int(number(seed, round, i, restart, 0) * (count - i))
        order[i], order[at] = order[at], order[i]
    return order[:clusters]


def agreement(a, b):
    table = confusion_matrix(a, b)
    matched = linear_sum_assignment(table, maximize=True)
    return dict(a=a, b=b, nmi=normalized_mutual_info_score(a, b), ari=adjusted_rand_score(a, b), accuracy=100 * table[matched].sum() / len(a))


def partition(name, count, groups):
    return ((hash_uniform(name, count) + 0.5) * groups).astype(int).tolist()


if __name__ == "__main__":
    plain = rows("plain", 600, 7, 6, 3.0)
    shifted = rows("shifted", 500, 5, 4, 2.5, 100.0)
    grouped = partition("one", 120, 5)
    record = {
        "sklearn": sklearn.__version__,
        "plain": lloyd(plain, plain[:6], 300, 0.0),
        "tolerant": lloyd(plain, plain[:9], 300, 1e-2),
        "few iterations": lloyd(plain, plain[:9], 3, 0.0),
        "shifted": lloyd(shifted, shifted[3:7], 300, 1e-4),
        # The last begins where another does, and is empty at first.
        "empty": lloyd(plain, plain[[0, 1, 2, 3, 1]], 300, 1e-4),
        "spherical": spherical(plain, plain[[0, 1, 2, 3, 1]], 10),
        "spread rows": [spread_rows(plain - plain.mean(axis=0), k, 5, 2, restart) for k, restart in ((1, 0), (6, 0), (25, 3))],
        "sample rows": [sample_rows(600, k, 5, 2, restart) for k, restart in ((1, 0), (25, 0), (600, 3))],
        "agreements": [
            agreement(grouped, partition("two", 120, 5)),
            agreement(grouped, [(4 - g) % 5 if i % 7 else 0 for i, g in enumerate(grouped)]),
            agreement(grouped, [g // 2 for g in grouped]),
            agreement(grouped, partition("many", 120, 40)),
            agreement(grouped, [0] * 120),
            agreement([0] * 5, [0] * 5),
        ],
    }
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(record) + "\n")
