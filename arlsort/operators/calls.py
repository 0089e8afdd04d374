# SPDX-License-Identifier: Apache-2.0
"""One call of an operator: compiled once for each shape.

It makes the scores finite, computes in the operator's dtype, and finishes the result: descending
order, the exact value of the straight-through estimator, and NaN where there is no result.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.networks import exact_order
from arlsort.numerics import finite, meshes
from arlsort.operators import hyperparameters
from arlsort.soft_permutation import from_order


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Relaxation:
    """The result of an operator; `values, permutation = operator(x)` unpacks the first two.

    Attributes:
      values: The softly sorted scores, ascending, `[..., n]`.
      permutation: `[..., n, n]`; the weight of input `j` at ascending position `i`.
      converged: Booleans `[...]`: whether the weights meet the method's definition within its
        tolerance. Always true for a closed form; false if an iteration met its limit first.
    """

    values: jax.Array
    permutation: jax.Array
    converged: jax.Array

    def __iter__(self) -> Iterator[jax.Array]:
        return iter((self.values, self.permutation))


_compiled = functools.partial(meshes.jit_over_lists, static=("descending",))


@_compiled
def relax(operator: Any, x: jax.Array, descending: bool) -> Relaxation:
    call = Call.of(operator, x, descending)
    if x.shape[-1] < 2:
        weights, converged = call.weights(), jnp.ones(x.shape[:-1], bool)
        values = call.scores
    else:
        weights, converged = call.operator._solve(call.scores)
        values = call.operator._values(call.scores, weights)
    return Relaxation(call.finish_values(values), call.finish_weights(weights), converged)


@_compiled
def permutation(operator: Any, x: jax.Array, descending: bool) -> jax.Array:
    call = Call.of(operator, x, descending)
    if operator.exact_forward or x.shape[-1] < 2:
        return call.finish_weights(call.weights())
    weights = call.operator._permutation_with_nan(call.scores, call.unknown).astype(x.dtype)
    return call.turned(weights, -2)


@_compiled
def sort(operator: Any, x: jax.Array, descending: bool) -> jax.Array:
    call = Call.of(operator, x, descending)
    return call.finish_values(call.scores if x.shape[-1] < 2 else call.operator._sort(call.scores))


@_compiled
def rank(operator: Any, x: jax.Array, descending: bool) -> jax.Array:
    call = Call.of(operator, x, descending)
    n = x.shape[-1]
    ranks = jnp.zeros_like(call.scores) if n < 2 else call.operator._rank(call.scores)
    ranks = call.in_place(n - 1 - ranks if descending else ranks)
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
    descending: bool,
    indices: bool = False,
) -> jax.Array:
    """Sorts rows; with `indices` they are known to be finite numbers, 0 to n - 1."""
    dtype = finite.work_dtype(keys, rows)
    call = Call.of(operator, keys, descending, dtype)
    work = call.in_place(rows, -2).astype(dtype)
    if keys.shape[-1] < 2:
        relaxed = work
    elif indices:
        relaxed = call.operator._apply(call.scores, work)
    else:
        relaxed = finite.mix(functools.partial(call.operator._apply, call.scores), work)
    exact = None
    if operator.exact_forward:
        exact = jnp.take_along_axis(rows, call.order()[..., None], axis=-2)
    result = straight_through(call.turned(relaxed, -2), exact, rows.dtype)
    return jnp.where(call.unknown[..., None, None], jnp.nan, result)


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of an operator: its inputs, and how its results are finished.

    Attributes:
      operator: The operator, in the dtype of the computation.
      x: What was given.
      scores: The same, finite, and in reverse if `reversed`.
      unknown: Lists without a result, `[...]`: those with NaN, or all if a temperature is not
        valid.
      descending: Whether results are turned over.
      reversed: Whether the list is, so that its ties are in their order when results are turned.
    """

    operator: Any
    x: jax.Array
    scores: jax.Array
    unknown: jax.Array
    descending: bool
    reversed: bool

    @classmethod
    def of(
        cls, operator: Any, x: jax.Array, descending: bool, dtype: jnp.dtype | None = None
    ) -> "Call":
        scores = finite.sanitise(x)
        scores = scores if dtype is None else scores.astype(dtype)
        unknown = finite.has_nan(x) | ~hyperparameters.valid(operator)
        reverse = descending and operator.keeps_ties
        scores = jnp.flip(scores, axis=-1) if reverse else scores
        operator = hyperparameters.in_dtype(operator, scores.dtype)
        return cls(operator, x, scores, unknown, descending, reverse)

    def weights(self) -> jax.Array:
        n = self.scores.shape[-1]
        if n < 2:
            return jnp.ones((*self.scores.shape, n), self.scores.dtype)
        return self.operator._permutation(self.scores)

    def order(self) -> jax.Array:
        """The exact order of the list."""
        return order(self.x, self.unknown, self.descending)

    def turned(self, result: jax.Array, axis: int) -> jax.Array:
        """Reverses positions along an axis if the largest comes first."""
        return jnp.flip(result, axis=axis) if self.descending else result

    def in_place(self, result: jax.Array, axis: int = -1) -> jax.Array:
        """Reverses an axis of inputs if the list is reversed."""
        return jnp.flip(result, axis=axis) if self.reversed else result

    def finish_values(self, values: jax.Array) -> jax.Array:
        exact = None
        if self.operator.exact_forward:
            # Held first: the order that a derivative would need is not looked for.
            exact = self.turned(exact_order.values(lax.stop_gradient(self.x)), -1)
        result = straight_through(self.turned(values, -1), exact, self.x.dtype)
        return jnp.where(self.unknown[..., None], jnp.nan, result)

    def finish_weights(self, weights: jax.Array) -> jax.Array:
        exact = None
        if self.operator.exact_forward:
            exact = from_order(self.order(), self.x.dtype)
        weights = self.turned(self.in_place(weights), -2)
        result = straight_through(weights, exact, self.x.dtype)
        return jnp.where(self.unknown[..., None, None], jnp.nan, result)


def order(x: jax.Array, unknown: jax.Array, descending: bool) -> jax.Array:
    """The exact order of scores, as `jnp.argsort` gives it; of lists without a result, any."""
    x = jnp.where(unknown[..., None], 0, x)
    return exact_order.argsort(-x if descending else x)


def straight_through(relaxed: jax.Array, exact: jax.Array | None, dtype: jnp.dtype) -> jax.Array:
    """Takes a result to the caller's dtype; the exact one, if given, with the relaxed gradient."""
    return relaxed.astype(dtype) if exact is None else finite.straight_through(relaxed, exact)
