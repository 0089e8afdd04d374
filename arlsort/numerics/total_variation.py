# SPDX-License-Identifier: Apache-2.0
"""Total-variation denoising in one dimension: which elements share a value, by dynamic programming.

`f_k(x)` is the least cost of the elements up to k if the k-th has the value x. Its derivative is
piecewise linear and increasing. Letting the next element differ, at the cost of the weight for each
unit, clips the derivative to plus and minus the weight. Where it is clipped are two ends: between
them element k has the value of the next one, beyond them it stays at the end. Pieces are pushed and
popped at both sides, each once: O(n) for any data.

As in `isotonic`, this only decides which elements are averaged. A block's value and derivative are
means.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics import isotonic, meshes
from arlsort.numerics.pooling import Blocks


class Segments(NamedTuple):
    """A partition into runs of one value, and how the value changes between them.

    Attributes:
      blocks: The runs, `[..., n]`.
      jump: For each position, the sign of the jump to the next one, `[..., n]`; zero within a
        run and at the end.
    """

    blocks: Blocks
    jump: jax.Array


def denoise(y: jax.Array, weight: jax.Array) -> jax.Array:
    """Minimises `½ sum_i (z_i - y_i)² + weight sum_i |z_{i+1} - z_i|` over z.

    Args:
      y: `[..., n]`, finite, with n >= 1.
      weight: `[...]`, finite, >= 0.

    Returns:
      The minimiser `[..., n]`: each run has the mean of its y, moved towards its neighbours by the
      weight over its length for each of them. Differentiable, also twice and in both modes.
    """
    segments = find_segments(*lax.stop_gradient((y, weight)))
    blocks, jump = segments
    index = lax.broadcasted_iota(jnp.int32, y.shape, y.ndim - 1)
    before = jnp.where(index > 0, jnp.roll(jump, 1, axis=-1), 0.0)
    pull = jnp.take_along_axis(jump, blocks.end, -1) - jnp.take_along_axis(before, blocks.start, -1)
    length = (blocks.end - blocks.start + 1).astype(y.dtype)
    return isotonic.block_mean(y, blocks) + weight[..., None] * (pull / length)


def find_segments(y: jax.Array, weight: jax.Array) -> Segments:
    """Finds the runs of the minimiser."""
    n = y.shape[-1]
    low, high, last = _ends(y, weight)

    def back(after: jax.Array, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        value = jnp.clip(after, low, high)
        return value, jnp.sign(after - value)

    low, high = (jnp.moveaxis(v[..., : n - 1], -1, 0) for v in (low, high))
    _, jump = lax.scan(back, last, (low, high), reverse=True)
    jump = jnp.concatenate([jnp.moveaxis(jump, 0, -1), jnp.zeros_like(y[..., :1])], axis=-1)
    index = lax.broadcasted_iota(jnp.int32, y.shape, y.ndim - 1)
    ends_here = (jump != 0) | (index == n - 1)
    end = lax.cummin(jnp.where(ends_here, index, n - 1), axis=y.ndim - 1, reverse=True)
    starts = (index == 0) | jnp.roll(ends_here, 1, axis=-1)
    start = lax.cummax(jnp.where(starts, index, 0), axis=y.ndim - 1)
    return Segments(Blocks(start, end), jump)


@jax.custom_batching.custom_vmap
def _ends(y: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The values between which each element but the last follows the next; the last value."""
    *batch, n = y.shape
    rows = math.prod(batch)
    found = _scan_forward(y.reshape(rows, n), weight.reshape(rows))
    return tuple(part.reshape(*batch, *part.shape[1:]) for part in found)  # type: ignore[return-value]


@_ends.def_vmap
def _ends_of_batch(
    size: int, batched: list[bool], y: jax.Array, weight: jax.Array
) -> tuple[Any, Any]:
    # One loop for all rows: the rule for loops would copy all knots at each step.
    y, weight = (
        array if is_batched else jnp.broadcast_to(array, (size, *array.shape))
        for array, is_batched in zip((y, weight), batched, strict=True)
    )
    return _ends(y, weight), (True, True, True)


class State(NamedTuple):
    """The loop over elements, with each row at its own; arrays `[rows]` or longer.

    Knots are where the slope of the derivative changes. The lines left of the first knot and right
    of the last one are stored plus and minus the weight, so that clipping is at zero.
    """

    k: jax.Array  # the element
    first: jax.Array  # of the knots that are there
    last: jax.Array
    left: tuple[jax.Array, jax.Array]  # slope and intercept
    right: tuple[jax.Array, jax.Array]
    knots: jax.Array  # [rows, 2n]
    slopes: jax.Array
    intercepts: jax.Array
    low: jax.Array  # [rows, n]
    high: jax.Array
    steps: jax.Array


def _scan_forward(y: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    rows, n = y.shape
    centre = y.mean(axis=-1)
    y = y - centre[:, None]
    # A weight that makes all equal is as good as any larger one, and keeps more digits.
    weight = jnp.minimum(weight, 2.0 * jnp.abs(jnp.cumsum(y, axis=-1)).max(axis=-1))
    row = lax.iota(jnp.int32, rows)
    one = jnp.ones_like(centre)
    room = jnp.zeros((rows, 2 * n), y.dtype)
    place = jnp.full(rows, n, jnp.int32)
    state = State(
        k=jnp.zeros(rows, jnp.int32),
        first=place,
        last=place - 1,
        left=(one, weight - y[:, 0]),
        right=(one, -weight - y[:, 0]),
        knots=room,
        slopes=room,
        intercepts=room,
        low=jnp.zeros_like(y),
        high=jnp.zeros_like(y),
        steps=jnp.int32(0),
    )

    def at(array: jax.Array, index: jax.Array) -> jax.Array:
        return array.at[row, index].get(mode="clip")

    def step(state: State) -> State:
        final = state.k == n - 1
        going = state.k < n
        # Of the last element the zero of the derivative is wanted, from the left alone.
        aim = jnp.where(final, weight, 0.0)
        (a, c), (s, d) = state.left, state.right
        knot, slope, intercept = (
            at(v, state.first) for v in (state.knots, state.slopes, state.intercepts)
        )
        pop_left = going & (state.first <= state.last) & (a * knot + c < aim)
        a, c = jnp.where(pop_left, a + slope, a), jnp.where(pop_left, c + intercept, c)
        first = state.first + pop_left
        knot, slope, intercept = (
            at(v, state.last) for v in (state.knots, state.slopes, state.intercepts)
        )
        pop_right = going & ~final & (first <= state.last) & (s * knot + d > 0)
        s, d = jnp.where(pop_right, s - slope, s), jnp.where(pop_right, d - intercept, d)
        last = state.last - pop_right
        # Where nothing is popped the element is done, and its ends are the new knots.
        done = going & ~pop_left & ~pop_right
        low, high = (aim - c) / a, -d / s
        first, last = first - done, last + done
        slot = (jnp.where(done, first, 2 * n), jnp.where(done, last, 2 * n))

        def push(array: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
            array = array.at[row, slot[0]].set(left, mode="drop")
            return array.at[row, slot[1]].set(right, mode="drop")

        write = jnp.where(done, state.k, n)
        k = state.k + done
        value = at(y, k)
        return State(
            k,
            first,
            last,
            (jnp.where(done, 1.0, a), jnp.where(done, -value, c)),
            (jnp.where(done, 1.0, s), jnp.where(done, -value, d)),
            push(state.knots, low, high),
            push(state.slopes, a, -s),
            push(state.intercepts, c, -d),
            state.low.at[row, write].set(low, mode="drop"),
            state.high.at[row, write].set(high, mode="drop"),
            state.steps + 1,
        )

    state, _ = meshes.vary_alike(state, y)
    # Each step pushes or pops; at most two knots are pushed for each element.
    state = lax.while_loop(lambda state: (state.k < n).any() & (state.steps < 4 * n), step, state)
    low, high = (v + centre[:, None] for v in (state.low, state.high))
    return low, high, low[:, n - 1]
