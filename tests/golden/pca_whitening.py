#!/usr/bin/env python3
"""PCA whitening as scikit-learn has it, with the sign that makes a direction's largest number positive.

usage: whitening.py     (writes pca_whitening.json beside this file; needs scikit-learn)
"""
import json
import pathlib

import numpy as np
from sklearn.decomposition import PCA

from formula import hash_uniform

ROWS, DIM, COLUMNS = 90, 12, 5
mix = hash_uniform("mix", DIM * DIM).reshape(DIM, DIM) * (1 + np.arange(DIM))[:, None]
x = (hash_uniform("rows", ROWS * DIM).reshape(ROWS, DIM) @ mix + 3).astype(np.float32).astype(np.float64)
pca = PCA(COLUMNS, svd_solver="full").fit(x)
white = (x - x.mean(axis=0)) @ pca.components_.T / np.sqrt(pca.explained_variance_ * (ROWS - 1) / ROWS)
largest = np.abs(pca.components_).argmax(axis=1)
white *= np.sign(pca.components_[np.arange(COLUMNS), largest])
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps({"rows": x.ravel().tolist(), "white": white.ravel().tolist()}) + "\n")
