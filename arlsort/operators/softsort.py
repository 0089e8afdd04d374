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
from arlsort.numerics import finite, laplace_sums, prefixes, rowwise
from arlsort.operators import base, sampling

# From this length on values are sums over neighbours in the order, O(n), and need no weights. Rows
# of more than so many numbers, each a sum of its own, do from twice that length on.
_LONG, _NARROW = 128, 4

# Lists of at most so many temperatures need no exponential for each pair: rounding a score in
# temperatures costs a weight less than a millionth.
_NEAR = 16.0


@base.register
@dataclasses.dataclass(frozen=True)
class SoftSort(sampling.PlackettLuce):
    """A softmax over the distances to each sorted value.

    `P[i, :] = softmax_j(-|sort(x)[i] - x[j]| ** power / temperature)`, the paper's definition in
    ascending order. Rows sum to one, columns need not. The largest weight of row i is that of the
    input at position i, up to rounding, at any temperature. With `power=1` values and sorted rows
    of long lists take O(n log n) time and O(n) memory, without P: see
    `arlsort.numerics.laplace_sums`.

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

    def _mix(self, scores: jax.Array, items: jax.Array, count: jax.Array | None) -> jax.Array:
        n = scores.shape[-1]
        scores = _with_none_after(scores, count)
        ascending, order = exact_order.sort(scores)
        if self.power == 2 or n < (_LONG if items.shape[-1] <= _NARROW else 2 * _LONG):
            # Not `_rows`, whose sums along the order would be divided out again.
            return rowwise.mix(self._direct_rows(ascending, scores), items)
        rows = jnp.take_along_axis(items, order[..., None], axis=-2, mode="promise_in_bounds")
        # A power of two is exact; sums of so many of the largest items would overflow.
        shrink = 0.5 ** max(n.bit_length() - 16, 0)
        rows = jnp.concatenate([rows * shrink, jnp.ones_like(rows[..., :1])], axis=-1)
        temperature = jnp.asarray(self.temperature)
        sums = laplace_sums.sums(ascending, temperature, jnp.swapaxes(rows, -1, -2))
        return jnp.swapaxes(sums[..., :-1, :] / sums[..., -1:, :], -1, -2) / shrink

    def _top(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        if self.stochastic or count is not None:
            return super()._top(scores, k, count)
        # Neither the other scores in order nor sums along them: a few rows are soon summed.
        rows = self._direct_rows(lax.top_k(scores, k)[0], scores)
        return rowwise.matrix(rows, jnp.zeros(scores.shape[:-1], bool))

    def _rows_at(self, scores: jax.Array, at: jax.Array, count: jax.Array | None) -> rowwise.Rows:
        scores = _with_none_after(scores, count)
        heads = jnp.take_along_axis(exact_order.sort(scores)[0], at, axis=-1)
        return self._direct_rows(heads, scores)

    def _rows(self, scores: jax.Array, count: jax.Array | None = None) -> rowwise.Rows:
        scores = _with_none_after(scores, count)
        rows = self._direct_rows(exact_order.sort(scores)[0], scores)
        if self.power == 2 or scores.shape[-1] < _LONG:
            return rows
        # With the sums known, each row is gone through once only.
        ones = jnp.ones_like(scores)[..., None, :]
        sums = laplace_sums.sums(rows.heads[0], rows.shared[0], ones)[..., 0, :]
        return dataclasses.replace(rows, heads=(*rows.heads, jnp.log(sums)), summed=True)

    def _direct_rows(self, heads: jax.Array, scores: jax.Array) -> rowwise.Rows:
        level, whole = (functools.partial(form, self.power) for form in (_level, _whole))
        return rowwise.Rows(level, (heads,), (scores,), (jnp.asarray(self.temperature),), whole)


def _level(
    power: int, heads: rowwise.Arrays, columns: rowwise.Arrays, shared: rowwise.Arrays
) -> jax.Array:
    ascending, *sums = (head[..., :, None] for head in heads)
    # Each head is among the scores: its distance of zero is the row's least.
    apart = ascending - columns[0][..., None, :]
    distance = apart * rowwise.side(apart)
    level = rowwise.over(-(distance**power), shared[0])
    return level - sums[0] if sums else level


def _with_none_after(scores: jax.Array, count: jax.Array | None) -> jax.Array:
    """Moves the scores after the items so far away that they get no weight."""
    return scores if count is None else prefixes.keep(scores, count, prefixes.beyond(scores.dtype))


def _whole(
    power: int,
    heads: rowwise.Arrays,
    columns: rowwise.Arrays,
    shared: rowwise.Arrays,
    factor: jax.Array,
) -> jax.Array:
    """The weights, without a derivative: one pass, which writes them."""
    (ascending, *sums), (scores,), (temperature,) = heads, columns, shared
    if not sums:
        return rowwise.normalised(_direct(power, ascending, scores, temperature), factor)
    factor = jnp.exp(-sums[0]) * factor
    low, high = scores.min(axis=-1, keepdims=True), scores.max(axis=-1, keepdims=True)
    near = high - low <= _NEAR * temperature
    rows, places = ((x - (low + high) / 2) / temperature for x in (ascending, scores))
    ends = (factor * jnp.exp(rows), factor * jnp.exp(-rows), jnp.exp(places), jnp.exp(-places))
    # Made once for each row, and not again for each element.
    factor, up, down, above, below = lax.optimization_barrier((factor, *ends))

    def separable() -> jax.Array:
        # exp(-|a - b|) is the lesser of exp(a) exp(-b) and exp(b) exp(-a).
        return jnp.minimum(
            up[..., :, None] * below[..., None, :], down[..., :, None] * above[..., None, :]
        )

    def either() -> jax.Array:  # with each list as it is among near ones
        far = _direct(1, ascending, scores, temperature) * factor[..., :, None]
        return jnp.where(near[..., None], separable(), far)

    return lax.cond(finite.any_of(~near), either, separable)


def _direct(
    power: int, ascending: jax.Array, scores: jax.Array, temperature: jax.Array
) -> jax.Array:
    apart = jnp.abs(ascending[..., :, None] - scores[..., None, :])
    # Dividing each element takes as long as half of the exponential.
    return jnp.exp(-(apart**power) * (1.0 / temperature))
