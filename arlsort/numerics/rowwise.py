# SPDX-License-Identifier: Apache-2.0
"""Matrices of weights that are made row by row, and never read again.

What such a matrix costs is mostly the traffic of its intermediate results. Here the matrix is one
expression, which XLA turns into one kernel that writes it once. Its derivative and its products go
through blocks of rows that stay in the cache: each block is made again from O(n) numbers, instead
of reading what was kept, so that a cotangent is read once.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import export, lax
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

from arlsort.numerics import prefixes

Arrays = tuple[jax.Array, ...]

# Elements of a block, by backend. A megabyte is in the cache of one core or two; an accelerator
# wants as much work as fits its memory.
_BLOCK = {"cpu": 2**18}
_LARGE_BLOCK = 2**26

# The derivative of the weights is better off with larger blocks: its loop copies less.
_LARGER = 4

# Shorter lists than this are compared all with all: sums along a list have more steps.
_SHORT = 32

# With no more rows than this share of the columns, in one block, what is kept for a derivative is
# soon read.
_FEW = 8

# A block may be this many times smaller than it could be, so that all blocks are alike.
_SLACK = 8


# How the logits of weights follow from the heads, the columns and what all rows share.
Level = Callable[[Arrays, Arrays, Arrays], jax.Array]
Whole = Callable[[Arrays, Arrays, Arrays, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Rows:
    """How each row of weights follows from numbers of its own and the columns.

    Attributes:
      level: A function of the heads, each `[..., r]`, of the columns, each `[..., n]`, and of what
        is shared. It returns logits `[..., r, n]` that are at most zero, and zero or near it
        somewhere in each row; the weights are their softmax. It closes over nothing that is
        differentiated.
      heads: Arrays `[..., m]`, with one number for each row.
      columns: Arrays `[..., n]`.
      shared: Scalars.
      whole: If given, a faster way to the weights, not differentiated, each row multiplied by a
        last number `[..., m]`.
      summed: Whether the logits are the logarithms of the weights, which `matrix` then does not
        divide by their sum.
    """

    level: Level
    heads: Arrays
    columns: Arrays
    shared: Arrays = ()
    whole: Whole | None = None
    summed: bool = False


def over(below: jax.Array, temperature: ArrayLike) -> jax.Array:
    """Computes `below / temperature`, where `below` is at most zero.

    Dividing first would make infinities of large numbers at a small temperature, and NaN of their
    gradients. What is so far below zero that its exponential is zero in this dtype is cut off
    before the division.

    Args:
      below: At most zero.
      temperature: A scalar > 0.

    Returns:
      Logits of the shape of `below`.
    """
    cutoff = -2.0 * math.log(float(jnp.finfo(below.dtype).tiny))
    limit = -cutoff * temperature
    # Neither the derivative of a maximum nor that of a division: both divide each element.
    return jnp.where(below > limit, below, limit) * (1.0 / temperature)


def side(apart: jax.Array) -> jax.Array:
    """The sign of differences; times it they are distances that equals draw neither way."""
    return jnp.where(apart > 0, 1.0, jnp.where(apart < 0, -1.0, 0.0)).astype(apart.dtype)


def normalised_exp(below: jax.Array, temperature: ArrayLike) -> jax.Array:
    """Computes `softmax(below / temperature)` over the last axis, where `below` is zero once."""
    return normalised(jnp.exp(over(below, temperature)))


def normalised(weights: jax.Array, factor: ArrayLike = 1.0) -> jax.Array:
    """Divides weights `[..., r, n]` by the sum of their row, and multiplies rows by a factor.

    XLA makes one kernel of this and of the weights, if nothing else reads them: it goes through a
    few rows at a time, which stay in the cache.
    """
    return weights * (factor / weights.sum(axis=-1))[..., None]


def matrix(rows: Rows, has_nan: jax.Array) -> jax.Array:
    """Makes the weights `[..., m, n]`, NaN and without a gradient where `has_nan[...]` is true."""
    *batch, m = rows.heads[0].shape
    n, lists = rows.columns[0].shape[-1], math.prod(batch)
    if m * _FEW <= n and _block_shape(lists, m, n) == (lists, m):
        weights = jnp.exp(rows.level(rows.heads, rows.columns, rows.shared))
        weights = weights if rows.summed else normalised(weights)
        return jnp.where(has_nan[..., None, None], jnp.nan, weights)
    how = (rows.level, rows.whole, rows.summed)
    return _matrix(how, has_nan, rows.heads, rows.columns, rows.shared)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _matrix(
    how: tuple[Level, Whole | None, bool],
    has_nan: jax.Array,
    heads: Arrays,
    columns: Arrays,
    shared: Arrays,
) -> jax.Array:
    factor = jnp.where(has_nan[..., None], jnp.nan, jnp.ones_like(heads[0]))
    level, whole, summed = how
    if whole is not None:
        return whole(heads, columns, shared, factor)
    weights = jnp.exp(level(heads, columns, shared))
    return weights * factor[..., None] if summed else normalised(weights, factor)


def _matrix_jvp(
    how: tuple[Level, Whole | None, bool], primals: Any, tangents: Any
) -> tuple[Any, Any]:
    level, _, summed = how
    has_nan, *arrays = primals
    # What has no tangent costs nothing.
    moves = [[not isinstance(t, SymbolicZero) for t in group] for group in tangents[1:]]
    moving = [_pick(group, flags) for group, flags in zip(tangents[1:], moves, strict=True)]
    kept = tuple(len(group) for group in arrays[:2])

    def change(heads: Arrays, has_nan: jax.Array, *columns: jax.Array) -> jax.Array:
        groups = (heads[: kept[0]], columns[: kept[1]], arrays[2])
        changes = (heads[kept[0] :], columns[kept[1] :], moving[2])

        def of(*moved: Arrays) -> jax.Array:
            return level(*(_put(*parts) for parts in zip(groups, moves, moved, strict=True)))

        at = tuple(_pick(group, flags) for group, flags in zip(groups, moves, strict=True))
        logits, slope = jax.jvp(of, at, changes)
        weights = jnp.exp(logits)
        if not summed:
            weights = normalised(weights)
            slope = slope - (weights * slope).sum(axis=-1)[..., None]
        return jnp.where(has_nan[..., None, None], 0.0, weights * slope)

    out = _matrix(how, *primals)
    if not any(map(any, moves)):
        return out, jnp.zeros_like(out)
    heads, columns = ((*a, *m) for a, m in zip(arrays[:2], moving[:2], strict=True))
    return out, _in_blocks(change, heads, (has_nan, *columns), larger=_LARGER)


_matrix.defjvp(_matrix_jvp, symbolic_zeros=True)


def _pick(group: Arrays, flags: list[bool]) -> Arrays:
    return tuple(array for array, flag in zip(group, flags, strict=True) if flag)


def _put(group: Arrays, flags: list[bool], moved: Arrays) -> Arrays:
    """Puts arrays in place of those that are flagged."""
    fresh = iter(moved)
    return tuple(next(fresh) if flag else a for a, flag in zip(group, flags, strict=True))


def mix(rows: Rows, items: jax.Array) -> jax.Array:
    """Computes the weights times items `[..., n, d]` in O(n) memory, `[..., m, d]`."""

    def product(heads: Arrays, items: jax.Array, *columns: jax.Array) -> jax.Array:
        weights = jnp.exp(rows.level(heads, columns, rows.shared))
        if items.shape[-1] == 1:  # by a vector: its transpose is faster than that of a matrix
            item = items[..., 0]
            sums = jnp.einsum("...rn,...n->...r", weights, item, precision=lax.Precision.HIGHEST)
            sums = sums[..., None]
        else:
            sums = jnp.matmul(weights, items, precision=lax.Precision.HIGHEST)
        return sums / weights.sum(axis=-1)[..., None]

    return _in_blocks(product, rows.heads, (items, *rows.columns))


def mean_distance(ascending: jax.Array, count: jax.Array | None = None) -> jax.Array:
    """Computes the mean of `|x[j] - x[k]|` over k for ascending points `[..., n]`, in O(n) memory.

    Equal points have equal means to the last bit, and draw each other neither way in the gradient.

    Args:
      ascending: Points.
      count: How many of them, the first ones, are summed over, `[...]`; the mean is that sum over
        n, and of the others may be anything. The others are no less than these.
    """
    n = ascending.shape[-1]
    if n < _SHORT:
        apart = ascending[..., :, None] - ascending[..., None, :]
        distance = apart * side(apart)
        if count is not None:
            distance = jnp.where(prefixes.within(count, distance.shape, -2), distance, 0.0)
        return distance.mean(axis=-2)
    index = lax.broadcasted_iota(jnp.int32, ascending.shape, ascending.ndim - 1)
    axis = ascending.ndim - 1
    new = jnp.diff(ascending, axis=-1) > 0
    edge = jnp.ones((*new.shape[:-1], 1), bool)
    # Of each point, how many are less than it, and how many are not greater.
    less = lax.cummax(jnp.where(jnp.concatenate([edge, new], axis=-1), index, 0), axis)
    rest = jnp.where(jnp.concatenate([new, edge], axis=-1), index + 1, n)
    upto = lax.cummin(rest, axis, reverse=True)
    # Divided before they are summed, so that large points do not overflow.
    shares = ascending / n
    total = jnp.full((*ascending.shape[:-1], 1), n, jnp.int32)
    if count is not None:
        shares, total = prefixes.keep(shares, count), count[..., None]
        less, upto = jnp.minimum(less, total), jnp.minimum(upto, total)
    sums = jnp.cumsum(jnp.pad(shares, ((0, 0),) * (ascending.ndim - 1) + ((1, 0),)), axis=-1)
    below, within = (
        jnp.take_along_axis(sums, count, axis=-1, mode="promise_in_bounds")
        for count in (less, upto)
    )
    weight = (less + upto - total).astype(ascending.dtype)
    return weight * shares + ((sums[..., -1:] - below) - within)


@jax.custom_jvp
def distances(points: jax.Array) -> jax.Array:
    """Computes the sum of `|x[j] - x[k]|` over k for short lists of points `[..., n]`, unsorted.

    Equal points have equal sums to the last bit, and draw each other neither way in the gradient.
    """
    # Written out, it is one kernel that adds in the same order whatever the batch; as a tree, for
    # the rounding.
    parts = [jnp.abs(points - points[..., k : k + 1]) for k in range(points.shape[-1])]
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        parts = [a + b for a, b in pairs] + (parts[-1:] if len(parts) % 2 else [])
    return parts[0]


@distances.defjvp
def _distances_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    apart, change = (a[..., :, None] - a[..., None, :] for a in (*primals, *tangents))
    return distances(*primals), (side(apart) * change).sum(axis=-1)


def _in_blocks(
    function: Callable[..., jax.Array], heads: Arrays, columns: Arrays, larger: int = 1
) -> jax.Array:
    """Applies a function of rows to all of them, block after block; each block is recomputed."""
    *batch, m = heads[0].shape
    n, lists = columns[-1].shape[-1], math.prod(batch)
    # Within a block, XLA may keep what it has; the backward pass is a loop of its own.
    function = jax.checkpoint(function, prevent_cse=False)
    count, height = _block_shape(lists, m, n, larger)
    if (count, height) == (lists, m):
        return function(heads, *columns)
    heads = tuple(head.reshape(lists, m) for head in heads)
    columns = tuple(c.reshape(lists, *c.shape[len(batch) :]) for c in columns)
    if height == m:
        parts = jax.tree.map(lambda p: p.reshape(-1, count, *p.shape[1:]), (heads, columns))
        result = lax.map(lambda part: function(part[0], *part[1]), parts)
        return result.reshape(*batch, m, *result.shape[3:])

    def rows(part: tuple[Arrays, Arrays]) -> jax.Array:
        # All blocks of a list share its columns, of which copies would be as many as there are.
        blocks = tuple(head.reshape(-1, height) for head in part[0])
        return lax.map(lambda block: function(block, *part[1]), blocks)

    result = lax.map(rows, (heads, columns))
    return result.reshape(*batch, m, *result.shape[3:])


def _block_shape(lists: int, m: int, n: int, larger: int = 1) -> tuple[int, int]:
    """Tells how many lists, and how many rows of each, make one block: divisors of both."""
    size = _LARGE_BLOCK
    if (backend := jax.default_backend()) in _BLOCK:
        size = larger * _BLOCK[backend]
    unknown = export.is_symbolic_dim(lists)
    if unknown:  # what suits one list must do for all
        return (lists, m) if m * n <= size else (1, _divisor(m, size // n))
    if lists * m * n <= 2 * size:
        return lists, m
    if m * n > size:
        return 1, _divisor(m, size // n)
    return _divisor(lists, size // (m * n)), m


def _divisor(number: int, limit: int) -> int:
    """Finds the largest divisor within a limit, or the number itself if all are far too small."""
    best = max((d for d in range(1, min(number, max(limit, 1)) + 1) if number % d == 0), default=1)
    return best if best * _SLACK >= min(limit, number) else number
