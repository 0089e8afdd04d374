# SPDX-License-Identifier: Apache-2.0
"""The exact order of many lists at once.

XLA's sort takes each list on its own, compares two scores at a time, and calls a function for it.
On a CPU that costs more than the rest of a cheap relaxation. A sorting network costs more
comparisons, but takes a layer of all lists in one loop that is vectorised; and of short lists each
score may as well be compared with every other.
"""

import math

import jax
import jax.numpy as jnp
from jax import export, lax

from arlsort.networks import engine

# At least so many lists, of at most this length, are sorted by a network.
_LISTS, _LONGEST = 16, 1024
# Shorter lists than this are sorted, and picked from, by comparing all with all.
_SHORT = 16


def argsort(x: jax.Array) -> jax.Array:
    """Computes the ascending order of scores `[..., n]` without NaN.

    Args:
      x: Scores; equal ones keep their order.

    Returns:
      Indices `[..., n]`, without a gradient.

    Example:
      >>> import jax.numpy as jnp
      >>> print(argsort(jnp.array([3.0, 1.0, 2.0])))
      [1 2 0]
    """
    x = lax.stop_gradient(x)
    lists, n = math.prod(x.shape[:-1]), x.shape[-1]
    if n < _SHORT:
        return inverse(_positions(x))
    if jax.default_backend() != "cpu":
        return jnp.argsort(x, axis=-1)
    if x.dtype.itemsize < 4:
        x = x.astype(jnp.float32)  # bfloat16 has no room for an index beside the score
    if export.is_symbolic_dim(lists) or lists < _LISTS or n > _LONGEST:
        # The two zeros are equal, and all that a CPU counts as zero.
        keys = _keys(jnp.where(x == 0, 0.0, x))
        return lax.sort((keys, _iota(x)), dimension=x.ndim - 1, num_keys=1)[1]
    scores = x.reshape(lists, n).T
    index = lax.broadcasted_iota(x.dtype, scores.shape, 0)
    pairs = jnp.stack([scores, index], axis=1)  # [n, 2, lists]
    (pairs,) = engine.run(_Exact(), "odd_even_merge", (pairs,))
    return pairs[:, 1].T.reshape(x.shape).astype(jnp.int32)


def sort(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sorts scores `[..., n]` without NaN: ascending, with a gradient, and their order as well."""
    order = argsort(x)
    return at(x, order), order


@jax.custom_jvp
def values(x: jax.Array) -> jax.Array:
    """Sorts scores `[..., n]` without NaN; their order is found for the gradient alone.

    Among themselves, subnormal numbers are in order without a gradient, and ties with one.
    """
    if jax.default_backend() != "cpu":
        return jnp.sort(x, axis=-1)
    keys = lax.sort(_keys(x), dimension=x.ndim - 1, is_stable=False)
    return lax.bitcast_convert_type(_turned(keys), x.dtype)


@values.defjvp
def _values_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    order = argsort(primals[0])
    return at(primals[0], order), at(tangents[0], order)


def at(x: jax.Array, index: jax.Array) -> jax.Array:
    """Takes the scores `[..., n]` at indices `[..., n]` of each list."""
    if x.shape[-1] >= _SHORT:
        return jnp.take_along_axis(x, index, axis=-1, mode="promise_in_bounds")
    chosen = _iota(x)[..., :, None] == index[..., None, :]
    return jnp.where(chosen, x[..., :, None], 0).sum(axis=-2)


def inverse(order: jax.Array) -> jax.Array:
    """Turns the input at each position `[..., n]` into the position of each input."""
    if order.shape[-1] < _SHORT:
        index = _iota(order)
        return jnp.where(order[..., :, None] == index[..., None, :], index[..., :, None], 0).sum(
            axis=-2, dtype=order.dtype
        )
    flat = order.reshape(-1, order.shape[-1])
    rows = lax.broadcasted_iota(order.dtype, flat.shape, 0)
    positions = lax.broadcasted_iota(order.dtype, flat.shape, 1)
    return jnp.zeros_like(flat).at[rows, flat].set(positions).reshape(order.shape)


def _keys(x: jax.Array) -> jax.Array:
    """Turns scores into integers of the same order.

    XLA compares floats so that NaN comes last, which takes several times as long.
    """
    return _turned(lax.bitcast_convert_type(x, jnp.dtype(f"int{8 * x.dtype.itemsize}")))


def _turned(bits: jax.Array) -> jax.Array:
    """Changes between the bits of floats, which fall where they are negative, and integers."""
    return jnp.where(bits < 0, bits ^ jnp.iinfo(bits.dtype).max, bits)


def _positions(x: jax.Array) -> jax.Array:
    """Counts the scores before each one; of equal scores the first one comes first."""
    index = _iota(x)
    one, other = x[..., None, :], x[..., :, None]
    before = (other < one) | ((other == one) & (index[..., :, None] < index[..., None, :]))
    return before.sum(axis=-2, dtype=jnp.int32)


def _iota(x: jax.Array) -> jax.Array:
    return lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)


class _Exact:
    """A comparator that swaps exactly, and compares indices where scores are equal."""

    def scores(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
        (one, its), (other, others) = ((w[:, :1], w[:, 1:]) for w in (a, b))
        later = (other < one) | ((other == one) & (others < its))
        falls = ((sign > 0) & later) | ((sign < 0) & ~later)
        return jnp.where(falls, b, a), jnp.where(falls, a, b)
