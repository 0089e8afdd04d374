# SPDX-License-Identifier: Apache-2.0
"""NeuralSort: a unimodal row-stochastic relaxation, deterministic or stochastic."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import exact_order
from arlsort.numerics import clusters, prefixes, rowwise
from arlsort.operators import base, sampling


@base.register
@dataclasses.dataclass(frozen=True)
class NeuralSort(sampling.PlackettLuce):
    """A softmax around the exact formula for the i-th largest score.

    `P[i, :] = softmax_j(((2 i - n + 1) x[j] - sum_k |x[j] - x[k]|) / temperature)` for ascending
    positions i = 0 ... n-1. (The paper counts from 1 and sorts in descending order, where the
    factor is `n + 1 - 2 i`.) Rows sum to one and peak at different inputs; columns need not sum to
    one.

    With `stochastic=True` it is the mean over orders drawn from a Plackett-Luce distribution whose
    log-weights are the scores (`sampling.PlackettLuce`).

    Attributes:
      temperature: The paper's τ, in the unit of the scores; > 0.
      stochastic, num_samples, key: As in `sampling.PlackettLuce`.

    Raises:
      ValueError: If a hyperparameter is out of range, if `key` or `num_samples` is given without
        `stochastic`, or (when called) if `stochastic` has no key.

    Example:
      >>> import jax.numpy as jnp
      >>> print(NeuralSort(temperature=0.1).sort(jnp.array([3.0, 1.0, 2.0])).round(1))
      [1. 2. 3.]

    References:
      Grover et al., Stochastic Optimization of Sorting Networks via Continuous Relaxations,
      ICLR 2019.
    """

    temperature: ArrayLike = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_positive("temperature", self.temperature)

    def _rows(self, scores: jax.Array, count: jax.Array | None = None) -> rowwise.Rows:
        n = scores.shape[-1]
        if count is None and n < _SHORT:
            return self._short_rows(scores)
        items = prefixes.count_of(scores, count)[..., None].astype(scores.dtype)
        if count is None:
            ascending, order = exact_order.sort(scores)
        else:  # the others stay behind, level with the largest: no cluster of their own
            order = exact_order.argsort(prefixes.keep(scores, count, prefixes.beyond(scores.dtype)))
            ascending = exact_order.at(scores, order)
            top = lax.stop_gradient(prefixes.last(ascending, count))
            ascending, scores = (prefixes.keep(x, count, top) for x in (ascending, scores))
        position = exact_order.inverse(order)
        points = clusters.in_temperatures(
            scores, ascending, position, jnp.asarray(self.temperature), count
        )
        summit = exact_order.at(points, order)
        saddle = n * rowwise.mean_distance(summit, count)
        # Row i has its peak at the i-th smallest score. Logits are measured from there: a sum of
        # differences, which at the peak itself is zero. What rounding puts above the peak is level
        # with it.
        # Computed once: a bit more or less is much where scores are many temperatures apart.
        points, saddle = lax.optimization_barrier((points, saddle))
        apart = exact_order.at(saddle, position)
        summit, saddle = lax.stop_gradient((exact_order.at(points, order), saddle))
        row = lax.broadcasted_iota(scores.dtype, scores.shape, scores.ndim - 1)
        heads: rowwise.Arrays = (2 * row - (items - 1), summit, saddle)
        if count is None:
            return rowwise.Rows(_level, heads, (points, apart))
        # Rows after the items are those of the last one: with no weight in a row it would be NaN.
        heads = tuple(prefixes.keep(head, count, prefixes.last(head, count)) for head in heads)
        absent = ~prefixes.within(count, scores.shape)
        return rowwise.Rows(_level, heads, (points, apart, absent))

    def _short_rows(self, scores: jax.Array) -> rowwise.Rows:
        """Does what `_rows` does in few kernels, of which each costs as much to start as to run.

        Only the sorted scores are needed, not their order: the peak of a row is its maximum.
        """
        n = scores.shape[-1]
        ascending = exact_order.values(lax.stop_gradient(scores))
        points, summit = clusters.both_in_temperatures(
            scores, ascending, jnp.asarray(self.temperature)
        )
        apart = rowwise.distances(points)
        # Computed once, as above.
        points, apart = lax.optimization_barrier((points, apart))
        factor = jnp.broadcast_to(
            jnp.asarray(2 * np.arange(n) - (n - 1), scores.dtype), scores.shape
        )
        heads = (factor, lax.stop_gradient(summit), jnp.zeros_like(factor))
        peak = lax.stop_gradient(_short_level(heads, (points, apart), ()).max(axis=-1))
        return rowwise.Rows(_short_level, (*heads[:2], peak), (points, apart))


# Shorter lists than this are compared all with all. Sums over longer ones would be less exact.
_SHORT = 32


def _short_level(
    heads: rowwise.Arrays, columns: rowwise.Arrays, shared: rowwise.Arrays
) -> jax.Array:
    points, apart = (column[..., None, :] for column in columns)
    factor, summit, peak = (head[..., :, None] for head in heads)
    return factor * (points - summit) - (apart + peak)


def _level(heads: rowwise.Arrays, columns: rowwise.Arrays, shared: rowwise.Arrays) -> jax.Array:
    points, apart, *absent = columns
    factor, summit, saddle = (head[..., :, None] for head in heads)
    across = factor * (points[..., None, :] - summit)
    below = across - (apart[..., None, :] - saddle)
    level = below - lax.stop_gradient(jnp.maximum(below, 0.0))
    for without in absent:
        level = jnp.where(without[..., None, :], -prefixes.beyond(level.dtype), level)
    return level
