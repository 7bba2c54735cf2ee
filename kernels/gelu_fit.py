#!/usr/bin/env python3
"""Prints the coefficients of kernels/gelu.h: odd fractions x·P(x²)/Q(x²) with the least greatest error up to a bound.

Lawson's method: least squares, its weights multiplied by the error again and again. Needs numpy.
"""
import math

import numpy as np
from numpy.polynomial import chebyshev

TANH_SCALE, TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715


def normal(x):
    return math.erf(x / math.sqrt(2)) / 2


def normal_slope(x):
    return normal(x) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def tanh(x):
    return math.tanh(TANH_SCALE * (x + TANH_CUBIC * x**3)) / 2


def tanh_slope(x):
    t = 2 * tanh(x)
    return t / 2 + x / 2 * (1 - t * t) * TANH_SCALE * (1 + 3 * TANH_CUBIC * x * x)


# What is added to 1/2, the bound, and the degree of P and Q in x².
FITS = {"gelu": (normal, 5.4, 5), "gelu_slope": (normal_slope, 5.9, 5), "gelu_tanh": (tanh, 5.0, 5),
        "gelu_tanh_slope": (tanh_slope, 5.5, 6)}


def fit(f, bound, degree, points=400, rounds=200):
    """The greatest error in f64, P and Q, the highest coefficient first."""
    x = bound * np.sin(math.pi / 2 * (np.arange(points) + 0.5) / points)
    y = np.array([f(v) for v in x])
    s = (x / bound) ** 2
    basis = chebyshev.chebvander(2 * s - 1, degree)
    weights, q, best = np.ones(points), np.ones(points), (math.inf,)
    for _ in range(rounds):
        w = np.sqrt(weights) / q  # of x·P − y·Q, with Q = 1 + s·(…) of the round before in the denominator
        columns = np.hstack([x[:, None] * basis, -(y * s)[:, None] * basis[:, :degree]])
        solution = np.linalg.lstsq(columns * w[:, None], y * w, rcond=1e-16)[0]
        above, below = solution[:degree + 1], solution[degree + 1:]
        q = 1 + s * (basis[:, :degree] @ below)
        error = np.abs(x * (basis @ above) / q - y)
        best = min(best, (error.max(), above, below), key=lambda b: b[0])
        weights *= np.sqrt(error / error.max()) + 1e-6
        weights /= weights.max()
    square = np.poly1d([1 / bound**2, 0])  # x² over the bound's

    def powers(coefficients):  # of x², from those of Chebyshev polynomials of 2 s − 1
        return np.poly1d(chebyshev.cheb2poly(coefficients)[::-1])(2 * square - 1)

    error, above, below = best
    return error, powers(above).coeffs, (1 + square * powers(below)).coeffs


for name, (f, bound, degree) in FITS.items():
    error, p, q = fit(f, bound, degree)
    print(f"{name}, to {bound}: error {error:.1e} before rounding, {0.5 - f(bound):.1e} from 1/2 at the bound")
    for letter, coefficients in (("P", p), ("Q", q)):
        print(f"  {letter}", ", ".join(f"{np.float32(c):.8e}f" for c in coefficients))
