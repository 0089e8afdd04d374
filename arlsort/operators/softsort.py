# SPDX-License-Identifier: Apache-2.0
"""SoftSort: a softmax around each sorted value, deterministic or stochastic."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import exact_order
from arlsort.numerics import finite, prefixes, rowwise
from arlsort.operators import base, sampling

# Lists of at most so many temperatures need no exponential for each pair: rounding a score in
# temperatures costs a weight less than a millionth.
_NEAR = 16.0


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

        power = self.power

        def weigh(
            heads: rowwise.Arrays, columns: rowwise.Arrays, shared: rowwise.Arrays
        ) -> jax.Array:
            # Each head is among the scores: its distance of zero is the row's least.
            apart = rowwise.spread(heads[0], columns[0].shape[-1]) - columns[0][..., None, :]
            # As `abs`, but that equal scores draw each other neither way.
            distance = apart * lax.sign(lax.stop_gradient(apart))
            return rowwise.exp(-(distance**power), shared[0])

        whole = functools.partial(_whole, power)
        heads, shared = (exact_order.sort(scores)[0],), (jnp.asarray(self.temperature),)
        return rowwise.Rows(weigh, heads, (scores,), shared, whole)


def _whole(
    power: int,
    heads: rowwise.Arrays,
    columns: rowwise.Arrays,
    shared: rowwise.Arrays,
    factor: jax.Array,
) -> jax.Array:
    """The weights, without a derivative: one kernel, which writes them."""
    (ascending,), (scores,), (temperature,) = heads, columns, shared

    def direct() -> jax.Array:
        apart = jnp.abs(ascending[..., :, None] - scores[..., None, :])
        return rowwise.normalised(jnp.exp(-(apart**power) / temperature), factor)

    if power == 2:
        return direct()

    def separable() -> jax.Array:
        # exp(-|a - b|) is the lesser of exp(a) exp(-b) and exp(b) exp(-a): O(n) exponentials.
        centre = ((low + high) / 2)[..., None]
        rows, places = ((x - centre) / temperature for x in (ascending, scores))
        up = jnp.exp(rows)[..., :, None] * jnp.exp(-places)[..., None, :]
        down = jnp.exp(-rows)[..., :, None] * jnp.exp(places)[..., None, :]
        return rowwise.normalised(jnp.minimum(up, down), factor)

    low, high = scores.min(axis=-1), scores.max(axis=-1)
    return lax.cond(finite.any_of(high - low > _NEAR * temperature), direct, separable)
