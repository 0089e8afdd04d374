# SPDX-License-Identifier: Apache-2.0
"""NeuralSort: a unimodal row-stochastic relaxation, deterministic or stochastic."""

import dataclasses

import jax
from jax import lax
from jax.typing import ArrayLike

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
        base.check_positive("temperature", self.temperature)

    def _rows(self, scores: jax.Array) -> rowwise.Rows:
        n = scores.shape[-1]
        # A shift changes nothing but the rounding: the two terms cancel worst far from zero.
        centred = scores - lax.stop_gradient(scores.mean(axis=-1, keepdims=True))
        apart = rowwise.mean_distance(centred)
        centred, apart = lax.optimization_barrier((centred, apart))
        # Divided by n on both sides, so that large scores do not overflow.
        factor = (
            2 * lax.broadcasted_iota(scores.dtype, scores.shape, scores.ndim - 1) - (n - 1)
        ) / n

        def weigh(factor: jax.Array, centred: jax.Array, apart: jax.Array) -> jax.Array:
            # The peak must be the largest of the logits to the last bit: at scores of 1e30 one bit
            # is 1e23, and all weights would be zero or infinite. The barriers keep XLA from
            # multiplying and subtracting in one step, rounded once, in one of the two only.
            # Maxima over the rows of the transpose: over the last axis they are slow.
            across = lax.optimization_barrier(factor[..., None, :] * centred[..., :, None])
            peak = lax.stop_gradient((across - apart[..., :, None]).max(axis=-2))  # [..., r]
            along = lax.optimization_barrier(
                rowwise.spread(factor, n) * centred[..., None, :]
            )  # [..., r, n]
            logits = along - apart[..., None, :]
            return rowwise.normalised_exp(logits - rowwise.spread(peak, n), self.temperature / n)

        return rowwise.Rows(weigh, factor, (centred, apart))
