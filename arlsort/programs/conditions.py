# SPDX-License-Identifier: Apache-2.0
"""Relaxed conditions: weights in [0, 1] of comparisons, and how weights are joined."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from arlsort.networks.swaps import Swap
from arlsort.numerics import finite
from arlsort.programs import states

# Beyond this many temperatures every density is at its limit, and its square is still finite.
_SATURATION = 2.0**60


def numbers(*values: Any) -> list[jax.Array]:
    """Values as arrays of one float dtype, float32 at least; their own where they are wider."""
    arrays = [value for value in values if hasattr(value, "dtype")]
    dtype = states.work_dtype(arrays)
    return [jnp.asarray(value, dtype) for value in values]


def greater(swap: Swap, a: ArrayLike, b: ArrayLike) -> jax.Array:
    """`F((a - b) / temperature)`; an infinity counts as the largest score there is."""
    a, b = map(finite.clip, numbers(a, b))
    swap = comparator(swap, a.dtype)
    one = jnp.ones((), a.dtype)
    a, b = jnp.broadcast_arrays(a, b)
    return swap.rows(b, a, one, one, jnp.zeros_like(one))[0]


def equal(swap: Swap, a: ArrayLike, b: ArrayLike) -> jax.Array:
    """`f((a - b) / temperature) / f(0)`, with f the density of F."""
    a, b = map(finite.clip, numbers(a, b))
    swap = comparator(swap, a.dtype)
    a, b = jnp.broadcast_arrays(a, b)
    return _relative_density(swap, swap.argument(a, b, jnp.ones((), a.dtype)))


def same(swap: Swap, a: ArrayLike, b: ArrayLike) -> jax.Array:
    """Whether two distributions over classes are of one class, over the last axis."""
    distance = 1 - cosine(a, b)
    if swap.distribution.startswith("logistic"):
        u = distance / comparator(swap, distance.dtype).temperature
        return 2 * jnp.exp(-u) / (1 + jnp.exp(-2 * u))
    return equal(swap, distance, jnp.zeros_like(distance))


def cosine(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """The cosine of the angle between two vectors, over the last axis; 0 if one is 0."""
    a, b = numbers(a, b)
    return (_unit(a) * _unit(b)).sum(axis=-1)


def _unit(vector: jax.Array) -> jax.Array:
    vector = finite.clip(vector)
    vector = vector / jnp.maximum(
        jax.lax.stop_gradient(jnp.abs(vector).max(axis=-1, keepdims=True)),
        float(jnp.finfo(vector.dtype).tiny),
    )  # so that no square overflows
    square = (vector * vector).sum(axis=-1, keepdims=True)
    return vector / jnp.sqrt(jnp.where(square == 0, 1.0, square))


def in_dtype(temperature: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Clips a temperature to the range of a dtype; one that is not above zero becomes NaN."""
    known = finite.is_positive(temperature)
    return jnp.where(known, finite.temperature(temperature, dtype), jnp.nan)


def comparator(swap: Swap, dtype: jnp.dtype) -> Swap:
    """A soft comparator for scores of a dtype."""
    temperature = in_dtype(swap.temperature, dtype)
    return Swap(swap.distribution, False, temperature, jnp.asarray(swap.art_lambda, dtype))


def _relative_density(swap: Swap, v: jax.Array) -> jax.Array:
    """The density of F at v over its peak, 1 at zero."""
    size = jnp.minimum(jnp.abs(v), _SATURATION)
    if swap.distribution.startswith("logistic"):
        # 4 s (1 - s), each factor to its last digit.
        return 4 * jax.nn.sigmoid(size) * jax.nn.sigmoid(-size)
    return swap.density(size) / swap.density(jnp.zeros_like(size))


def and_(first: ArrayLike, *others: ArrayLike) -> jax.Array:
    """The weight that all conditions hold: the product of their weights.

    Example:
      >>> print(and_(0.5, 0.5))
      0.25
    """
    return functools.reduce(lambda p, q: p * q, _weights(first, *others))


def or_(first: ArrayLike, *others: ArrayLike) -> jax.Array:
    """The weight that one of the conditions holds: `p + q - p q`, joined from the left.

    Example:
      >>> print(or_(0.5, 0.5))
      0.75
    """
    return functools.reduce(lambda p, q: p + q - p * q, _weights(first, *others))


def not_(weight: ArrayLike) -> jax.Array:
    """The weight that a condition does not hold: `1 - p`.

    Example:
      >>> print(not_(0.25))
      0.75
    """
    return 1 - states.check_weight("condition", weight)


def _weights(*weights: ArrayLike) -> list[jax.Array]:
    return [states.check_weight("condition", weight) for weight in weights]
