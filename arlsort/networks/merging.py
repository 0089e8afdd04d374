# SPDX-License-Identifier: Apache-2.0
"""The permutation of a network by powers of two, from the weights of its comparators.

Sent through the layers, an n x n matrix would be read and written once for each of them. But what
one stage does to a block of `2 m` wires is one matrix, and both kinds of stage build theirs from
products alone: from an input to an output leads a single path, so each entry is the product of the
weights along it. Before the stage the permutation is two blocks of m; after it, one of `2 m`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax

from arlsort.networks import engine, topology
from arlsort.networks.swaps import Swap

# Blocks of this many wires go through the layers themselves: there, products are slower.
_SMALL = 16
# From this block on, a bitonic stage is two products of narrow matrices instead of one of wide.
_TWICE = 128
# Lists whose permutations are computed together have about this many weights: as much as stays in
# the cache. Their intermediate results are computed again for the gradient.
_TOGETHER = 2**18


def permutation(swap: Swap, network: str, scores: jax.Array) -> jax.Array:
    """Gives the soft permutation of a network by powers of two.

    Args:
      swap: The comparator.
      network: `"bitonic"` or `"odd_even_merge"`.
      scores: `[lists, n]`, n >= 2.

    Returns:
      Weights `[lists, n, n]`.
    """
    lists, n = scores.shape
    if lists == 0:
        return jnp.zeros((0, n, n), scores.dtype)
    plan = topology.schedule(network, n)
    size = min(plan.wires, _SMALL)

    def through_layers(scores: jax.Array) -> jax.Array:
        unit = jnp.broadcast_to(jnp.eye(n, dtype=scores.dtype)[..., None], (n, n, scores.shape[0]))
        return jnp.moveaxis(engine.run(swap, network, (scores.T, unit))[1], -1, 0)

    if plan.wires == size:
        return through_layers(scores)
    if swap.error_free:
        # Its weights are products of exact weights, its gradient is not: rows pass back softly.
        return _in_parts(through_layers, scores, lists, plan.wires)
    after = plan.wires - plan.absent - n
    wires = jnp.pad(scores.T, ((plan.absent, after), (0, 0)))
    wires, blocks = _blocks(swap, plan, wires, size)
    weights = []  # of the comparators, by stages and layers: [lists, 2, block, high, low]
    for stage in range(size.bit_length() - 1, len(plan.signs)):
        (wires,), kept = engine.stage(
            swap, plan.signs[stage], (wires,), across=plan.across, keep=True
        )
        assert kept is not None
        weights.append(
            [
                kept[layer]
                .reshape(2, 1 << (stage - layer), plan.wires >> (stage + 1), 1 << layer, lists)
                .transpose(4, 0, 2, 3, 1)
                for layer in range(stage + 1)
            ]
        )
    merge = merge_across if plan.across else merge_bitonic

    def join(part: tuple[jax.Array, list[list[jax.Array]]]) -> jax.Array:
        whole, stages = part
        for layers in stages:
            whole = merge(whole, layers)
        own = slice(plan.absent, plan.absent + n)
        return whole[:, 0, own, own]

    return _in_parts(join, (blocks, weights), lists, plan.wires)


def _blocks(
    swap: Swap, plan: topology.Schedule, wires: jax.Array, size: int
) -> tuple[jax.Array, jax.Array]:
    """Sends blocks of wires through the stages that sort them, all blocks side by side.

    Returns:
      The wires, and the permutation of each block, `[lists, blocks, size, size]`.
    """
    count, lists = plan.wires // size, wires.shape[1]
    side = jnp.moveaxis(wires.reshape(count, size, lists), 0, 1)  # [size, blocks, lists]
    unit = jnp.eye(size, dtype=wires.dtype)[:, :, None, None]
    state: engine.Wires = side, jnp.broadcast_to(unit, (size, size, count, lists))
    for stage in range(size.bit_length() - 1):
        signs = np.stack(
            [
                # By `(low, block, high)`, where the block begins with that of `size` wires.
                row.reshape(1 << (stage - layer), count, -1, 1 << layer)
                .transpose(0, 2, 3, 1)
                .reshape(-1, count)
                for layer, row in enumerate(plan.signs[stage])
            ]
        )
        state, _ = engine.stage(swap, signs, state, across=plan.across)
    side, unit = state
    return jnp.moveaxis(side, 1, 0).reshape(wires.shape), unit.transpose(3, 2, 0, 1)


def _in_parts(
    function: Callable[[Any], jax.Array], arguments: Any, lists: int, n: int
) -> jax.Array:
    """Maps over groups of lists, if one of all of them would not stay in the cache."""
    together = max(1, _TOGETHER // (n * n))
    if export.is_symbolic_dim(lists) or together >= lists:
        return function(arguments)
    whole = lists // together * together

    def grouped(x: jax.Array) -> jax.Array:
        return x[:whole].reshape(lists // together, together, *x.shape[1:])

    mapped = lax.map(jax.checkpoint(function), jax.tree.map(grouped, arguments))
    result = mapped.reshape(whole, *mapped.shape[2:])
    if whole == lists:
        return result
    rest = function(jax.tree.map(lambda x: x[whole:], arguments))
    return jnp.concatenate([result, rest])


def merge_bitonic(blocks: jax.Array, layers: Sequence[jax.Array]) -> jax.Array:
    """Joins blocks in pairs by a bitonic stage.

    Args:
      blocks: Permutations of m wires, `[lists, 2 pairs, m, m]`.
      layers: Weights of the comparators of each layer, from gap m down to 1: `[lists, 2, pairs,
        high, low]`, for the wires `(high, 0, low)` and `(high, 1, low)`; first what stays, then
        what changes places.

    Returns:
      Permutations of `2 m` wires, `[lists, pairs, 2 m, 2 m]`.
    """
    lists, _, m, _ = blocks.shape
    pairs = layers[0].shape[2]
    parts = blocks.reshape(lists, pairs, 2, m, m)
    if 2 * m < _TWICE:
        keep, move = jnp.unstack(layers[0][:, :, :, 0], axis=1)  # [lists, pairs, m]
        first = jnp.stack([keep, move, move, keep], axis=2)
        first = first.reshape(lists, pairs, 2, 2, m, 1)  # by half after and half before
        rest = _paths(layers[1:], lists, pairs * 2).reshape(lists, pairs, 2, m, m)
        joined = _einsum("lphij,lphtjc->lphitc", rest, first * parts[:, :, None])
        return joined.reshape(lists, pairs, 2 * m, 2 * m)
    low = 1 << ((2 * m).bit_length() // 2 - 1)  # about the root of 2 m: both products are narrow
    high = 2 * m // low
    split = high.bit_length() - 1
    # Layers with gaps of at least `low` leave the position within `low` alone: one matrix for each.
    wide = [
        jnp.moveaxis(w.reshape(lists, 2, pairs, w.shape[3], -1, low), -1, 1).reshape(
            lists * low, 2, pairs, w.shape[3], -1
        )
        for w in layers[:split]
    ]
    outer = _paths(wide, lists * low, pairs).reshape(lists, low, pairs, high, 2, high // 2)
    spread = parts.reshape(lists, pairs, 2, high // 2, low, m)
    spread = _einsum("lspitj,lptjsc->lpsitc", outer, spread)
    inner = _paths(
        [w.reshape(lists, 2, pairs * high, -1, w.shape[4]) for w in layers[split:]],
        lists,
        pairs * high,
    ).reshape(lists, pairs, high, low, low)
    joined = _einsum("lpirs,lpsitc->lpirtc", inner, spread)
    return joined.reshape(lists, pairs, 2 * m, 2 * m)


def _paths(layers: Sequence[jax.Array], lists: int, blocks: int) -> jax.Array:
    """The matrices of bitonic layers on blocks of their own, `[lists, blocks, size, size]`."""
    size = 1 << len(layers)
    matrix = jnp.ones((lists, blocks * size, 1, 1), layers[0].dtype)
    for layer in reversed(layers):
        gap = layer.shape[-1]
        keep, move = jnp.unstack(layer.reshape(lists, 2, -1, 1, 1, gap), axis=1)
        halves = matrix.reshape(lists, -1, 2, gap, 1, gap)
        # Of the upper half of the outputs, the lower half of the inputs has swapped.
        weight = jnp.concatenate([keep, move], axis=3)
        upper, lower = halves[:, :, 0] * weight, halves[:, :, 1] * weight[:, :, :, ::-1]
        matrix = jnp.stack([upper, lower], axis=2).reshape(lists, -1, 2 * gap, 2 * gap)
    return matrix.reshape(lists, blocks, size, size)


def merge_across(blocks: jax.Array, layers: Sequence[jax.Array]) -> jax.Array:
    """Joins blocks in pairs by a stage of odd-even merging; see `merge_bitonic`.

    Layers after the first compare the wires `(high, 1, low)` and `(high + 1, 0, low)`.
    """
    lists, _, m, _ = blocks.shape
    pairs = layers[0].shape[2]
    # Wires of one remainder modulo m merge first: [lists, pairs, m].
    keep, move = jnp.unstack(layers[0][:, :, :, 0], axis=1)
    matrix = jnp.stack([keep, move, move, keep], axis=-1).reshape(lists, pairs, m, 2, 2)
    for layer in layers[1:]:
        low, size = layer.shape[-1], layer.shape[-2]
        # Position `high` of the even places and of the odd ones: [lists, pairs, low, high, high].
        even, odd = matrix[:, :, :low], matrix[:, :, low:]
        stay, leave = jnp.unstack(jnp.moveaxis(layer, -1, 3)[..., :-1, None], axis=1)
        # The first even place and the last odd one meet nobody.
        edge = jnp.ones_like(stay[..., :1, :])
        stay_even = jnp.concatenate([edge, stay], axis=-2)
        stay_odd = jnp.concatenate([stay, edge], axis=-2)
        leave_even = jnp.concatenate([jnp.zeros_like(edge), leave], axis=-2)
        leave_odd = jnp.concatenate([leave, jnp.zeros_like(edge)], axis=-2)
        from_odd = leave_even * jnp.roll(odd, 1, axis=-2)
        from_even = leave_odd * jnp.roll(even, -1, axis=-2)
        to_even = jnp.stack([stay_even * even, from_odd], axis=-1)
        to_odd = jnp.stack([from_even, stay_odd * odd], axis=-1)
        matrix = jnp.stack([to_even, to_odd], axis=-3)  # [..., high, bit, high, bit]
        matrix = matrix.reshape(lists, pairs, low, 2 * size, 2 * size)
    parts = blocks.reshape(lists, pairs, 2, m, m)
    joined = _einsum("lpitj,lptjc->lpitc", matrix.reshape(lists, pairs, 2 * m, 2, m), parts)
    return joined.reshape(lists, pairs, 2 * m, 2 * m)


def _einsum(equation: str, a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.einsum(equation, a, b, precision=lax.Precision.HIGHEST)
