# SPDX-License-Identifier: Apache-2.0
"""Scores as points to match with a sorted grid: code shared by transport operators."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import exact_order
from arlsort.numerics import prefixes


def check_solver(tolerance: ArrayLike, max_iterations: int) -> None:
    """Checks the hyperparameters of every operator that solves a transport problem."""
    checks.check_number("tolerance", tolerance, "a number in [0, 1)", 0.0, 1.0)
    checks.check_count("max_iterations", max_iterations)


# Logarithm of the weight of what is no item: zero in both dtypes, and finite.
_ABSENT = -1e30


def standardise(scores: jax.Array, count: jax.Array | None = None) -> jax.Array:
    """Takes scores `[..., n]` to mean zero and standard deviation one; equal scores to zero.

    With a count `[...]`, here and below, the first `count` elements of each list are its scores.
    The others are zero, before and after.
    """
    centred = in_own_unit(scores, count)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    if count is not None:
        variance = prefixes.mean(centred**2, count)
    spread = variance > 0
    return jnp.where(spread, centred / jnp.sqrt(jnp.where(spread, variance, 1.0)), centred)


def in_own_unit(scores: jax.Array, count: jax.Array | None = None) -> jax.Array:
    """Centres scores and takes them to [-1, 1], by a factor that has no gradient.

    Later steps undo any factor, so leaving out its gradient changes nothing. Squares, and those of
    gradients, then neither overflow nor vanish.
    """
    if count is None:
        centred = scores - scores.mean(axis=-1, keepdims=True)
    else:
        centred = prefixes.keep(scores - prefixes.mean(scores, count), count)
    unit = lax.stop_gradient(jnp.abs(centred).max(axis=-1, keepdims=True))
    return centred / jnp.where(unit > jnp.finfo(scores.dtype).tiny, unit, 1.0)


def excess_cost(points: jax.Array, count: jax.Array | None = None) -> jax.Array:
    """The cost of carrying a point to a place on the grid, beyond that of its own place.

    The squared distance less what only depends on the row or the column: `-2 y[i] z[j]` plus
    potentials a[i] and b[j] that make it zero where i is the position of j, and the same, `dy dz`,
    for both ways to exchange two neighbours. Entropy takes the potentials there as the temperature
    falls, and rounding is least there.

    Args:
      points: `[..., n]`, in [-1/2, 1/2] but for a factor.
      count: How many there are, `[...]`.

    Returns:
      `[..., n, n]`, non-negative but for rounding.
    """
    steps = jnp.maximum(prefixes.count_of(points, count) - 1, 1)[..., None].astype(points.dtype)
    grid = lax.broadcasted_iota(points.dtype, points.shape, points.ndim - 1) / steps - 0.5
    if count is None:
        ascending, order = exact_order.sort(points)
    else:
        order = exact_order.argsort(prefixes.keep(points, count, prefixes.beyond(points.dtype)))
        ascending = exact_order.at(points, order)
    # Trapezoids under the sorted points.
    area = jnp.cumsum((ascending[..., 1:] + ascending[..., :-1]) / steps, axis=-1)
    a = jnp.concatenate([jnp.zeros_like(area[..., :1]), area], axis=-1)
    b = 2 * grid * ascending - a
    b = exact_order.at(b, exact_order.inverse(order))
    # In this order of operations the zeros are exact.
    return a[..., :, None] - 2 * grid[..., :, None] * points[..., None, :] + b[..., None, :]


def apart(logits: jax.Array, count: jax.Array | None) -> jax.Array:
    """Splits logits `[..., n, n]` into two independent matchings: of the items, and of the rest.

    Elements after the items are matched with themselves, so each part is solved as if alone.
    """
    if count is None:
        return logits
    shape = logits.shape
    row, column = (lax.broadcasted_iota(jnp.int32, shape, len(shape) - i) for i in (2, 1))
    rest = jnp.where(row == column, 0.0, _ABSENT).astype(logits.dtype)
    return jnp.where(prefixes.square(count, shape), logits, rest)
