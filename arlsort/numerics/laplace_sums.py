# SPDX-License-Identifier: Apache-2.0
"""Sums over sorted points that weigh each other by `exp(-|distance| / temperature)`, in O(n).

The kernel is separable: what lies below a point decays by one factor from each point to the next,
and so does what lies above it. Equal points are summed apart from both. So the derivative of their
distance is zero, as that of `abs`, and they share their weight in the gradient as well.
"""

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics import decaying, laplace


def sums(ascending: jax.Array, temperature: jax.Array, rows: jax.Array) -> jax.Array:
    """Computes `sum_l exp(-|s[i] - s[l]| / t) rows[l]` for each i.

    Args:
      ascending: Sorted points s, finite, `[..., n]`.
      temperature: A scalar t > 0.
      rows: What to sum, in the order of the points, `[..., d, n]`.

    Returns:
      Sums `[..., d, n]`, differentiable as often as you like in all three.
    """
    held = lax.stop_gradient(ascending)
    # Zero, with the derivative of the points: distances between points are otherwise constants.
    own = ((ascending - held) / temperature)[..., None, :]
    gap = laplace.distance(held[..., :-1], held[..., 1:], temperature)
    level = (held[..., 1:] == held[..., :-1]).astype(rows.dtype)
    keep, level = _both_ways(jnp.exp(-gap)[..., None, :]), _both_ways(level[..., None, :])
    up = jnp.exp(own)
    weighed = jnp.stack([rows * up, jnp.flip(rows / up, axis=-1)])
    # Of each point's equals, those before it and itself; without a derivative by the points.
    sources = jnp.concatenate([weighed, _both_ways(rows)], axis=-2)
    equals = decaying.sums(level, sources)
    passed, equal = jnp.split(equals, 2, axis=-2)
    entering = keep * (1.0 - level) * passed[..., :-1]
    pad = [(0, 0)] * (entering.ndim - 1) + [(1, 0)]
    apart = decaying.sums(keep, jnp.pad(entering, pad))
    below, above = apart[0] / up, jnp.flip(apart[1], axis=-1) * up
    return below + above + (equal[0] + (jnp.flip(equal[1], axis=-1) - rows))


def _both_ways(x: jax.Array) -> jax.Array:
    """Stacks an array on itself turned over: `[2, ..., n]`."""
    return jnp.stack([x, jnp.flip(x, axis=-1)])
