# SPDX-License-Identifier: Apache-2.0
"""NeuralSort: a unimodal row-stochastic relaxation, deterministic or stochastic."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import exact_order
from arlsort.numerics import rowwise
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

    def _rows(self, scores: jax.Array) -> rowwise.Rows:
        n = scores.shape[-1]
        # A shift changes nothing but the rounding: the two terms cancel worst far from zero.
        centred = scores - lax.stop_gradient(scores.mean(axis=-1, keepdims=True))
        summit, order = exact_order.sort(centred)
        saddle = rowwise.mean_distance(summit)
        # Row i has its peak at the i-th smallest score. Logits are measured from there: a sum of
        # differences, which at the peak itself is zero however large the scores are. What rounding
        # puts above the peak is level with it.
        # Computed once: at scores of 1e30, a bit more or less would be 1e23.
        centred, saddle = lax.optimization_barrier((centred, saddle))
        apart = exact_order.at(saddle, exact_order.inverse(order))
        summit, saddle = lax.stop_gradient((exact_order.at(centred, order), saddle))
        position = lax.broadcasted_iota(scores.dtype, scores.shape, scores.ndim - 1)
        # Divided by n on both sides, so that large scores do not overflow.
        factor = (2 * position - (n - 1)) / n

        def weigh(heads: tuple[jax.Array, ...], centred: jax.Array, apart: jax.Array) -> jax.Array:
            factor, summit, saddle = (rowwise.spread(head, n) for head in heads)
            across = factor * (centred[..., None, :] - summit)
            below = across - (apart[..., None, :] - saddle)
            level = below - lax.stop_gradient(jnp.maximum(below, 0.0))
            return rowwise.normalised_exp(level, self.temperature / n)

        return rowwise.Rows(weigh, (factor, summit, saddle), (centred, apart))
