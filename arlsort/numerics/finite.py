# SPDX-License-Identifier: Apache-2.0
"""Makes numbers finite: clips scores and temperatures, and replaces NaN.

And the straight-through estimator, whose gradient is zero where its relaxation is not finite.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Headroom below the largest float, for sums over a row and for cotangents in the backward pass.
_HEADROOM_BITS = 16


def has_nan(x: jax.Array) -> jax.Array:
    """Tells which lists `[..., n]` contain a NaN, `[...]`."""
    return jnp.isnan(x).any(axis=-1)


def sanitise(x: jax.Array) -> jax.Array:
    """Makes scores finite; lists with NaN become ties, so that no NaN reaches any gradient."""
    return clip(jnp.where(has_nan(x)[..., None], 0.0, x))


def clip(x: jax.Array) -> jax.Array:
    """Puts scores into the dtype of the computation, clipped so that no sum overflows."""
    work = x.astype(work_dtype(x))
    limit = largest(work.dtype)
    return jnp.clip(work, -limit, limit)


def largest(dtype: jnp.dtype) -> float:
    """The bound M of scores, whose reciprocal is that of temperatures."""
    return float(jnp.finfo(dtype).max) / 2**_HEADROOM_BITS


def work_dtype(*arrays: jax.Array) -> jnp.dtype:
    """The dtype of the computation: the widest among those of the arrays and float32."""
    # Not `promote_types`, which refuses to mix dtypes under strict promotion.
    wide = any(array.dtype == jnp.float64 for array in arrays)
    return jnp.dtype(jnp.float64 if wide else jnp.float32)


def temperature(value: Any, dtype: jnp.dtype) -> jax.Array:
    """Clips a temperature >= 0 to [1 / M, M], M as for scores; any other becomes 1.

    The derivative is zero for temperatures whose square vanishes in the dtype.
    """
    allowed, limit = is_positive(value, or_zero=True), largest(dtype)
    if isinstance(value, (int, float)):
        value = jnp.asarray(min(max(value, 1 / limit), limit), dtype)
    value = jnp.asarray(value)
    wider = jnp.issubdtype(value.dtype, jnp.floating) and (
        jnp.finfo(value.dtype).bits > jnp.finfo(dtype).bits
    )
    if not wider:
        value = value.astype(dtype)
    value = jnp.clip(value, 1 / limit, limit).astype(dtype)
    coldest = 10 * float(jnp.finfo(dtype).tiny) ** 0.5
    value = jnp.where(value < coldest, lax.stop_gradient(value), value)
    return jnp.where(allowed, value, jnp.ones((), dtype))


def is_positive(value: Any, *, or_zero: bool = False) -> jax.Array:
    """Tells whether a number is above zero, subnormal ones included, which XLA may take for 0."""
    if isinstance(value, (int, float)):
        return jnp.asarray(value > 0 or (or_zero and value == 0))
    value = lax.stop_gradient(jnp.asarray(value))
    positive = value > 0
    if jnp.issubdtype(value.dtype, jnp.floating):
        bits = jnp.dtype(f"int{8 * value.dtype.itemsize}")
        positive = (lax.bitcast_convert_type(value, bits) > 0) & ~jnp.isnan(value)
    return positive | (value == 0) if or_zero else positive


@jax.custom_jvp
def within(x: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """Clips x to its range against rounding, without changing the derivative."""
    return jnp.clip(x, low, high)


@within.defjvp
def _within_jvp(primals, tangents):  # type: ignore[no-untyped-def]
    return within(*primals), tangents[0]


def straight_through(relaxed: jax.Array, exact: jax.Array) -> jax.Array:
    """The exact result `[...]` with the gradient of the relaxed one, of the same shape.

    The gradient is zero where the relaxed result is not finite. A program without a gradient leaves
    the relaxation out.
    """
    return _straight_through(relaxed, lax.stop_gradient(exact))


@jax.custom_jvp
def _straight_through(relaxed: jax.Array, exact: jax.Array) -> jax.Array:
    # Never the relaxed result, but mapped and sharded where either is, as its derivative is.
    return jnp.where(False, relaxed.astype(exact.dtype), exact)


@_straight_through.defjvp
def _straight_through_jvp(primals, tangents):  # type: ignore[no-untyped-def]
    relaxed, exact = primals
    tangent = jnp.where(jnp.isfinite(relaxed), tangents[0], 0.0)
    return _straight_through(relaxed, exact), tangent.astype(exact.dtype)


def positions(x: jax.Array, n: int, dtype: jnp.dtype) -> jax.Array:
    """Rounds soft positions in a list of n to a dtype, within [0, n - 1]."""
    end = max(n - 1, 0)
    with np.errstate(over="ignore"):
        last = np.asarray(end).astype(dtype)
    if float(last) > end:
        # The nearest number is above: one bit less then, which also leads back from infinity.
        bits = np.dtype(f"int{8 * last.dtype.itemsize}")
        last = (last.view(bits) - 1).astype(bits).view(dtype)
    low, high = jnp.zeros((), x.dtype), jnp.asarray(float(last), x.dtype)
    return within(x, low, high).astype(dtype)


def mix(apply: Callable[[jax.Array], jax.Array], rows: jax.Array) -> jax.Array:
    """Mixes rows `[..., n, d]`, finite or not; rows without weight change nothing.

    Args:
      apply: Multiplies rows `[..., n, any]` by weights.
      rows: Infinities and NaN spread to wherever their row has weight.
    """
    known = lax.stop_gradient(rows)
    mixed = apply(jnp.where(jnp.isfinite(rows), rows, 0.0))

    def beyond() -> jax.Array:
        kinds = (known == jnp.inf, known == -jnp.inf, jnp.isnan(known))
        weights = apply(jnp.concatenate([kind.astype(rows.dtype) for kind in kinds], axis=-1))
        up, down, unknown = jnp.split(lax.stop_gradient(weights), 3, axis=-1)
        infinite = jnp.where(up > 0, jnp.inf, 0.0) - jnp.where(down > 0, jnp.inf, 0.0)
        return jnp.where(unknown > 0, jnp.nan, infinite).astype(mixed.dtype)

    infinite = lax.cond(any_of(~jnp.isfinite(known)), beyond, lambda: jnp.zeros_like(mixed))
    return jnp.where(infinite == 0, mixed, infinite)


@jax.custom_batching.custom_vmap
def any_of(flags: jax.Array) -> jax.Array:
    """Tells whether any flag is set, also of all lists that are mapped over: one answer."""
    return flags.any()


@any_of.def_vmap
def _any_of_batch(size: int, batched: list[bool], flags: jax.Array) -> tuple[jax.Array, bool]:
    # One answer for the batch: a condition that depends on the list would compute both branches.
    return any_of(flags), False
