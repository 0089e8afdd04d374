# SPDX-License-Identifier: Apache-2.0
"""Scores in temperatures, where some are too far apart to have weight for one another.

Beside a padding of -1e9 or -inf, sums over all scores round the others away, although elements that
far apart do not interact. So clusters are moved together if every weight across their gap is zero.
The weights stay the same to the last bit, and no sum is larger than the scores that matter.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics import finite


def reach(dtype: jnp.dtype) -> float:
    """How many temperatures apart `exp(-distance)` is zero, subnormal numbers included."""
    return 1.0 - math.log(float(jnp.finfo(dtype).smallest_subnormal))


def anchors(
    ascending: jax.Array, temperature: jax.Array, count: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Gives each score a point of its cluster, and a place for that point.

    Args:
      ascending: Sorted scores `[..., n]`, finite.
      temperature: A scalar > 0.
      count: How many scores count, `[...]`; later ones are as large as the last.

    Returns:
      The points, scores of the same cluster, and their places in temperatures, both `[..., n]` and
      without a gradient. `(score - point) / temperature + place` ascends like the scores; within a
      cluster differences are those of the scores, and from one cluster to the next it is `reach`.
    """
    return _anchors(ascending, temperature, lambda x: x, count)


def in_temperatures(
    scores: jax.Array,
    ascending: jax.Array,
    position: jax.Array,
    temperature: jax.Array,
    count: jax.Array | None = None,
) -> jax.Array:
    """Scores `[..., n]` over the temperature, clusters moved together as `anchors` says.

    Args:
      scores: Finite, in any order.
      ascending: The same, sorted.
      position: Where each score is among those.
      temperature: A scalar > 0.
      count: As `anchors` takes it.
    """
    point, place = _anchors(ascending, temperature, lambda x: _take(x, position), count)
    return (scores - point) / temperature + place


def both_in_temperatures(
    scores: jax.Array, ascending: jax.Array, temperature: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The scores as `in_temperatures` has them, and the same sorted, where no order is known.

    It is found if there are several clusters.

    Args:
      scores: Finite `[..., n]`, in any order.
      ascending: The same, sorted.
      temperature: A scalar > 0.
    """
    ascending = lax.stop_gradient(ascending)
    n = ascending.shape[-1]

    def one() -> tuple[jax.Array, jax.Array]:
        point = ascending[..., n // 2 : n // 2 + 1]
        return (scores - point) / temperature, (ascending - point) / temperature

    def several() -> tuple[jax.Array, jax.Array]:
        order = jnp.argsort(lax.stop_gradient(scores), axis=-1)
        point, place = anchors(ascending, temperature)
        summit = (ascending - point) / temperature + place
        position = jnp.argsort(order, axis=-1)
        return (scores - _take(point, position)) / temperature + _take(place, position), summit

    return lax.cond(finite.any_of(_far(ascending, temperature)), several, one)


def _far(ascending: jax.Array, temperature: jax.Array) -> jax.Array:
    """Tells which neighbours `[..., n - 1]` are in different clusters."""
    return (ascending[..., 1:] - ascending[..., :-1]) > reach(ascending.dtype) * temperature


def _anchors(
    ascending: jax.Array,
    temperature: jax.Array,
    arrange: Callable[[jax.Array], jax.Array],
    count: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    ascending, temperature = lax.stop_gradient((ascending, jnp.asarray(temperature)))
    n = ascending.shape[-1]
    centre = jnp.full((*ascending.shape[:-1], 1), n // 2, jnp.int32)
    if count is not None:
        centre = count[..., None] // 2
    far = reach(ascending.dtype)
    new = _far(ascending, temperature)

    def one() -> tuple[jax.Array, jax.Array]:
        middle = jnp.broadcast_to(_take(ascending, centre), ascending.shape)
        return middle, jnp.zeros_like(ascending)

    def several() -> tuple[jax.Array, jax.Array]:
        axis = ascending.ndim - 1
        index = lax.broadcasted_iota(jnp.int32, ascending.shape, axis)
        edge = jnp.zeros_like(new[..., :1])
        first = lax.cummax(jnp.where(jnp.concatenate([edge, new], -1), index, 0), axis)
        last = jnp.where(jnp.concatenate([new, edge], -1), index, n - 1)
        last = lax.cummin(last, axis, reverse=True)
        # In a list of one cluster the point is the one that it has in `one`.
        point = _take(ascending, jnp.clip(centre, first, last))
        local = (ascending - point) / temperature
        step = jnp.where(new, local[..., :-1] - local[..., 1:] + far, 0.0)
        place = jnp.cumsum(jnp.concatenate([jnp.zeros_like(step[..., :1]), step], -1), axis)
        return arrange(point), arrange(place - _take(place, centre))

    return lax.cond(new.any(), several, one)


def _take(x: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take_along_axis(x, index, axis=-1, mode="promise_in_bounds")
