# SPDX-License-Identifier: Apache-2.0
"""NeuralSort: a unimodal row-stochastic relaxation, deterministic or stochastic."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from arlsort.operators import base


@base.register
@dataclasses.dataclass(frozen=True)
class NeuralSort(base.Operator):
    """A softmax around the exact formula for the i-th largest score.

    `P[i, :] = softmax_j(((2 i - n + 1) x[j] - sum_k |x[j] - x[k]|) / temperature)` for ascending
    positions i = 0 ... n-1. (The paper counts from 1 and sorts in descending order, where the
    factor is `n + 1 - 2 i`.) Rows sum to one and peak at different inputs; columns need not sum to
    one.

    With `stochastic=True` the scores are the log-weights of a Plackett-Luce distribution over
    orders: unit Gumbel noise is added to them, in their own unit and whatever the temperature, and
    P is the mean over `num_samples` draws. Every row of a batch has its own noise.

    Attributes:
      temperature: The paper's τ, in the unit of the scores; > 0.
      stochastic: Whether to sample.
      num_samples: The number of draws; only with `stochastic`.
      key: A `jax.random` key; needed when sampling, and a leaf like the temperature: pass a new one
        with `dataclasses.replace(operator, key=key)`.

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
    stochastic: bool = dataclasses.field(default=False, metadata=base.STATIC)
    num_samples: int = dataclasses.field(default=1, metadata=base.STATIC)
    key: jax.Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        base.check_positive("temperature", self.temperature)
        if type(self.num_samples) is not int:
            raise TypeError(base.complaint("num_samples", repr(self.num_samples), "an int >= 1"))
        if self.num_samples < 1:
            raise ValueError(base.complaint("num_samples", self.num_samples, "an int >= 1"))
        idle = {"key": self.key is not None, "num_samples": self.num_samples > 1}
        for name, given in idle.items():
            if given and not self.stochastic:
                raise ValueError(
                    base.complaint(name, "a value with stochastic=False", "stochastic=True")
                )

    @property
    def needs_key(self) -> bool:
        """Whether it draws random numbers."""
        return self.stochastic

    def _permutation(self, scores: jax.Array) -> jax.Array:
        if not self.stochastic:
            return self._relax(scores)
        assert self.key is not None  # checked where the operator is called
        noise = jax.random.gumbel(self.key, (self.num_samples, *scores.shape), scores.dtype)
        return self._relax(scores[None] + noise).mean(axis=0)

    def _relax(self, scores: jax.Array) -> jax.Array:
        n = scores.shape[-1]
        # A shift changes nothing but the rounding: the two terms cancel worst far from zero.
        centred = scores - lax.stop_gradient(scores.mean(axis=-1, keepdims=True))
        spread = jnp.abs(centred[..., :, None] - centred[..., None, :]).mean(axis=-1)  # [..., n]
        factor = lax.broadcasted_iota(scores.dtype, (*scores.shape, n), scores.ndim - 1)
        factor = (2 * factor - (n - 1)) / n
        # Divided by n on both sides, so that large scores do not overflow.
        logits = factor * centred[..., None, :] - spread[..., None, :]  # [..., n, n]
        return base.softmax(logits, self.temperature / n)
