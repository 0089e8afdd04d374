# SPDX-License-Identifier: Apache-2.0
"""Which neighbours an isotonic regression pools, found by merging.

Pool-adjacent-violators, one violator after the other, is O(n) but sequential: on an accelerator,
and in XLA on a CPU, every step costs microseconds. Here halves that are already solved are merged,
all pairs of a level at once. Merging two nondecreasing sequences pools exactly one new block across
the seam, a suffix of the left and a prefix of the right one; with

    g(t) = sum_left weight (v - t)^+  -  sum_right weight (t - v)^+,

which decreases in t, its value is the root of g, an element v on the left belongs to it if and only
if g(v) <= 0, and one on the right if and only if g(v) >= 0. Both ends are found by one binary
search over both sides. There are log2(n) levels with O(log n) steps each, whatever the data:
O(n log n) time in the worst case, O(n) memory, no rows that wait for others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics import meshes, prefixes, some_lists


class Blocks(NamedTuple):
    """A partition of positions 0 to n - 1 into runs.

    Attributes:
      start: The first position of the block that each position is in, int32 `[..., n]`.
      end: The last one.
    """

    start: jax.Array
    end: jax.Array


_RARE = 2**9  # numbers that are pooled at a time if few lists are expected to need it


def blocks_l2(y: jax.Array, count: jax.Array | None = None, *, rare: bool = False) -> Blocks:
    """Finds which y `[..., n]` are pooled by `isotonic_l2`; equal neighbours are.

    With a count `[...]` these are the first ones of each list; those after them are alone. Say that
    it is `rare` if few lists pool anything.
    """
    y = lax.stop_gradient(y)
    return some_lists.apply(
        _pool_l2, (y, count), _falls(y, count), _alone(y), _RARE if rare else None
    )


def _pool_l2(y: jax.Array, count: jax.Array | None) -> Blocks:
    if count is not None:
        y = _behind(y, count)
    # A power of two is exact; sums of n values of the largest magnitude would overflow.
    large = jnp.abs(y).max(axis=-1, keepdims=True) > 2.0**64
    y = jnp.where(large, y * 2.0**-64, y)
    blocks = _solve(_Level.of_l2(_pad(y)), y.shape, _merge_l2)
    return blocks if count is None else _alone_behind(blocks, count)


def blocks_entropic(
    s: jax.Array, w: jax.Array, count: jax.Array | None = None, *, rare: bool = False
) -> Blocks:
    """Finds which of s and w, nondecreasing `[..., n]`, are pooled by `isotonic_entropic`.

    With a count and `rare` as `blocks_l2`.
    """
    s, w = lax.stop_gradient((s, w))
    needed, alone = _falls(s - w, count), _alone(s)
    return some_lists.apply(_pool_entropic, (s, w, count), needed, alone, _RARE if rare else None)


def _pool_entropic(s: jax.Array, w: jax.Array, count: jax.Array | None) -> Blocks:
    v = s - w
    if count is not None:
        v, w = _behind(v, count), prefixes.keep(w, count, prefixes.last(w, count))
    blocks = _solve(_Level.of_entropic(_pad(v), _pad(w)), v.shape, _merge_entropic)
    return blocks if count is None else _alone_behind(blocks, count)


def _falls(v: jax.Array, count: jax.Array | None) -> jax.Array:
    """Tells which lists `[..., n]` do not ascend as they are, `[...]`: in others each is alone."""
    falls = v[..., :-1] >= v[..., 1:]
    if count is not None:
        falls &= prefixes.within(count - 1, falls.shape)
    return falls.any(axis=-1)


def _alone(v: jax.Array) -> Blocks:
    index = lax.broadcasted_iota(jnp.int32, v.shape, v.ndim - 1)
    return Blocks(index, index)


def _behind(v: jax.Array, count: jax.Array) -> jax.Array:
    """Replaces the others by the largest of the first `count`, so that they pool only equals."""
    lowest = float(jnp.finfo(v.dtype).min)
    top = prefixes.keep(v, count, lowest).max(axis=-1, keepdims=True)
    return prefixes.keep(v, count, jnp.where((count > 0)[..., None], top, 0.0))


def _alone_behind(blocks: Blocks, count: jax.Array) -> Blocks:
    index = lax.broadcasted_iota(jnp.int32, blocks.start.shape, blocks.start.ndim - 1)
    inside = prefixes.within(count, index.shape)
    end = jnp.minimum(blocks.end, count[..., None] - 1)
    return Blocks(jnp.where(inside, blocks.start, index), jnp.where(inside, end, index))


def _pad(x: jax.Array) -> jax.Array:
    """Flattens `[..., n]` to rows, and fills them up to a power of two with their maximum.

    What is padded joins the last block at most, and only if it has the value of that block.
    """
    n = x.shape[-1]
    width = (1 << (n - 1).bit_length()) - n
    filler = jnp.broadcast_to(x.max(axis=-1, keepdims=True), (*x.shape[:-1], width))
    return jnp.concatenate([x, filler], axis=-1)


class _Level(NamedTuple):
    """Solved segments of one length m, side by side in flat arrays `[rows * width]`.

    `above[i]` is the sum of `weight_j (v_j - v_i)` over j from i to the end of the segment, and
    `below[i]` that of `weight_j (v_i - v_j)` from its beginning to i: what g needs from each side,
    as sums of positive differences, so that no digits are lost to a common offset.

    In the entropic kind, v is the logarithm of the value and w that of the weight. Sums over
    exponentials are stored relative to their largest term, which is where it is because v and w
    are nondecreasing: `above` and `weight_above` relative to the last position of the segment,
    `below` and `weight_below` relative to position i.
    """

    v: jax.Array
    above: jax.Array
    below: jax.Array
    start: jax.Array  # of the block, counted in the flat array, as end
    end: jax.Array
    mean: jax.Array  # of the segment; its logarithm in the entropic kind
    w: Any = None
    weight_above: Any = None
    weight_below: Any = None

    @classmethod
    def of_l2(cls, y: jax.Array) -> "_Level":
        v = y.reshape(y.size)
        zero = jnp.zeros_like(v)
        index, _ = meshes.vary_alike(lax.iota(jnp.int32, y.size), v)
        return cls(v, zero, zero, index, index, v)

    @classmethod
    def of_entropic(cls, v: jax.Array, w: jax.Array) -> "_Level":
        level = cls.of_l2(v)
        one = jnp.ones_like(level.v)
        return level._replace(w=w.reshape(w.size), weight_above=one, weight_below=one)


class _Pairs(NamedTuple):
    """Where the pairs of segments of length m are; one entry for every slot of a fixed length.

    A slot is as long as the shortest pair of its stage, so all slots of a longer pair do the same
    work. That lets a loop over levels, whose arrays must keep their shapes, be compiled once.
    """

    m: jax.Array
    left: jax.Array  # [slots]: the first position of the left segment
    right: jax.Array  # [slots]: of the right one
    position: jax.Array  # [slots, slot length]


_STAGE = 3
"""Levels that share one program: fewer compile longer, more repeat more work."""


def _solve(
    level: _Level, shape: tuple[int, ...], merge: Callable[[_Level, _Pairs], _Level]
) -> Blocks:
    n = shape[-1]
    levels = (n - 1).bit_length()
    for first in range(0, levels, _STAGE):
        slot = 2 << first
        position = lax.iota(jnp.int32, level.v.size).reshape(level.v.size // slot, slot)
        position, _ = meshes.vary_alike(position, level.v)

        def ascend(k: jax.Array, level: _Level, position: jax.Array = position) -> _Level:
            m = jnp.left_shift(jnp.int32(1), k)
            left = position[:, 0] & ~(2 * m - 1)
            return merge(level, _Pairs(m, left, left + m, position))

        level = lax.fori_loop(first, min(first + _STAGE, levels), ascend, level)
    rows = (level.v.size // (1 << levels), 1 << levels)
    offset = lax.broadcasted_iota(jnp.int32, rows, 0) << levels
    start, end = (
        (a.reshape(rows) - offset)[:, :n].reshape(shape) for a in (level.start, level.end)
    )
    return Blocks(start, jnp.minimum(end, n - 1))


def _at(x: jax.Array, index: jax.Array) -> jax.Array:
    return x.at[index].get(mode="promise_in_bounds")


def _search(
    level: _Level,
    pairs: _Pairs,
    reaches: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array, jax.Array]],
) -> tuple[jax.Array, jax.Array]:
    """Finds the first and last position of the block across every seam, if there is one.

    `reaches(p, q)` compares position p on the left with q on the right and returns four booleans:
    whether `v_p > v_q`; then, as if all from p to q were pooled, whether the mean is at most v_p
    and at least v_q; and whether `above[p] >= below[q]`.

    If `v_p > v_q`, one of the two at least is pooled, and the mean tells which. Otherwise one at
    least is not: g(v_p) >= above[p] - below[q] >= g(v_q). When one end is known, the mean alone
    decides about the other.
    """

    def halve(_: jax.Array, bounds: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        p_low, p_high, q_low, q_high = bounds
        p, q = (p_low + p_high) // 2, (q_low + q_high + 1) // 2
        crossed, takes_p, takes_q, heavier = reaches(p, q)
        p_open, q_open = p_low < p_high, q_low < q_high
        both = p_open & q_open
        p_in = p_open & takes_p & (crossed | ~q_open)
        q_in = q_open & jnp.where(both, crossed & ~takes_p, takes_q)
        p_out = p_open & jnp.where(both, ~crossed & heavier, ~takes_p)
        q_out = q_open & jnp.where(both, ~crossed & ~heavier, ~takes_q)
        return (
            jnp.where(p_out, p + 1, p_low),
            jnp.where(p_in, p, p_high),
            jnp.where(q_in, q, q_low),
            jnp.where(q_out, q - 1, q_high),
        )

    steps = 2 * lax.population_count(pairs.m - 1)
    bounds = (pairs.left, pairs.right - 1, pairs.right, pairs.right + (pairs.m - 1))
    first, _, last, _ = lax.fori_loop(0, steps, halve, bounds)
    # Rounding may end the search inside a block: blocks are never split.
    return _at(level.start, first), _at(level.end, last)


def _join(
    level: _Level, pairs: _Pairs, first: jax.Array, last: jax.Array
) -> Callable[..., jax.Array]:
    """Makes the function that puts together what holds in, left of and right of the block.

    Where nothing is to be pooled the block is empty, at the seam.
    """
    violated = _at(level.v, pairs.right - 1) >= _at(level.v, pairs.right)
    low = jnp.where(violated, first, pairs.right)[:, None]
    high = jnp.where(violated, last, pairs.right - 1)[:, None]
    inside = (pairs.position >= low) & (pairs.position <= high)
    on_left = pairs.position < pairs.right[:, None]

    def join(pooled: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
        return jnp.where(inside, pooled, jnp.where(on_left, left, right)).reshape(-1)

    return join


def _merge_l2(level: _Level, pairs: _Pairs) -> _Level:
    dtype = level.v.dtype
    m = pairs.m.astype(dtype)

    def reaches(p: jax.Array, q: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        gap = _at(level.v, p) - _at(level.v, q)
        excess = _at(level.above, p) - _at(level.below, q)
        takes_p = excess <= (q - pairs.right + 1).astype(dtype) * gap
        takes_q = -excess <= (pairs.right - p).astype(dtype) * gap
        return gap > 0, takes_p, takes_q, excess >= 0

    first, last = _search(level, pairs, reaches)
    v_first, count = _at(level.v, first), (last - pairs.right + 1).astype(dtype)
    gap = v_first - _at(level.v, last)
    excess = _at(level.above, first) - _at(level.below, last)
    value = v_first + (excess - count * gap) / (last - first + 1).astype(dtype)

    # Just outside of the block; where there is nothing outside, they are zero.
    before, after = jnp.maximum(first - 1, pairs.left), last + 1
    stop = pairs.right + pairs.m
    after = jnp.minimum(after, stop - 1)
    below = _at(level.below, before)
    below += (first - pairs.left).astype(dtype) * (value - _at(level.v, before))
    below = jnp.where(first == pairs.left, 0.0, below)
    above = _at(level.above, after)
    above += (stop - 1 - last).astype(dtype) * (_at(level.v, after) - value)
    above = jnp.where(last == stop - 1, 0.0, above)
    mean_left, mean_right = _at(level.mean, pairs.left), _at(level.mean, pairs.right)

    join, shape = _join(level, pairs, first, last), pairs.position.shape
    old = jax.tree.map(lambda a: a.reshape(shape), level)
    rise = jnp.maximum(old.above + m * (mean_right[:, None] - old.v), 0.0)
    fall = jnp.maximum(old.below + m * (old.v - mean_left[:, None]), 0.0)
    mean = jnp.broadcast_to(((mean_left + mean_right) / 2)[:, None], shape)
    return _Level(
        join(value[:, None], old.v, old.v),
        join(above[:, None], rise, old.above),
        join(below[:, None], old.below, fall),
        join(first[:, None], old.start, old.start),
        join(last[:, None], old.end, old.end),
        mean.reshape(-1),
    )


def _merge_entropic(level: _Level, pairs: _Pairs) -> _Level:
    m, left, right, position = pairs
    seam, stop = right - 1, right + (m - 1)  # the last positions of both
    v_end, w_end = _at(level.v, seam), _at(level.w, seam)

    def reaches(p: jax.Array, q: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        v_p, v_q = _at(level.v, p), _at(level.v, q)
        shift = w_end - _at(level.w, q)
        gap = v_p - v_q
        larger = jnp.maximum(v_p, v_q)
        step = -jnp.expm1(-jnp.abs(gap)) * jnp.sign(gap)  # relative to the larger, as the rest
        below, above = _at(level.below, q), _at(level.above, p)
        heavier = above * _exp(v_end - v_q + shift) >= below
        excess = above * _exp(v_end - larger + shift) - below * _exp(v_q - larger)
        takes_p = excess <= _at(level.weight_below, q) * step
        takes_q = -excess <= _at(level.weight_above, p) * _exp(shift) * step
        return gap > 0, takes_p, takes_q, heavier

    first, last = _search(level, pairs, reaches)
    value = _value_entropic(level, pairs, first, last)
    below, above = _outside_entropic(level, pairs, first, last, value)
    join, shape = _join(level, pairs, first, last), position.shape
    old = jax.tree.map(lambda a: a.reshape(shape), level)
    v = join(value[:, None], old.v, old.v)

    v_last, w_last = _at(v, stop)[:, None], _at(level.w, stop)[:, None]
    w_before = _at(level.w, jnp.maximum(first - 1, left))[:, None]
    all_left, all_right = (_at(level.weight_above, a)[:, None] for a in (left, right))
    mean_left, mean_right = (_at(level.mean, a)[:, None] for a in (left, right))
    v_end, w_end = v_end[:, None], w_end[:, None]
    scale = w_end - old.w
    rise = old.above * _exp(v_end + (w_end - w_last) - v_last)
    rise += all_right * (_exp(mean_right - v_last) - _exp(old.v - v_last))
    fall = old.below + all_left * (_exp(scale) - _exp(scale + (mean_left - old.v)))
    ratio = w_end - w_last + jnp.log(all_left) - jnp.log(all_right)
    mean = jnp.logaddexp(mean_left + ratio, mean_right) - jnp.logaddexp(ratio, 0.0)
    on_left = position < right[:, None]
    weight_above = old.weight_above * _exp(w_end - w_last) + all_right
    return _Level(
        v,
        join(above[:, None], jnp.maximum(rise, 0.0), old.above),
        join(
            below[:, None] * _exp(jnp.minimum(w_before - old.w, 0.0)),
            old.below,
            jnp.maximum(fall, 0.0),
        ),
        join(first[:, None], old.start, old.start),
        join(last[:, None], old.end, old.end),
        jnp.broadcast_to(mean, shape).reshape(-1),
        level.w,
        jnp.where(on_left, weight_above, old.weight_above).reshape(-1),
        jnp.where(on_left, old.weight_below, old.weight_below + all_left * _exp(scale)).reshape(-1),
    )


def _exp(x: jax.Array) -> jax.Array:
    # Where it matters the exponent is at most log(n); elsewhere zero times infinity must be zero.
    return jnp.exp(jnp.minimum(x, 80.0))


def _value_entropic(level: _Level, pairs: _Pairs, first: jax.Array, last: jax.Array) -> jax.Array:
    """The value of the pooled block: the logarithm of a ratio of two sums over both sides."""
    seam = pairs.right - 1
    v_end, v_last = _at(level.v, seam), _at(level.v, last)
    shift = _at(level.w, seam) - _at(level.w, last)
    weight_left, weight_right = _at(level.weight_above, first), _at(level.weight_below, last)
    # Both sums contain a term that is 1.
    sum_left = _at(level.above, first) + weight_left * _exp(_at(level.v, first) - v_end)
    sum_right = weight_right - _at(level.below, last)
    left, right = (jnp.log(jnp.maximum(a, 1.0)) for a in (sum_left, sum_right))
    return v_last + (
        jnp.logaddexp(right, left + (v_end - v_last + shift))
        - jnp.logaddexp(jnp.log(weight_right), jnp.log(weight_left) + shift)
    )


def _outside_entropic(
    level: _Level, pairs: _Pairs, first: jax.Array, last: jax.Array, value: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What is below the pooled block, relative to the position before it, and what is above."""
    stop = pairs.right + (pairs.m - 1)
    before, after = jnp.maximum(first - 1, pairs.left), jnp.minimum(last + 1, stop)
    drop = jnp.minimum(_at(level.v, before) - value, 0.0)
    below = _at(level.below, before) * _exp(drop)
    below -= _at(level.weight_below, before) * jnp.expm1(drop)
    v_end = _at(level.v, stop)
    step = _exp(_at(level.v, after) - v_end) - _exp(value - v_end)
    above = _at(level.above, after) + _at(level.weight_above, after) * step
    return (
        jnp.where(first == pairs.left, 0.0, below),
        jnp.where(last == stop, 0.0, jnp.maximum(above, 0.0)),
    )
