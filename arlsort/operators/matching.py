# SPDX-License-Identifier: Apache-2.0
"""Scores as points to be matched with a sorted grid: what the operators that do it share."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import exact_order


def check_solver(tolerance: ArrayLike, max_iterations: int) -> None:
    """Checks what every operator that solves a transport problem has."""
    checks.check_number("tolerance", tolerance, "a number in [0, 1)", 0.0, 1.0)
    checks.check_count("max_iterations", max_iterations)


def standardise(scores: jax.Array) -> jax.Array:
    """Takes scores `[..., n]` to mean zero and standard deviation one; equal scores to zero."""
    centred = in_own_unit(scores)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    spread = variance > 0
    return jnp.where(spread, centred / jnp.sqrt(jnp.where(spread, variance, 1.0)), centred)


def in_own_unit(scores: jax.Array) -> jax.Array:
    """Centres scores and takes them to [-1, 1], by a factor that has no gradient.

    What follows undoes any factor, so leaving out its gradient changes nothing; and squares neither
    overflow nor vanish, nor do those of their gradients.
    """
    centred = scores - scores.mean(axis=-1, keepdims=True)
    unit = lax.stop_gradient(jnp.abs(centred).max(axis=-1, keepdims=True))
    return centred / jnp.where(unit > jnp.finfo(scores.dtype).tiny, unit, 1.0)


def excess_cost(points: jax.Array) -> jax.Array:
    """What it costs to carry a point to a place on the grid, beyond where it belongs.

    The squared distance less what only depends on the row or the column: `-2 y[i] z[j]` plus
    potentials a[i] and b[j] that make it zero where i is the position of j, and the same, `dy dz`,
    for both ways to exchange two neighbours. That is where entropy takes the potentials as the
    temperature falls, and where rounding is least.

    Args:
      points: `[..., n]`, in [-1/2, 1/2].

    Returns:
      `[..., n, n]`, non-negative but for rounding.
    """
    n = points.shape[-1]
    grid = lax.broadcasted_iota(points.dtype, points.shape, points.ndim - 1) / (n - 1) - 0.5
    ascending, order = exact_order.sort(points)
    # Trapezoids under the sorted points.
    area = jnp.cumsum((ascending[..., 1:] + ascending[..., :-1]) / (n - 1), axis=-1)
    a = jnp.concatenate([jnp.zeros_like(area[..., :1]), area], axis=-1)
    b = 2 * grid * ascending - a
    b = exact_order.at(b, exact_order.inverse(order))
    # In this order of operations the zeros are exact.
    return a[..., :, None] - 2 * grid[..., :, None] * points[..., None, :] + b[..., None, :]
