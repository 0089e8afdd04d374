# SPDX-License-Identifier: Apache-2.0
"""Distances of a reasoner's predictions from the mean of its noisy sort.

The mean permutation has a formula. The mean of CLRS's output pointers is estimated from many
perturbed copies. Of each prediction the Kullback-Leibler distance from its mean is measured, in
nats for each position or element.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from arlsort.numerics import noise as laws
from arlsort.numerics.mean_permutation import mean_permutation
from arlsort.operators.learned import LearnedSort
from arlsort.reasoner.hints import mean_trace

LISTS = 40
COPIES = 10_000
_TINY = 1e-9


def settings(spreads: Sequence[float]) -> dict[str, Any]:
    """How distances are measured, for a report."""
    return {"spreads": list(spreads), "lists": LISTS, "copies": COPIES}


def divergence(truth: jax.Array, weights: jax.Array) -> jax.Array:
    """Kullback-Leibler distance of rows `[..., n, n]`, mean over them."""
    logs = jnp.log(truth + _TINY) - jnp.log(weights + _TINY)
    return jnp.sum(truth * logs, axis=-1).mean()


def compare(operator: LearnedSort, noise: str, n: int, spread: float) -> dict[str, Any]:
    """Distances of P and of the output pointers over random lists.

    Args:
      operator: Of scores as they are, in units of the noise.
      noise: The law that its network has learned.
      n: Length of the lists.
      spread: Range that scores are drawn from.
    """
    k_scores, k_noise = jax.random.split(jax.random.key(n))
    scores = spread * jax.random.uniform(k_scores, (LISTS, n))

    def one(at: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
        x, key = at
        copies = x[None] + laws.sample(key, noise, (COPIES, n))
        _, pointers, _ = mean_trace(operator.algorithm, copies)
        found, _ = operator.log_pointers(x)
        return {
            "permutation": divergence(mean_permutation(x, noise), operator.permutation(x)),
            "pointers": divergence(pointers, jnp.exp(found)),
        }

    keys = jax.random.split(k_noise, LISTS)
    measured = jax.jit(lambda scores: jax.lax.map(one, (scores, keys)))(scores)
    means = jax.tree.map(lambda leaf: round(float(leaf.mean()), 5), measured)
    return {"algorithm": operator.algorithm, "noise": noise, "n": n, "spread": spread, **means}
