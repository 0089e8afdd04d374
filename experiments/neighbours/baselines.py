# SPDX-License-Identifier: Apache-2.0
"""What needs no training: neighbours of pixels, and of scikit-learn's principal components."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.common.datasets import Splits

COMPONENTS = 50
PIXELS, PRINCIPAL = "knn_pixels", "knn_pca"


def run(name: str, splits: Splits, ks: Sequence[int]) -> dict[str, Any]:
    """The test accuracy of neighbours, with the k of some that is best on the validation data."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    rows = [part.images.reshape(len(part.labels), -1) / 255.0 for part in splits]
    if name == PRINCIPAL:
        components = min(COMPONENTS, *rows[0].shape)
        fitted = PCA(components, svd_solver="full").fit(rows[0])
        rows = [fitted.transform(part) for part in rows]
    model = NearestNeighbors(n_neighbors=max(ks)).fit(rows[0])
    nearest = [
        splits.train.labels[model.kneighbors(part, return_distance=False)] for part in rows[1:]
    ]  # [rows, k], the nearest first
    found = []
    for k in ks:
        scores = [
            float(np.mean(_voted(labels[:, :k]) == split.labels))
            for labels, split in zip(nearest, splits[1:], strict=True)
        ]
        found.append((scores[0], -k, scores[1]))
    validation, k, test = max(found)
    return {"k": -k, "validation_accuracy": validation, "test_accuracy": test}


def _voted(labels: np.ndarray) -> np.ndarray:
    """The most frequent label of each row, the lowest of those that are equally frequent."""
    classes = np.arange(labels.max() + 1)
    return (labels[..., None] == classes).sum(axis=1).argmax(axis=-1)
