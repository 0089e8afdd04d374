# SPDX-License-Identifier: Apache-2.0
"""Lists of different lengths in one array, with the items of each first.

A mask may select any elements. `to_front` gives the place of each so that the items of a list come
first, in their order. The list is then described by its count, the number of its items. Results are
those of the shorter list: elements after the items have no weight.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


def to_front(mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Moves the items of each list to its front, and the others behind them, both in their order.

    Args:
      mask: Booleans `[..., n]`, true where there is an item.

    Returns:
      The place of each element `[..., n]`, and the number of items `[...]`, both int32.

    Example:
      >>> import jax.numpy as jnp
      >>> place, count = to_front(jnp.array([False, True, False, True]))
      >>> print(place, count)
      [2 0 3 1] 2
    """
    before = jnp.cumsum(mask, axis=-1, dtype=jnp.int32)
    count = mask.sum(axis=-1, dtype=jnp.int32)
    index = lax.broadcasted_iota(jnp.int32, mask.shape, mask.ndim - 1)
    return jnp.where(mask, before - 1, count[..., None] + index - before), count


def count_of(x: jax.Array, count: jax.Array | None) -> jax.Array:
    """Gives the number of items of each list `[..., n]`: n, if nothing else is known."""
    return jnp.full(x.shape[:-1], x.shape[-1], jnp.int32) if count is None else count


def within(count: jax.Array, shape: tuple[int, ...], axis: int = -1) -> jax.Array:
    """Tells which positions along an axis of an array are among the first `count[...]`."""
    axis %= len(shape)
    index = lax.broadcasted_iota(jnp.int32, shape, axis)
    return index < count.reshape(count.shape + (1,) * (len(shape) - count.ndim))


def square(count: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Tells which entries of matrices `[..., k, n]` are of an item, along both axes."""
    return within(count, shape, -2) & within(count, shape, -1)


def keep(x: jax.Array, count: jax.Array, fill: jax.typing.ArrayLike = 0.0) -> jax.Array:
    """Puts a number, or numbers `[..., 1]`, into the places after the items `[..., n]`."""
    return jnp.where(within(count, x.shape), x, fill)


def beyond(dtype: jnp.dtype) -> float:
    """A number so far above all scores that no temperature bridges the gap, with room above."""
    return float(jnp.finfo(dtype).max) / 8


def last(x: jax.Array, count: jax.Array) -> jax.Array:
    """Takes the last item of each list, `[..., 1]`; without items the first element."""
    index = jnp.maximum(count - 1, 0)[..., None]
    return jnp.take_along_axis(x, index, axis=-1, mode="promise_in_bounds")


def mean(x: jax.Array, count: jax.Array) -> jax.Array:
    """Takes the mean of the items, `[..., 1]`; 0 if there are none."""
    total = keep(x, count).sum(axis=-1, keepdims=True)
    return total / jnp.maximum(count, 1).astype(x.dtype)[..., None]


def largest(n: int, k: int, count: jax.Array) -> jax.Array:
    """Gives the positions of the k largest of each list, largest first, `[..., k]`.

    Where there are fewer items than k the last ones are 0; they are no positions.
    """
    shape = (*count.shape, k)
    index = lax.broadcasted_iota(jnp.int32, shape, len(shape) - 1)
    return jnp.clip(count[..., None] - 1 - index, 0, max(n - 1, 0))


def reverse(x: jax.Array, count: jax.Array, axis: int) -> jax.Array:
    """Reverses the first `count[...]` positions of an axis, and leaves the others."""
    axis %= x.ndim
    n = x.shape[axis]
    index = lax.broadcasted_iota(jnp.int32, (*count.shape, n), count.ndim)
    index = jnp.where(within(count, index.shape), count[..., None] - 1 - index, index)
    index = index.reshape(index.shape + (1,) * (x.ndim - index.ndim))
    return jnp.take_along_axis(x, index, axis=axis, mode="promise_in_bounds")


def by_length(
    function: Callable[..., jax.Array], count: jax.Array, *arrays: jax.Array, axes: int
) -> jax.Array:
    """Computes a function of whole lists for every length, and picks that of each list.

    It takes n + 1 programs and n / 2 times the work; an operator may know a cheaper way.

    Args:
      function: Takes arrays `[..., m, ...]` of lists of m elements; its result has the batch and
        `axes` axes of length m.
      count: The number of items of each list, `[...]`.
      *arrays: `[..., n, ...]`, with the items first.
      axes: How many axes of the result are along a list.

    Returns:
      The result at n, `[...]` and n for each of the axes; 0 beyond the items.
    """
    batch, n = count.ndim, arrays[0].shape[count.ndim]
    shape = (*count.shape, *(n,) * axes)
    found = jnp.zeros(shape, arrays[0].dtype)
    for length in range(n + 1):
        parts = (lax.slice_in_dim(array, 0, length, axis=batch) for array in arrays)
        part = function(*parts)
        part = jnp.pad(part, ((0, 0),) * batch + ((0, n - length),) * axes)
        chosen = (count == length).reshape(count.shape + (1,) * axes)
        found = jnp.where(chosen, part.astype(found.dtype), found)
    return found
