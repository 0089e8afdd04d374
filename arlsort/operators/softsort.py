# SPDX-License-Identifier: Apache-2.0
"""SoftSort: a softmax around each sorted value, deterministic or stochastic."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import exact_order
from arlsort.numerics import prefixes, rowwise
from arlsort.operators import base, sampling


@base.register
@dataclasses.dataclass(frozen=True)
class SoftSort(sampling.PlackettLuce):
    """A softmax over the distances to each sorted value.

    `P[i, :] = softmax_j(-|sort(x)[i] - x[j]| ** power / temperature)`, the paper's definition in
    ascending order. Rows sum to one, columns need not. The largest weight of row i is always that
    of the input at position i, at any temperature.

    With `stochastic=True` it is the mean over orders drawn from a Plackett-Luce distribution whose
    log-weights are the scores (`sampling.PlackettLuce`).

    Attributes:
      temperature: The paper's τ, in the unit of the scores to the given power; > 0.
      power: 1 or 2, the paper's p.
      stochastic, num_samples, key: As in `sampling.PlackettLuce`.

    Raises:
      ValueError: If a hyperparameter is out of range, if `key` or `num_samples` is given without
        `stochastic`, or (when called) if `stochastic` has no key.

    Example:
      >>> import jax.numpy as jnp
      >>> print(SoftSort(temperature=0.1).sort(jnp.array([3.0, 1.0, 2.0])).round(1))
      [1. 2. 3.]

    References:
      Prillo and Eisenschlos, SoftSort: A Continuous Relaxation for the argsort Operator,
      ICML 2020.
    """

    temperature: ArrayLike = 1.0
    power: int = dataclasses.field(default=1, metadata=base.STATIC)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_positive("temperature", self.temperature)
        checks.check_choice("power", self.power, (1, 2))

    def _rows(self, scores: jax.Array, count: jax.Array | None = None) -> rowwise.Rows:
        if count is not None:
            scores = prefixes.keep(scores, count, prefixes.beyond(scores.dtype))

        def weigh(heads: tuple[jax.Array, ...], scores: jax.Array) -> jax.Array:
            # Each head is among the scores: its distance of zero is the row's least.
            distance = jnp.abs(rowwise.spread(heads[0], scores.shape[-1]) - scores[..., None, :])
            return rowwise.normalised_exp(-(distance**self.power), self.temperature)

        return rowwise.Rows(weigh, (exact_order.sort(scores)[0],), (scores,))
