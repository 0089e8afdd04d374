# SPDX-License-Identifier: Apache-2.0
"""One call with a mask: the counterpart of `calls` for lists of any length.

It moves the items of each list to its front, computes the result of the shorter list, and moves it
back. Masked values have no effect and no gradient. The mask is an array: a new one compiles
nothing.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from arlsort.networks import exact_order
from arlsort.numerics import finite, meshes, prefixes
from arlsort.operators.calls import Call, order, straight_through

_compiled = functools.partial(meshes.jit_over_lists, static=("descending",))


@_compiled
def permutation(operator: Any, x: jax.Array, where: jax.Array, descending: bool) -> jax.Array:
    call = MaskedCall.of(operator, x, where, descending)
    if x.shape[-1] < 2:
        weights = jnp.ones((*x.shape, x.shape[-1]), call.scores.dtype)
    else:
        weights = call.operator._masked_permutation(call.scores, call.count)
    weights = jnp.where(prefixes.square(call.count, weights.shape), weights, 0.0)
    weights = call.columns(call.turned(weights, -2))
    exact = None
    if operator.exact_forward:
        exact = call.exact_weights(x.shape[-1])
    weights = straight_through(weights, exact, x.dtype)
    return jnp.where(call.unknown[..., None, None], jnp.nan, weights)


@_compiled
def sort(operator: Any, x: jax.Array, where: jax.Array, descending: bool) -> jax.Array:
    call = MaskedCall.of(operator, x, where, descending)
    values = call.scores
    if x.shape[-1] > 1:
        values = call.operator._masked_sort(values, call.count)
    values = call.turned(prefixes.keep(values, call.count), -1)
    exact = None
    if operator.exact_forward:
        exact = prefixes.keep(jnp.take_along_axis(call.x, call.order(), axis=-1), call.count)
    values = straight_through(values, exact, x.dtype)
    return jnp.where(call.unknown[..., None], jnp.nan, values)


@_compiled
def rank(operator: Any, x: jax.Array, where: jax.Array, descending: bool) -> jax.Array:
    call = MaskedCall.of(operator, x, where, descending)
    n = x.shape[-1]
    ranks = jnp.zeros_like(call.scores)
    if n > 1:
        ranks = call.operator._masked_rank(call.scores, call.count)
    if descending:
        ranks = (call.count[..., None] - 1).astype(ranks.dtype) - ranks
    behind = prefixes.to_front(where)[0].astype(ranks.dtype)
    ranks = jnp.where(where, call.in_place(ranks), behind)
    exact = None
    if operator.exact_forward:
        exact = exact_order.inverse(call.order()).astype(ranks.dtype)
    ranks = straight_through(ranks, exact, ranks.dtype)
    return jnp.where(call.unknown[..., None], jnp.nan, finite.positions(ranks, n, x.dtype))


@functools.partial(meshes.jit_over_lists, static=("descending", "indices"))
def sort_by(
    operator: Any,
    keys: jax.Array,
    rows: jax.Array,
    where: jax.Array,
    descending: bool,
    indices: bool = False,
) -> jax.Array:
    """Sorts rows; with `indices` they are known to be finite numbers, 0 to n - 1."""
    rows = jnp.where(where[..., None], rows, 0)
    call = MaskedCall.of(operator, keys, where, descending, finite.work_dtype(keys, rows))
    work = call.to_front(rows, -2).astype(call.scores.dtype)
    apply = functools.partial(call.operator._masked_apply, call.scores, call.count)
    if keys.shape[-1] < 2:
        relaxed = work
    else:
        relaxed = apply(work) if indices else finite.mix(apply, work)
    relaxed = jnp.where(prefixes.within(call.count, relaxed.shape, -2), relaxed, 0.0)
    exact = None
    if operator.exact_forward:
        exact = jnp.take_along_axis(rows, call.order()[..., None], axis=-2)
        exact = jnp.where(prefixes.within(call.count, exact.shape, -2), exact, 0)
    result = straight_through(call.turned(relaxed, -2), exact, rows.dtype)
    return jnp.where(call.unknown[..., None, None], jnp.nan, result)


@dataclasses.dataclass(frozen=True)
class MaskedCall:
    """One call of an operator with a mask.

    Attributes:
      operator: The operator, in the dtype of the computation.
      x: The argument, zero where it is masked.
      where: The mask `[..., n]`.
      scores: The items, finite, in front, and zeros after them.
      count: How many items there are, `[...]`.
      place: Where each element went `[..., n]`, of the list that the operator sees.
      unknown: Lists without a result, `[...]`.
      descending: Whether results are turned over.
      reversed: Whether the list that the operator sees is.
    """

    operator: Any
    x: jax.Array
    where: jax.Array
    scores: jax.Array
    count: jax.Array
    place: jax.Array
    unknown: jax.Array
    descending: bool
    reversed: bool

    @classmethod
    def of(
        cls,
        operator: Any,
        x: jax.Array,
        where: jax.Array,
        descending: bool,
        dtype: jnp.dtype | None = None,
    ) -> "MaskedCall":
        x = jnp.where(where, x, 0)
        call = Call.of(operator, x, descending, dtype)
        seen = call.in_place(where)
        place, count = prefixes.to_front(seen)
        scores = _take(call.scores, exact_order.inverse(place), -1)
        return cls(
            call.operator,
            x,
            where,
            scores,
            count,
            place,
            call.unknown,
            descending,
            call.reversed,
        )

    def to_front(self, x: jax.Array, axis: int) -> jax.Array:
        """Moves an axis of inputs to the order in which the operator sees them."""
        seen = jnp.flip(x, axis=axis) if self.reversed else x
        return _take(seen, exact_order.inverse(self.place), axis)

    def in_place(self, result: jax.Array) -> jax.Array:
        """Moves numbers `[..., n]` from the operator's order to the places of the inputs."""
        result = _take(result, self.place, -1)
        return jnp.flip(result, axis=-1) if self.reversed else result

    def columns(self, weights: jax.Array) -> jax.Array:
        """Moves the columns of weights `[..., k, n]` to the places of the inputs."""
        index = jnp.broadcast_to(self.place[..., None, :], weights.shape)
        weights = jnp.take_along_axis(weights, index, axis=-1, mode="promise_in_bounds")
        return jnp.flip(weights, axis=-1) if self.reversed else weights

    def turned(self, result: jax.Array, axis: int) -> jax.Array:
        """Reverses the positions of items along an axis if the largest comes first."""
        return prefixes.reverse(result, self.count, axis) if self.descending else result

    def order(self) -> jax.Array:
        """The exact order of the items; after it, the other places."""
        of_all = order(self.x, self.unknown, self.descending)
        place, _ = prefixes.to_front(_take(self.where, of_all, -1))
        return _take(of_all, exact_order.inverse(place), -1)

    def exact_weights(self, k: int) -> jax.Array:
        """The first k rows of the exact permutation."""
        order = self.order()[..., :k]
        weights = jax.nn.one_hot(order, self.x.shape[-1], dtype=self.x.dtype)
        return jnp.where(prefixes.within(self.count, weights.shape, -2), weights, 0)


def _take(x: jax.Array, index: jax.Array, axis: int) -> jax.Array:
    index = index if axis == -1 else index[..., None]
    return jnp.take_along_axis(x, index, axis=axis, mode="promise_in_bounds")
