# SPDX-License-Identifier: Apache-2.0
"""The likelihood that scores with Cauchy noise stand in their given order, by integration."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

_QUANTILES, _TAIL_POINTS = 16, 8
_FURTHEST = 1e5


@functools.cache
def _offsets(density: int) -> np.ndarray:
    """Points of the integration, relative to each score in units of its noise.

    At quantiles, and further out evenly in the logarithm.
    """
    count = _QUANTILES * density
    quantiles = np.tan(np.pi * ((np.arange(count) + 0.5) / count - 0.5))
    tail = np.geomspace(2 * quantiles[-1], _FURTHEST, _TAIL_POINTS * density)
    return np.concatenate([-tail[::-1], quantiles, tail])


def log_increments(
    a: jax.Array, w: jax.Array, inside: jax.Array | None = None, *, density: int = 1
) -> jax.Array:
    """The log-probability that each score is above the one before, given those before.

    The probability that the first k + 1 are in order and the last of them is below u is
    `f_k(u) = int_{v<u} p_k(v) f_{k-1}(v) dv`, with exact masses of p_k between the points of a
    grid, and f taken as linear there.

    Args:
      a: Scores `[..., n]` in the order, n >= 1.
      w: Scales of their noise, `[..., n]`.
      inside: Mask `[..., n]` of the items; other scores are zero, and skipped.
      density: 32 times as many points for each score.

    Returns:
      `[..., n]`, 0 for the first and for skipped ones. The sum is the log-probability of the order.
    """
    widest = w if inside is None else jnp.where(inside, w, 0.0)
    largest = jnp.max(jnp.abs(a), axis=-1, keepdims=True) + jnp.max(widest, axis=-1, keepdims=True)
    if inside is not None:
        largest = jnp.where(inside.any(axis=-1, keepdims=True), largest, 1.0)
    w = jnp.maximum(w, 1e-9 * jax.lax.stop_gradient(largest))
    offsets = jnp.asarray(_offsets(density), a.dtype).reshape((1,) * a.ndim + (-1,))
    points = a[..., None] + w[..., None] * offsets
    # Beyond the ends there is next to nothing: 1e-7 of the mass of the widest.
    end = 1e6 * largest
    if inside is not None:  # the grid of the shorter list, its last point several times
        points = jnp.where(inside[..., None], points, end[..., None])
    points = jnp.sort(points.reshape(*a.shape[:-1], -1), axis=-1)
    grid = jax.lax.stop_gradient(jnp.concatenate([-end, points, end], axis=-1))

    def place(before: jax.Array, key: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        """Takes f at the points of the grid, over its largest, and one more score."""
        z = (grid - key[0][..., None]) / key[1][..., None]
        mass = jnp.arctan2(z[..., 1:] - z[..., :-1], 1 + z[..., 1:] * z[..., :-1]) / jnp.pi
        passed = jnp.cumsum(mass * (before[..., 1:] + before[..., :-1]) / 2, axis=-1)
        most = jnp.maximum(passed[..., -1], jnp.finfo(a.dtype).tiny)
        below = jnp.concatenate([jnp.zeros_like(passed[..., :1]), passed], axis=-1)
        after, increment = below / most[..., None], jnp.log(most)
        for there in key[2:]:
            after = jnp.where(there[..., None], after, before)
            increment = jnp.where(there, increment, 0.0)
        return after, increment

    given = (a, w) if inside is None else (a, w, inside)
    steps = tuple(jnp.moveaxis(part, -1, 0) for part in given)
    return jnp.moveaxis(jax.lax.scan(place, jnp.ones_like(grid), steps)[1], 0, -1)
