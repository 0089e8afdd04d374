# SPDX-License-Identifier: Apache-2.0
"""How near a network of orders is to the exact likelihood, on lists that it was not trained on."""

from collections.abc import Sequence
from typing import Any, Final

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from arlsort.amortized.orders import network, training
from arlsort.amortized.orders.config import OrderConfig

SPREADS: Final = (1.0, 10.0, 100.0, 1000.0)
LISTS: Final = 200
WRONG: Final = 300.0
"""Unlikely orders come from noise this many times as wide as the network is told."""


def lists(
    n: int, spread: float, wide: float, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Uniform scores of a range with noise scales, in an order that noise made, `[count, n]`."""
    rng = np.random.default_rng([seed, n, int(spread), int(wide)])
    x = spread * rng.uniform(-0.5, 0.5, (count, n))
    scales = np.exp(rng.normal(size=(count, n)))
    order = np.argsort(x + wide * scales * rng.standard_cauchy((count, n)), axis=-1)
    in_order = (np.take_along_axis(v, order, axis=-1) for v in (x, scales))
    scores, noise_scales = (v.astype(np.float32) for v in in_order)
    return scores, noise_scales


def table(
    params: hk.Params,
    config: OrderConfig,
    lengths: Sequence[int],
    *,
    count: int = LISTS,
    seed: int = 2026,
) -> list[dict[str, Any]]:
    """Compares with the exact likelihood, one dictionary a row.

    Each row has `n`, `spread` (the range of the scores in units of the noise), `wide` (factor of
    the noise that made the orders: 1 is the model's own); `apart`, by how much the network's
    log-probability is lower on average, nats an element, for wide = 1 the Kullback-Leibler
    distance; `error`, the mean absolute difference; `cosine` and `least_cosine`, median and tenth
    percentile over lists of the cosine between the gradients by the scores; `same_sign`, the share
    of derivatives with the exact sign, among those above a tenth of the largest of their list.
    """
    apply = jax.jit(network.transform(config).apply)

    @jax.jit
    def said(scores: jax.Array, scales: jax.Array) -> training.Orders:
        return training.with_gradients(lambda a, w: apply(params, None, a, w), scores, scales)

    exact, rows = jax.jit(training.exact), []
    for n in lengths:
        for spread in SPREADS:
            for wide in (1.0, WRONG):
                scores, scales = map(jnp.asarray, lists(n, spread, wide, count, seed))
                truth, found = jax.device_get((exact(scores, scales), said(scores, scales)))
                rows.append({"n": n, "spread": spread, "wide": wide, **_compare(found, truth)})
    return rows


def _compare(found: training.Orders, truth: training.Orders) -> dict[str, float]:
    n = truth.scores.shape[1]
    gap = (truth.log_increments.sum(axis=1) - found.log_increments.sum(axis=1)) / n
    a, b = found.by_scores, truth.by_scores
    cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-30)
    large = np.abs(b) > 0.1 * np.abs(b).max(axis=1, keepdims=True)
    numbers = {
        "apart": gap.mean(),
        "error": np.abs(gap).mean(),
        "cosine": np.median(cosine),
        "least_cosine": np.quantile(cosine, 0.1),
        "same_sign": (a * b > 0)[large].mean(),
    }
    return {name: round(float(value), 5) for name, value in numbers.items()}
