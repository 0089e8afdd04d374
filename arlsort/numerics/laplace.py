# SPDX-License-Identifier: Apache-2.0
"""Sums of Laplace distribution functions over sorted points, and the inverse of such a sum.

`F(b) = sum_j Lap((b - x[j]) / t)`, where `Lap(u)` is `exp(u) / 2` below zero and `1 - exp(-u) / 2`
above, grows from 0 to n; the threshold `b[k]` is where it is k. The kernel is separable: between
two neighbouring points, `F` is a constant plus one growing and one falling exponential, whose
weights are sums with decay from the left and from the right. So all sums cost O(n), and F is
inverted in closed form.

No coordinate is divided by the temperature or exponentiated. All formulas use distances between
neighbours, in temperatures, cut off where their exponential is zero. So nothing overflows or
cancels, however far the points are from zero or from each other.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics import decaying


class Thresholds(NamedTuple):
    """Sorted points and the thresholds between them; all distances are in temperatures.

    Arrays over thresholds are for k = 0 ... n, where `b[0]` is minus and `b[n]` plus infinity.

    Attributes:
      points: Ascending, `[..., n]`.
      temperature: A scalar.
      gap: From each point to the next, `[..., n - 1]`.
      cell: `[..., n]`; for each point, the k with `b[k] < point <= b[k + 1]`.
      below: `[..., n + 1]`; for each threshold, how many points lie below it.
      left: `[..., n + 1]`; the distance to the last point below.
      right: `[..., n + 1]`; the distance to the first point above.
      width: `[..., n]`; the distance from each threshold to the next.
    """

    points: jax.Array
    temperature: jax.Array
    gap: jax.Array
    cell: jax.Array
    below: jax.Array
    left: jax.Array
    right: jax.Array
    width: jax.Array


def cutoff_of(dtype: jnp.dtype) -> float:
    """A distance at which even the square root of the exponential underflows."""
    return -2.0 * math.log(float(jnp.finfo(dtype).tiny))


def distance(low: jax.Array, high: jax.Array, temperature: jax.Array) -> jax.Array:
    """Gives `(high - low) / temperature`, cut off where its exponential is zero."""
    return jnp.minimum(high - low, cutoff_of(low.dtype) * temperature) / temperature


def _take(array: jax.Array, index: jax.Array) -> jax.Array:
    """Takes along the last axis; an index out of range counts as the nearest one."""
    index = jnp.clip(index, 0, array.shape[-1] - 1)
    index = jnp.broadcast_to(index, (*array.shape[:-1], index.shape[-1]))
    return jnp.take_along_axis(array, index, axis=-1, mode="promise_in_bounds")


def _take_or_zero(array: jax.Array, index: jax.Array) -> jax.Array:
    inside = (index >= 0) & (index < array.shape[-1])
    return jnp.where(inside, _take(array, index), 0.0)


@jax.custom_jvp
def crossing(
    excess: jax.Array, low: jax.Array, high: jax.Array, gap: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Solves `high exp(-right) - low exp(-left) = 2 excess` with `left + right = gap`.

    A quadratic in `exp(left)`, solved by the form without a difference.
    """
    cutoff = cutoff_of(gap.dtype)
    root = _root(excess, low, high, gap)
    from_left = jnp.log(jnp.maximum(low, 1.0) / (root + jnp.where(excess < 0, -excess, 1.0)))
    from_right = jnp.log(jnp.maximum(high, 1.0) / (root + jnp.where(excess > 0, excess, 1.0)))
    middle = 0.5 * (gap + jnp.log(jnp.maximum(low, 1.0) / jnp.maximum(high, 1.0)))
    inside = (low > 0) & (high > 0)
    length = jnp.where(inside, gap, cutoff)
    left = jnp.where(excess > 0, length - from_right, jnp.where(excess < 0, from_left, middle))
    left = jnp.clip(left, 0.0, length)
    right = jnp.where(excess > 0, from_right, length - left)
    right = jnp.clip(right, 0.0, length)
    return jnp.where(low > 0, left, cutoff), jnp.where(high > 0, right, cutoff)


def _root(excess: jax.Array, low: jax.Array, high: jax.Array, gap: jax.Array) -> jax.Array:
    return jnp.sqrt(excess**2 + (low * high) * jnp.exp(-gap))


@crossing.defjvp
def _crossing_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    # By the implicit function theorem. The excess is a count and has no tangent. The share of the
    # density that comes from the right stays one half where both exponentials underflow.
    excess, low, high, gap = primals
    _, dlow, dhigh, dgap = tangents
    square = excess**2 + (low * high) * jnp.exp(-gap)
    share = 0.5 * (1 + excess / jnp.sqrt(jnp.where(square > 0, square, 1.0)))
    from_low = dlow / jnp.maximum(low, 1.0)
    from_high = dhigh / jnp.maximum(high, 1.0)
    dleft = share * (dgap - from_high) + (1 - share) * from_low
    dright = (1 - share) * (dgap - from_low) + share * from_high
    return crossing(excess, low, high, gap), (
        jnp.where(low > 0, dleft, 0.0),
        jnp.where(high > 0, dright, 0.0),
    )


def thresholds(points: jax.Array, temperature: jax.Array) -> Thresholds:
    """Finds the n - 1 thresholds of sorted points, in O(n log n).

    Args:
      points: Ascending and finite, `[..., n]`, n >= 2.
      temperature: The scale of the Laplace distribution; a scalar > 0.

    Returns:
      The thresholds by their places among the points.
    """
    n = points.shape[-1]
    cutoff = cutoff_of(points.dtype)
    gap = distance(points[..., :-1], points[..., 1:], temperature)
    keep, ones = jnp.exp(-gap), jnp.ones_like(points)
    low, high = decaying.sums(keep, ones), decaying.sums(keep, ones, reverse=True)

    # F at point j is j + 1/2 + (high - low) / 2, and its cell is the largest integer below that.
    # Rounding must not put a point before its predecessor.
    offset = jnp.ceil(0.5 * (1.0 + (high - low))).astype(jnp.int32) - 1
    cell = jnp.clip(
        lax.broadcasted_iota(jnp.int32, points.shape, points.ndim - 1) + offset, 0, n - 1
    )
    cell = lax.cummax(cell, axis=points.ndim - 1)
    below = _count_below(cell, n)

    inner = below[..., 1:-1]
    target = lax.broadcasted_iota(jnp.int32, inner.shape, inner.ndim - 1) + 1
    left, right = crossing(
        (target - inner).astype(points.dtype),
        _take_or_zero(low, inner - 1),
        _take_or_zero(high, inner),
        _take(gap, inner - 1),
    )
    ends = [(0, 0)] * (points.ndim - 1) + [(1, 1)]
    left = jnp.pad(left, ends, constant_values=cutoff)
    right = jnp.pad(right, ends, constant_values=cutoff)
    k = lax.broadcasted_iota(jnp.int32, points.shape, points.ndim - 1) + 1
    first_and_last = _take(points, below[..., :-1]), _take(points, below[..., 1:] - 1)
    width = widths(k, n, below, (left, right), first_and_last, temperature)
    return Thresholds(points, temperature, gap, cell, below, left, right, width)


def widths(
    k: jax.Array,
    n: int,
    below: jax.Array,
    near: tuple[jax.Array, jax.Array],
    ends: tuple[jax.Array, jax.Array],
    temperature: jax.Array,
) -> jax.Array:
    """Gives the distance from each of m + 1 successive thresholds to the next, `[..., m]`.

    Args:
      k: Which threshold the upper one of each pair is, `[..., m]`.
      n: How many points the list has.
      below: How many points lie below each threshold, `[..., m + 1]`.
      near: The distances to the last point below and to the first one above, `[..., m + 1]`.
      ends: The first point above the lower threshold and the last below the upper one, `[..., m]`.
      temperature: The scale of the Laplace distribution.
    """
    (left, right), (first, last) = near, ends
    cutoff = cutoff_of(first.dtype)
    # With no point between them, by the side on which the distances are known the better.
    by_right = k - below[..., 1:] > 0
    empty = jnp.where(by_right, right[..., :-1] - right[..., 1:], left[..., 1:] - left[..., :-1])
    # By places, not by `maximum`: of equal points that would halve the gradient.
    same = below[..., 1:] == below[..., :-1]
    between = distance(first, jnp.where(same, first, last), temperature)
    full = right[..., :-1] + between + left[..., 1:]
    width = jnp.where(same, empty, full)
    return jnp.where((k == 1) | (k == n), cutoff, jnp.clip(width, 0.0, cutoff))


def _count_below(cell: jax.Array, n: int) -> jax.Array:
    """Counts for k = 0 ... n the entries of ascending integers that are less than k."""
    flat = cell.reshape(-1, n)
    rows = lax.broadcasted_iota(jnp.int32, flat.shape, 0)
    histogram = jnp.zeros_like(flat).at[rows, flat].add(1)
    counts = jnp.cumsum(histogram, axis=-1)
    return jnp.pad(counts, ((0, 0), (1, 0))).reshape(*cell.shape[:-1], n + 1)


def mix(at: Thresholds, rows: jax.Array) -> jax.Array:
    """Computes `sum_j P[i, j] rows[j]` in O(n), P as in `weights`.

    Between two neighbours of all points and thresholds, at distance d, the sum grows by
    `(1 - exp(-d)) / 2` times the sums with decay at its two ends; a row is the total over what lies
    between its two thresholds. Nothing is ever subtracted.

    Args:
      at: Thresholds of n points.
      rows: In the order of the points, `[..., d, n]`.

    Returns:
      Mixtures `[..., d, n]`.
    """
    rows = jnp.concatenate([jnp.ones_like(rows[..., :1, :]), rows], axis=-2)
    gap, cell, low, high = (
        v[..., None, :] for v in (at.gap, at.cell, at.below[..., :-1], at.below[..., 1:])
    )
    keep = jnp.exp(-gap)
    up, down = decaying.sums(keep, rows), decaying.sums(keep, rows, reverse=True)

    # Whole stretches between points, summed from one threshold to the next.
    same = (cell[..., 1:] == cell[..., :-1]).astype(rows.dtype)
    whole = -0.5 * jnp.expm1(-gap) * (up[..., :-1] + down[..., 1:]) * same
    whole = decaying.sums(same[..., 1:], whole)

    below = at.below[..., None, :]
    up_to = _take_or_zero(up, below - 1)  # at the last point below each threshold
    down_to = _take_or_zero(down, below)  # at the first point above
    middle = jnp.where(high - low >= 2, _take(whole, high - 2), 0.0) if whole.shape[-1] else 0.0
    near = at.left[..., None, :], at.right[..., None, :]
    return mixtures(low == high, near, at.width[..., None, :], (up_to, down_to), middle)


def mixtures(
    empty: jax.Array,
    near: tuple[jax.Array, jax.Array],
    width: jax.Array,
    sums: tuple[jax.Array, jax.Array],
    middle: jax.Array | float,
) -> jax.Array:
    """Puts mixtures of rows together from what lies between m + 1 successive thresholds.

    Args:
      empty: Where there is no point between two thresholds, `[..., 1, m]`.
      near: The distances of thresholds to the last point below and the first one above,
        `[..., 1, m + 1]`.
      width: The distance from each threshold to the next, `[..., 1, m]`.
      sums: With decay, of a row of ones and of the rows, `[..., 1 + d, m + 1]`: from the left at
        the last points below thresholds, and from the right at the first ones above.
      middle: What the whole stretches between two points add, `[..., 1 + d, m]`.

    Returns:
      Mixtures `[..., d, m]`.
    """
    (left, right), (up_to, down_to) = near, sums
    at_low = (jnp.exp(-left) * up_to)[..., :-1]
    at_high = (jnp.exp(-right) * down_to)[..., 1:]
    alone = -0.5 * jnp.expm1(-width) * (at_low + at_high)
    first = -0.5 * jnp.expm1(-right[..., :-1]) * (at_low + down_to[..., :-1])
    last = -0.5 * jnp.expm1(-left[..., 1:]) * (up_to[..., 1:] + at_high)
    total = jnp.where(empty, alone, first + middle + last)
    # The sums of weights are one but for rounding, which grows with n.
    return total[..., 1:, :] / total[..., :1, :]


def weights(at: Thresholds, start: jax.Array | None = None, rows: int = 0) -> jax.Array:
    """Computes `P[i, j] = Lap((b[i + 1] - x[j]) / t) - Lap((b[i] - x[j]) / t)`, `[..., n, n]`.

    Args:
      at: Thresholds of n points.
      start: If given, the first row wanted of each list, `[...]`; other rows cost nothing.
      rows: How many are wanted.

    Returns:
      All rows, or those `[..., rows, n]`; one that would be before the first may be anything.
    """
    width = at.width
    if start is not None:
        index = start[..., None] + lax.broadcasted_iota(
            jnp.int32, (*start.shape, rows + 1), start.ndim
        )
        below, left, right = (_take(part, index) for part in (at.below, at.left, at.right))
        at = at._replace(below=below, left=left, right=right)
        width = _take(width, index[..., :-1])
    below, apart = _apart(at)
    j = lax.broadcasted_iota(jnp.int32, apart.shape, apart.ndim - 1)
    passed = -jnp.expm1(-apart)
    growth = -jnp.expm1(-width)[..., None]
    j = j[..., :-1, :]
    inside = passed[..., :-1, :] + passed[..., 1:, :]
    after = jnp.exp(-apart[..., :-1, :]) * growth
    before = jnp.exp(-apart[..., 1:, :]) * growth
    outside = jnp.where(j < below[..., :-1, :], after, before)
    total = jnp.where((j >= below[..., :-1, :]) & (j < below[..., 1:, :]), inside, outside)
    # Half of it is the weight, but for rounding.
    sums = total.sum(axis=-1, keepdims=True)
    if start is not None:  # of a row before the first it is zero
        sums = jnp.where(sums > 0, sums, 1.0)
    return total / sums


def share_above(at: Thresholds, k: jax.Array) -> jax.Array:
    """Computes the sum of all rows from the k-th on, `Lap((x[j] - b[k]) / t)`, `[..., n]`.

    Args:
      at: Thresholds of n points.
      k: A threshold of each list, `[...]`.
    """
    index = k[..., None]
    below, left, right = (_take(part, index) for part in (at.below, at.left, at.right))
    below, apart = _apart(at._replace(below=below, left=left, right=right))
    half = 0.5 * jnp.exp(-apart)
    j = lax.broadcasted_iota(jnp.int32, apart.shape, apart.ndim - 1)
    return jnp.where(j < below, half, 1.0 - half)[..., 0, :]


def _apart(at: Thresholds) -> tuple[jax.Array, jax.Array]:
    """How many points lie below each threshold `[..., m, 1]`; how far all are, `[..., m, n]`."""
    points = at.points[..., None, :]
    below = at.below[..., None]
    shape = (*at.below.shape, points.shape[-1])
    j = lax.broadcasted_iota(jnp.int32, shape, len(shape) - 1)
    last, first = _take(at.points, at.below - 1)[..., None], _take(at.points, at.below)[..., None]
    # By way of the nearest point on the same side of the threshold.
    low, high = jnp.where(j < below, points, first), jnp.where(j < below, last, points)
    near = jnp.where(j < below, at.left[..., None], at.right[..., None])
    return below, near + distance(low, high, at.temperature)


def ranks(at: Thresholds) -> jax.Array:
    """Computes `sum_i i P[i, j] = sum_k Lap((x[j] - b[k]) / t)` in O(n), `[..., n]`."""
    inner = jnp.exp(-at.width[..., 1:-1])
    ones = jnp.ones_like(at.points[..., 1:])
    up, down = decaying.sums(inner, ones), decaying.sums(inner, ones, reverse=True)
    cell = at.cell
    from_point = _take(at.points, _take(at.below, cell))
    to_point = _take(at.points, _take(at.below, cell + 1) - 1)
    after = _take(at.right, cell) + distance(from_point, at.points, at.temperature)
    before = _take(at.left, cell + 1) + distance(at.points, to_point, at.temperature)
    passed = jnp.exp(-after) * _take_or_zero(up, cell - 1)
    ahead = jnp.exp(-before) * _take_or_zero(down, cell)
    return cell.astype(at.points.dtype) + 0.5 * (ahead - passed)
