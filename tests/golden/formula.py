"""Numbers made by a formula that tests/golden_step.cpp repeats, and gradients summarised by projections on such numbers."""
import json

import numpy as np


def hash_uniform(name, count):
    """count numbers in [-0.5, 0.5): a 32-bit mix (MurmurHash3's finaliser) of FNV-1a(name) and the index."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x85EBCA6B)
        x ^= x >> np.uint32(13)
        x *= np.uint32(0xC2B2AE35)
        x ^= x >> np.uint32(16)
    return x.astype(np.float64) / 2.0**32 - 0.5


def parameter(name, shape):
    """A parameter in PyTorch's layout: matrices scaled by √(6 / fan in), norm weights about 1, biases about 0."""
    u = hash_uniform(name, int(np.prod(shape)))
    if len(shape) > 1:
        u = u * np.sqrt(24.0 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        u = 1 + 0.2 * u
    else:
        u = 0.2 * u
    return u.astype(np.float32).astype(np.float64).reshape(shape)


def summary(name, gradient, projections=8):
    """‖g‖ and ⟨g, u_j⟩ for fixed u_j. Errors of the latter bound ‖Δg‖, since E⟨Δg, u⟩² = ‖Δg‖² / 12."""
    g = np.asarray(gradient, dtype=np.float64).reshape(-1)
    return {
        "norm": float(np.linalg.norm(g)),
        "projections": [float(g @ hash_uniform(f"{name}#{j}", g.size)) for j in range(projections)],
    }


def dump(record):
    """`record` as JSON, each entry of the dicts in it on a line."""
    def text(value):
        if isinstance(value, dict) and value:
            return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n }"
        return json.dumps(value)
    return "{\n" + ",\n".join(f" {json.dumps(k)}: {text(v)}" for k, v in record.items()) + "\n}"
