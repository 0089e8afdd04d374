# SPDX-License-Identifier: Apache-2.0
"""One call for the k largest, their rows or one number for each score, or for some values."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from arlsort.networks import exact_order
from arlsort.numerics import finite, meshes, prefixes
from arlsort.operators.calls import Call, straight_through
from arlsort.operators.masked import MaskedCall

_compiled = functools.partial(meshes.jit_over_lists, static=("k",))


@_compiled
def top_k(
    operator: Any, x: jax.Array, where: jax.Array | None, k: int
) -> tuple[jax.Array, jax.Array]:
    n = x.shape[-1]
    call, count = _call(operator, x, where)
    scores = call.scores
    if n < 2 or k == 0:
        weights = jnp.ones((*x.shape[:-1], k, n), scores.dtype)
        values = scores[..., :k]
    else:
        weights = call.operator._top(scores, k, count)
        values = call.operator._top_values(scores, weights, count)
    if isinstance(call, Call):
        weights = call.in_place(weights)
    else:
        assert count is not None
        inside = prefixes.within(count, weights.shape, -2)
        inside &= prefixes.within(count[..., None], weights.shape, -1)
        weights = call.columns(jnp.where(inside, weights, 0.0))
        values = prefixes.keep(values, count)
    exact_values, exact_weights = None, None
    if operator.exact_forward:
        exact_values, exact_weights = _exact(call, k)
    values = straight_through(values, exact_values, x.dtype)
    weights = straight_through(weights, exact_weights, x.dtype)
    unknown = call.unknown[..., None]
    return (
        jnp.where(unknown, jnp.nan, values),
        jnp.where(unknown[..., None], jnp.nan, weights),
    )


def values_at(operator: Any, x: jax.Array, where: jax.Array | None, at: jax.Array) -> jax.Array:
    """The soft values at ascending positions `at[..., q]` of the items, as `sort` has them."""
    call, count = _call(operator, x, where, descending=False)
    values = call.operator._values_at(call.scores, at, count)
    return jnp.where(call.unknown[..., None], jnp.nan, values.astype(x.dtype))


@_compiled
def top_k_mask(operator: Any, x: jax.Array, where: jax.Array | None, k: int) -> jax.Array:
    n = x.shape[-1]
    call, count = _call(operator, x, where)
    if k in (0, n):
        mask = jnp.full_like(call.scores, k > 0)
    else:
        mask = call.operator._mask(call.scores, k, count)
        mask = finite.within(mask, jnp.zeros_like(mask), jnp.ones_like(mask))
    if count is not None:
        # With no more items than k, all of them.
        mask = jnp.where((count <= k)[..., None], float(k > 0), mask)
        mask = prefixes.keep(mask, count)
    mask = call.in_place(mask)
    exact = None
    if operator.exact_forward:
        most = jnp.full(x.shape[:-1], k) if count is None else jnp.minimum(count, k)
        exact = (exact_order.inverse(call.order()) < most[..., None]).astype(x.dtype)
    mask = straight_through(mask, exact, x.dtype)
    return jnp.where(call.unknown[..., None], jnp.nan, mask)


def _call(
    operator: Any, x: jax.Array, where: jax.Array | None, descending: bool = True
) -> tuple[Call | MaskedCall, jax.Array | None]:
    if where is None:
        return Call.of(operator, x, descending), None
    call = MaskedCall.of(operator, x, where, descending)
    return call, call.count


def _exact(call: Call | MaskedCall, k: int) -> tuple[jax.Array, jax.Array]:
    """The exact k largest and their one-hot weights, ties in the order of `lax.top_k`."""
    order = call.order()[..., :k]
    values = jnp.take_along_axis(call.x, order, axis=-1)
    if isinstance(call, MaskedCall):
        return prefixes.keep(values, call.count), call.exact_weights(k)
    return values, jax.nn.one_hot(order, call.x.shape[-1], dtype=call.x.dtype)
