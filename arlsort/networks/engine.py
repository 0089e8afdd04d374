# SPDX-License-Identifier: Apache-2.0
"""Runs the values on the wires through a network, layer by layer.

Wires come first, `[wires, ...]`, so that a layer moves whole rows and computes along the rest. All
steps of a stage have one shape (`topology.Schedule`), so that a scan compiles one of them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax

from arlsort.networks import topology
from arlsort.networks.swaps import Swap
from arlsort.numerics import meshes


class Comparator(Protocol):
    """The interface of a comparator in a network; `Swap` also moves rows."""

    def scores(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Gives the new scores on the first and the last wire of each pair.

        The smaller one goes along the first wire where the sign is 1, along the last where it is
        -1. Where it is 0 nothing is to be compared: a and b may be copies of one another, and what
        comes of them has no effect but through a gradient that is not finite.
        """
        ...


Wires = tuple[jax.Array, ...]
"""Scores `[wires, lanes...]`, and perhaps rows `[wires, d, lanes...]` that travel with them."""

# What a pass may keep for its gradient, in numbers, before it computes segments of its layers again
# in the backward pass instead.
_KEPT = 2**26

# From so many lanes on, a loop of scores has two layers in its body, which saves a copy. With fewer
# lanes wires that move are not read in vectors: scores are compared first, once each.
_LANES = 8


def run(swap: Comparator, network: str, wires: Wires, count: jax.Array | None = None) -> Wires:
    """Sends scores and rows `[n, ...]`, n >= 2, through all layers of a network.

    With a count it is the network on so many wires, the first ones: comparators and layers that it
    does not have are left out, and what is on the other wires stays there.

    Args:
      swap: The comparator.
      network: One of `topology.NETWORKS`.
      wires: Scores `[n, lanes]`, and perhaps rows `[n, d, lanes]`.
      count: How many wires there are, `[lanes]` or a scalar; None for n.

    Returns:
      Arrays of the same shapes.
    """
    n = wires[0].shape[0]
    wires = meshes.vary_alike(*wires)
    if network == "odd_even":
        return _brick(swap, wires, count)
    if count is not None:
        return _counted(swap, network, wires, count)
    plan = topology.schedule(network, n)
    after = plan.wires - plan.absent - n
    if plan.wires > n:
        # With copies of what is there: a comparator of the user's may be asked about them.
        wires = tuple(
            jnp.pad(w, ((plan.absent, after), *((0, 0),) * (w.ndim - 1)), mode="edge")
            for w in wires
        )
    for signs in plan.signs:
        wires = stage(swap, signs, wires, across=plan.across)
    return tuple(lax.slice_in_dim(w, plan.absent, plan.absent + n) for w in wires)


def _counted(swap: Comparator, network: str, wires: Wires, count: jax.Array) -> Wires:
    """A network by powers of two on the first `count` wires, which differ from lane to lane.

    It is the part of the largest one that these wires make up: its first stages, on the block that
    they fill from its beginning, or, bitonic, from its end.
    """
    n = wires[0].shape[0]
    stages = jnp.asarray([max(m - 1, 0).bit_length() for m in range(n + 1)], jnp.int32)[count]
    plan = topology.schedule(network, 1 << (n - 1).bit_length())
    start, end = jnp.zeros_like(count), count
    if network == "bitonic":
        end = jnp.left_shift(jnp.ones_like(count), stages)
        start = end - count
    wires = tuple(
        jnp.pad(w, ((0, plan.wires - n), *((0, 0),) * (w.ndim - 1)), mode="edge") for w in wires
    )
    wires = tuple(_shifted(w, start) for w in wires)
    lift = (1,) * count.ndim
    for number, (signs, ends) in enumerate(zip(plan.signs, plan.ends, strict=True)):
        first, last = (jnp.asarray(e).reshape(*e.shape, *lift) for e in (ends[:, 0], ends[:, 1]))
        inside = (first >= start[None, None]) & (last < end[None, None])
        inside &= number < stages[None, None]
        table = jnp.where(inside, jnp.asarray(signs).reshape(*signs.shape, *lift), 0)
        wires = stage(swap, table, wires, across=plan.across)
    return tuple(_shifted(w, -start)[:n] for w in wires)


def _shifted(w: jax.Array, by: jax.Array) -> jax.Array:
    """Rolls the wires `[wires, ..., lanes]` down, by a number for each lane."""
    index = lax.broadcasted_iota(jnp.int32, (len(w), *by.shape), 0)
    index = (index - by[None]) % len(w)
    between = w.ndim - by.ndim - 1
    if by.ndim:
        index = jnp.expand_dims(index, tuple(range(1, 1 + between)))
        return jnp.take_along_axis(w, index, axis=0)
    return jnp.take(w, index, axis=0)


def stage(swap: Comparator, signs: np.ndarray | jax.Array, wires: Wires, *, across: bool) -> Wires:
    """Sends arrays `[wires, ...]` through one stage of a network by powers of two.

    Args:
      swap: The comparator.
      signs: `[layers, wires / 2, ...]`, of `topology.Schedule`; more dimensions meet the lanes.
      wires: The arrays.
      across: Whether all steps but the first compare across.
    """
    layers, size = len(signs), wires[0].shape[0]
    blocks = size >> layers
    lanes = math.prod(wires[0].shape[1:])
    few = len(wires) == 1 and not export.is_symbolic_dim(lanes) and lanes < _LANES
    unroll = 2 if len(wires) == 1 and not few else 1
    halves = tuple(_turn(w, blocks).reshape(2, size // 2, *w.shape[1:]) for w in wires)

    def step(compare: Callable[..., Wires]) -> Callable[..., tuple[Wires, None]]:
        def body(halves: Wires, sign: jax.Array) -> tuple[Wires, None]:
            halves = compare(swap, halves, sign, apart=few)
            # The half becomes the last bit of the index: the bit below it is the next half.
            return tuple(h.swapaxes(0, 1).reshape(h.shape) for h in halves), None

        return body

    table = jnp.asarray(signs)
    if across:
        halves, _ = step(_near)(halves, table[0])
        if layers > 1:
            halves, _ = lax.scan(step(_across), halves, table[1:], unroll=unroll)
    else:
        halves, _ = lax.scan(step(_near), halves, table, unroll=unroll)
    return tuple(h.reshape(w.shape) for h, w in zip(halves, wires, strict=True))


def _turn(w: jax.Array, blocks: int) -> jax.Array:
    """Moves the bits of the index that tell the block to its end."""
    return w.reshape(blocks, len(w) // blocks, *w.shape[1:]).swapaxes(0, 1)


def _brick(swap: Comparator, wires: Wires, count: jax.Array | None) -> Wires:
    """Neighbours in turn: one half has the even wires, the other the odd ones."""
    n = wires[0].shape[0]
    half = (n + 1) // 2
    near = jnp.asarray(np.arange(half) < n // 2)
    across = jnp.asarray(np.arange(half) < (n - 1) // 2)

    def there(pairs: jax.Array, layer: Any, after: int) -> jax.Array:
        """Which pairs of a layer there are; the second wire of pair j is `2 j + after`."""
        if count is None:
            return pairs
        lift = (1,) * count.ndim
        second = lax.broadcasted_iota(jnp.int32, (half, *lift), 0) * 2 + after
        inside = (second < count[None]) & (layer < count[None])
        return pairs.reshape(half, *lift) & inside

    def split(w: jax.Array) -> jax.Array:
        w = jnp.pad(w, ((0, n % 2), *((0, 0),) * (w.ndim - 1)), mode="edge")
        return w.reshape(half, 2, *w.shape[1:]).swapaxes(0, 1)

    def pair(halves: Wires, index: jax.Array | None) -> tuple[Wires, None]:
        layer = 0 if index is None else 2 * index
        halves = _near(swap, halves, there(near, layer, 1))
        return _across(swap, halves, there(across, layer + 1, 2)), None

    halves = tuple(split(w) for w in wires)
    pairs = n // 2
    kept = sum(math.prod(w.shape) for w in halves) * n
    many = export.is_symbolic_dim(kept) or kept > _KEPT
    inner = max(1, math.isqrt(pairs)) if many else 1

    def segment(halves: Wires, indices: jax.Array | None) -> tuple[Wires, None]:
        return lax.scan(pair, halves, indices, length=inner)

    indices = None if count is None else jnp.arange(pairs)
    if inner > 1:
        together = pairs // inner * inner
        some = None if indices is None else indices[:together].reshape(-1, inner)
        halves, _ = lax.scan(jax.checkpoint(segment), halves, some, length=pairs // inner)
        indices = None if indices is None else indices[together:]
        pairs %= inner
    halves, _ = lax.scan(pair, halves, indices, length=pairs)
    if n % 2:
        halves = _near(swap, halves, there(near, n - 1, 1))
    return tuple(h.swapaxes(0, 1).reshape(2 * half, *h.shape[2:])[:n] for h in halves)


def _near(swap: Comparator, halves: Wires, sign: jax.Array, *, apart: bool = False) -> Wires:
    """Compares wire j of the first half with wire j of the second."""
    first, last = _compare(swap, halves, sign, apart)
    return tuple(jnp.stack(pair) for pair in zip(first, last, strict=True))


def _across(swap: Comparator, halves: Wires, sign: jax.Array, *, apart: bool = False) -> Wires:
    """Compares wire j of the second half with wire j + 1 of the first."""
    turned = tuple((h[1], jnp.roll(h[0], -1, axis=0)) for h in halves)
    first, last = _compare(swap, turned, sign, apart)
    pairs = zip(first, last, strict=True)
    return tuple(jnp.stack([jnp.roll(b, 1, axis=0), a]) for a, b in pairs)


def _compare(
    swap: Comparator, pairs: Sequence[Any], sign: jax.Array, apart: bool
) -> tuple[list[jax.Array], list[jax.Array]]:
    a, b = pairs[0][0], pairs[0][1]
    # One column for each pair, with as many dimensions as there are lanes.
    sign = sign.astype(a.dtype).reshape(*sign.shape, *(1,) * (a.ndim - sign.ndim))
    scores = swap.scores(a, b, sign)
    if apart:  # or else each of the two is compared again where it is moved
        scores = lax.optimization_barrier(scores)
    first, last = ([score] for score in scores)
    for row in pairs[1:]:
        assert isinstance(swap, Swap)
        mixed = swap.rows(a[:, None], b[:, None], sign[:, None], row[0], row[1])
        first.append(mixed[0])
        last.append(mixed[1])
    return first, last
