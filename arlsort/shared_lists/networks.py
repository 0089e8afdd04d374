# SPDX-License-Identifier: Apache-2.0
"""Sorting networks of shared lists: comparators between devices exchange what is on their wires."""

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.networks.swaps import Swap
from arlsort.operators.sorting_network import SortingNetwork
from arlsort.shared_lists import parts


def by_powers(operator: SortingNetwork, scores: jax.Array, axis_name: str) -> jax.Array:
    """A network by powers of two; with pairs as `topology.layers` has them."""
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    swap, m = operator._swap(scores), scores.shape[-1]
    wire, merging = me * m + lax.iota(jnp.int32, m), operator.network == "odd_even_merge"
    for stage in range((m * devices).bit_length() - 1):
        falls = (wire & (2 << stage) != 0) & (not merging)
        up = jnp.where(falls, -1.0, 1.0).astype(scores.dtype)
        for bit in range(stage, -1, -1):
            gap, across = 1 << bit, merging and bit < stage
            if gap >= m:
                scores = _between(swap, scores, up, gap // m, (2 << stage) // m, across, axis_name)
            elif across:
                scores = _across(swap, scores, wire, gap, 2 << stage, axis_name)
            else:
                sign = up.reshape(m // (2 * gap), 2, gap)[:, 0]
                scores = _within(swap, scores, sign)
    return scores


def _within(swap: Swap, scores: jax.Array, sign: jax.Array) -> jax.Array:
    """Compares neighbouring runs of wires; the signs `[pairs, run]` tell how long they are."""
    halves = scores.reshape(*scores.shape[:-1], sign.shape[0], 2, sign.shape[1])
    a, b = halves[..., 0, :], halves[..., 1, :]
    both = swap.scores(a, b, jnp.broadcast_to(sign, a.shape))
    return jnp.stack(both, axis=-2).reshape(scores.shape)


def _between(
    swap: Swap,
    scores: jax.Array,
    up: jax.Array,
    gap: int,
    block: int,
    across: bool,
    axis_name: str,
) -> jax.Array:
    """Compares all wires of a device with those of the one that is a gap further."""
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    if across:
        firsts = [i for i in range(devices) if i & gap and i % block + gap < block]
    else:
        firsts = [i for i in range(devices) if not i & gap]
    pairs = [pair for i in firsts for pair in ((i, i + gap), (i + gap, i))]
    low = jnp.asarray([i in firsts for i in range(devices)])[me]
    high = jnp.asarray([i - gap in firsts for i in range(devices)])[me]
    other = lax.ppermute(scores, axis_name, pairs)
    a, b = jnp.where(low, scores, other), jnp.where(low, other, scores)
    first, last = swap.scores(a, b, jnp.broadcast_to(up, a.shape))
    return jnp.where(low, first, jnp.where(high, last, scores))


def _across(
    swap: Swap, scores: jax.Array, wire: jax.Array, gap: int, block: int, axis_name: str
) -> jax.Array:
    """Compares odd runs of a block with the even ones after them, also over the device's ends."""
    before = parts.send(scores[..., -gap:], axis_name, 1)
    after = parts.send(scores[..., :gap], axis_name, -1)
    first = (wire[0] - gap + lax.iota(jnp.int32, len(wire) + 2 * gap)).reshape(-1, 2, gap)[:, 0]
    sign = (first % block + gap < block).astype(scores.dtype)
    wires = jnp.concatenate([before, scores, after], axis=-1)
    return _within(swap, wires, sign)[..., gap:-gap]


def odd_even(operator: SortingNetwork, scores: jax.Array, axis_name: str) -> jax.Array:
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    swap, m = operator._swap(scores), scores.shape[-1]
    there = jnp.ones(m // 2 + 1, scores.dtype)
    there = there.at[0].set((me > 0).astype(scores.dtype))
    there = there.at[-1].set((me < devices - 1).astype(scores.dtype))

    def layer(x: jax.Array, signs: jax.Array) -> jax.Array:
        pairs = x.reshape(*x.shape[:-1], -1, 2)
        a, b = pairs[..., 0], pairs[..., 1]
        both = swap.scores(a, b, jnp.broadcast_to(signs, a.shape))
        return jnp.stack(both, axis=-1).reshape(x.shape)

    def two(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        x = layer(x, jnp.ones_like(there[1:]))
        before, after = parts.send(x[..., -1:], axis_name, 1), parts.send(x[..., :1], axis_name, -1)
        return layer(jnp.concatenate([before, x, after], axis=-1), there)[..., 1:-1], None

    return lax.scan(two, scores, length=m * devices // 2)[0]
