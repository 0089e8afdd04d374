# SPDX-License-Identifier: Apache-2.0
"""LapSum of shared lists: sums with decay go on from device to device, thresholds look for points.

As in `arlsort.numerics.laplace`, with the same names. Of a list each device has m of the n sorted
points, and the cells of as many positions. Which points lie next to the thresholds of a cell, and
on which device, depends on the scores. So all parts go round three times. First each threshold
looks for its neighbours among the cells of the points. Then it takes the sums at the last point
below it, and then those at the first point above.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics import clusters, decaying, laplace, meshes
from arlsort.operators.lapsum import LapSum
from arlsort.shared_lists import parts


class _Edges(NamedTuple):
    """What every device knows of all: their first and last points, `[..., devices]`."""

    first: jax.Array
    last: jax.Array


def sort(operator: LapSum, scores: jax.Array, axis_name: str) -> jax.Array:
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    m = scores.shape[-1]
    points, temperature = parts.sorted_parts(scores, axis_name), jnp.asarray(operator.temperature)
    edges = _Edges(*(parts.everyone(points[..., end], axis_name) for end in (0, -1)))
    before = jnp.concatenate([_previous(edges.last, points[..., 0], me), points[..., :-1]], axis=-1)

    near = _anchors(points, before, temperature, axis_name)
    rows = jnp.stack([jnp.ones_like(points), points - near], axis=-2)
    up, up_before = _up(points, rows, edges, temperature, axis_name)
    down = _down(points, rows, edges, temperature, axis_name)
    cell, cell_before = _cells(up[..., 0, :], down[..., 0, :], axis_name)
    gap = laplace.distance(before, points, temperature)[..., None, :]
    stretch = -0.5 * jnp.expm1(-gap) * (up_before + down)
    whole = _in_cells(stretch, cell, cell_before, axis_name)

    k = me * m + lax.iota(jnp.int32, m + 1)
    below, to_last, to_first = _nearest(k, cell, axis_name)
    last = jnp.concatenate([points[..., None, :], up, whole], axis=-2)
    first = jnp.concatenate([points[..., None, :], down], axis=-2)
    last, first = _fetch(last, to_last, axis_name), _fetch(first, to_first, axis_name)
    # Where there is none, the nearest one.
    at = jnp.where(below > 0, last[..., 0, :], edges.first[..., :1])
    ahead = jnp.where(below < m * devices, first[..., 0, :], edges.last[..., -1:])
    excess = (k - below).astype(points.dtype)
    gaps = laplace.distance(at, ahead, temperature)
    left, right = laplace.crossing(excess, last[..., 1, :], first[..., 1, :], gaps)
    outermost, cutoff = (k == 0) | (k == m * devices), laplace.cutoff_of(points.dtype)
    left, right = (jnp.where(outermost, cutoff, side) for side in (left, right))
    ends = ahead[..., :-1], at[..., 1:]
    width = laplace.widths(k[1:], m * devices, below, (left, right), ends, temperature)

    points_in = (below[..., 1:] - below[..., :-1])[..., None, :]
    values = laplace.mixtures(
        points_in == 0,
        (left[..., None, :], right[..., None, :]),
        width[..., None, :],
        (last[..., 1:3, :], first[..., 1:3, :]),
        jnp.where(points_in >= 2, last[..., 3:5, 1:], 0.0),
    )
    return near + values[..., 0, :]


def _previous(ends: jax.Array, own: jax.Array, me: jax.Array) -> jax.Array:
    """What the device before this one has, `[..., 1]`; of the first device, its own."""
    found = lax.dynamic_index_in_dim(ends, jnp.maximum(me - 1, 0), axis=-1)
    return jnp.where(me > 0, found, own[..., None])


def _anchors(
    points: jax.Array, before: jax.Array, temperature: jax.Array, axis_name: str
) -> jax.Array:
    """The first point of the cluster of each point: as in `clusters`, sums are from there on."""
    points, before, temperature = lax.stop_gradient((points, before, temperature))
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    index = lax.broadcasted_iota(jnp.int32, points.shape, points.ndim - 1)
    new = (points - before > clusters.reach(points.dtype) * temperature) | (index + me == 0)
    latest = lax.cummax(jnp.where(new, index, -1), axis=points.ndim - 1)
    own = jnp.take_along_axis(points, jnp.maximum(latest, 0), axis=-1)
    theirs = parts.everyone(own[..., -1], axis_name)
    there = parts.everyone(latest[..., -1] >= 0, axis_name)
    number = lax.iota(jnp.int32, devices)
    one = jnp.max(jnp.where(there & (number < me), number, 0), axis=-1, keepdims=True)
    return jnp.where(latest >= 0, own, jnp.take_along_axis(theirs, one, axis=-1))


def _up(
    points: jax.Array, rows: jax.Array, edges: _Edges, temperature: jax.Array, axis_name: str
) -> tuple[jax.Array, jax.Array]:
    """Sums with decay from the left at each point, and at the point before each; zero if none."""
    me = lax.axis_index(axis_name)
    gap = laplace.distance(points[..., :-1], points[..., 1:], temperature)
    own = decaying.sums(jnp.exp(-gap)[..., None, :], rows)
    between = laplace.distance(edges.last[..., :-1], edges.last[..., 1:], temperature)
    ends = parts.everyone(own[..., -1], axis_name)
    ends = decaying.sums(jnp.exp(-between)[..., None, :], ends)
    ends = _previous(ends, jnp.zeros_like(ends[..., 0]), me)
    last = _previous(edges.last, points[..., 0], me)
    sums = own + ends * jnp.exp(-laplace.distance(last, points, temperature))[..., None, :]
    return sums, jnp.concatenate([ends, sums[..., :-1]], axis=-1)


def _down(
    points: jax.Array, rows: jax.Array, edges: _Edges, temperature: jax.Array, axis_name: str
) -> jax.Array:
    """Sums with decay from the right at each point."""
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    gap = laplace.distance(points[..., :-1], points[..., 1:], temperature)
    own = decaying.sums(jnp.exp(-gap)[..., None, :], rows, reverse=True)
    between = laplace.distance(edges.first[..., :-1], edges.first[..., 1:], temperature)
    ends = parts.everyone(own[..., 0], axis_name)
    ends = decaying.sums(jnp.exp(-between)[..., None, :], ends, reverse=True)
    further = devices - 1 - me
    ends = _previous(jnp.flip(ends, axis=-1), jnp.zeros_like(ends[..., 0]), further)
    first = _previous(jnp.flip(edges.first, axis=-1), points[..., -1], further)
    return own + ends * jnp.exp(-laplace.distance(points, first, temperature))[..., None, :]


def _cells(low: jax.Array, high: jax.Array, axis_name: str) -> tuple[jax.Array, jax.Array]:
    """The cell of each point, and of the point before each; -1 if none."""
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    m, axis = low.shape[-1], low.ndim - 1
    offset = jnp.ceil(0.5 * (1.0 + (high - low))).astype(jnp.int32) - 1
    index = lax.broadcasted_iota(jnp.int32, low.shape, axis) + me * m
    cell = lax.cummax(jnp.clip(index + offset, 0, m * devices - 1), axis=axis)
    ends = parts.everyone(cell[..., -1], axis_name)
    earlier = jnp.where(lax.iota(jnp.int32, devices) < me, ends, -1).max(axis=-1, keepdims=True)
    cell = jnp.maximum(cell, earlier)
    return cell, jnp.concatenate([earlier, cell[..., :-1]], axis=-1)


def _in_cells(
    stretch: jax.Array, cell: jax.Array, cell_before: jax.Array, axis_name: str
) -> jax.Array:
    """Sums what stretches before points add, from the first point of each cell on."""
    me = lax.axis_index(axis_name)
    same = (cell == cell_before).astype(stretch.dtype)[..., None, :]
    own = decaying.sums(same[..., 1:], same * stretch)
    cells = parts.everyone(cell[..., -1], axis_name)
    kept = (cells[..., 1:] == cells[..., :-1]).astype(stretch.dtype)[..., None, :]
    ends = decaying.sums(kept, parts.everyone(own[..., -1], axis_name))
    ends = _previous(ends, jnp.zeros_like(ends[..., 0]), me)
    return own + ends * (cell == cell_before[..., :1]).astype(stretch.dtype)[..., None, :]


class _Places(NamedTuple):
    """The device of each point, and its index there."""

    device: jax.Array
    place: jax.Array


def _nearest(k: jax.Array, cell: jax.Array, axis_name: str) -> tuple[jax.Array, _Places, _Places]:
    """Finds the points next to thresholds: those below k have a cell less than k.

    Args:
      k: Ascending thresholds, `[t]`.
      cell: The cell of each point, `[..., m]`.
      axis_name: The axis of the mesh.

    Returns:
      How many points lie below `[..., t]`, where the last of them is, and where the first point
      above. The device is -1 or the number of devices if there is none.
    """
    devices, me, m = lax.axis_size(axis_name), lax.axis_index(axis_name), cell.shape[-1]
    shape = (*cell.shape[:-1], len(k))

    def look(carry: tuple, step: jax.Array) -> tuple[tuple, None]:
        cell, below, last, first = carry
        device = (me - step) % devices
        count = _count_below(cell, k)
        here = _Places(jnp.full(shape, device, jnp.int32), count - 1)
        last = _where((count > 0) & (device > last.device), here, last)
        here = _Places(jnp.full(shape, device, jnp.int32), count)
        first = _where((count < m) & (device < first.device), here, first)
        return (parts.send(cell, axis_name, 1), below + count, last, first), None

    zeros = jnp.zeros(shape, jnp.int32)
    found = zeros, _Places(zeros - 1, zeros), _Places(zeros + devices, zeros)
    start = meshes.vary_alike(cell, *found)
    (_, below, last, first), _ = lax.scan(look, start, jnp.arange(devices, dtype=jnp.int32))
    return below, last, first


def _where(condition: jax.Array, yes: _Places, no: _Places) -> _Places:
    return _Places(*(jnp.where(condition, one, other) for one, other in zip(yes, no, strict=True)))


def _fetch(x: jax.Array, at: _Places, axis_name: str) -> jax.Array:
    """Gets `[..., c, t]` of what all devices have `[..., c, m]`; zeros from no device.

    It is linear, so the gradient keeps the places and none of what passes by.
    """
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    index = jnp.broadcast_to(at.place[..., None, :], (*x.shape[:-1], at.place.shape[-1]))

    def look(carry: tuple, step: jax.Array) -> tuple[tuple, None]:
        x, found = carry
        here = (at.device == (me - step) % devices)[..., None, :]
        found = jnp.where(here, jnp.take_along_axis(x, index, axis=-1, mode="clip"), found)
        return (parts.send(x, axis_name, 1), found), None

    start = meshes.vary_alike(x, jnp.zeros(index.shape, x.dtype))
    return lax.scan(look, start, jnp.arange(devices, dtype=jnp.int32))[0][1]


def _count_below(cell: jax.Array, k: jax.Array) -> jax.Array:
    flat = cell.reshape(-1, cell.shape[-1])
    counts = jax.vmap(lambda row: jnp.searchsorted(row, k))(flat)
    return counts.reshape(*cell.shape[:-1], len(k)).astype(jnp.int32)
