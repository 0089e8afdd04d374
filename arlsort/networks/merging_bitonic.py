# SPDX-License-Identifier: Apache-2.0
"""Permutations of bitonic networks, joined from those of their blocks.

Bits of a wire's index are the coordinates of a cube, and a layer compares along one of them. On the
way through a stage the bits of the output take the place of the input's, one after another. So a
weight on the way depends on the first bits of the output and on the last ones of the input, and
the matrix of a stage is one product of arrays that are broadcast.

A stage of a large block is two matrices in turn, each of few wires: the layers with wide gaps, and
those with gaps below about the root of the number of wires. The latter are alike in all stages and
are built together.
"""

import jax
import jax.numpy as jnp
from jax import lax

# Up to this block all lists are side by side in the last dimension, and sums are over few terms.
_SIDE_BY_SIDE = 8


def join(kept: jax.Array) -> jax.Array:
    """Gives the permutation `[lists, wires, wires]`.

    Args:
      kept: The weights of comparators, `[layers, 2, wires / 2, lists]`, of `comparators.weights`.
    """
    half, lists = kept.shape[2:]
    wires = 2 * half
    stages = wires.bit_length() - 1
    low = min(wires, max(_SIDE_BY_SIDE, 1 << (stages // 2)))
    narrow = low.bit_length() - 1  # layers that act within `low` wires
    # By bit of the output and bit of the input: [layers, 2, 2, pairs, lists].
    keep, move = kept[:, 0], kept[:, 1]
    square = jnp.stack([keep, move, move, keep], axis=1).reshape(len(kept), 2, 2, half, lists)
    sizes: list[int] = []
    for count in range(1, stages + 1):
        sizes += (count,) if count <= narrow else (count - narrow, narrow)
    parts = iter(lax.split(square, sizes))
    blocks, size = next(parts)[0], 2  # [2, 2, wires / 2, lists]
    while size < min(wires, _SIDE_BY_SIDE):
        blocks, size = _join_side_by_side(blocks, next(parts)), 2 * size
    joined = blocks.transpose(3, 2, 0, 1)  # [lists, blocks, size, size]
    while size < low:
        joined, size = _join_whole(joined, next(parts)), 2 * size
    if size == wires:
        return joined[:, 0]
    wide, inner = zip(*[(next(parts), next(parts)) for _ in range(stages - narrow)], strict=True)
    # [stages, lists, wires / low, low, low]
    within = _paths(jnp.stack(inner), 1).transpose(2, 5, 3, 4, 0, 1)[:, :, :, 0]
    for number, outer in enumerate(wide):
        joined = _join_twice(joined, outer, within[number])
    return joined[:, 0]


def _paths(layers: jax.Array, low: int) -> jax.Array:
    """Multiplies the weights along the way from each input to each output.

    Args:
      layers: `[stages, layers, 2, 2, pairs, lists]`, with gaps from the largest down to `low`.
      low: So many neighbouring wires are in matrices of their own.

    Returns:
      `[size, size, stages, blocks, low, lists]`, output before input, of blocks of `size * low`
      wires, `size = 2 ** layers`.
    """
    stages, count, _, _, pairs, lists = layers.shape
    blocks = 2 * pairs // (low << count)
    ones = [(1,) * k for k in range(count)]
    product: jax.Array | None = None
    for k, layer in enumerate(jnp.unstack(layers, axis=1)):
        after = count - 1 - k
        layer = layer.reshape(stages, 2, 2, blocks, 1 << k, 1 << after, low, lists)
        layer = layer.transpose(4, 1, 2, 5, 0, 3, 6, 7)
        bits = (*(2,) * k, 2, *ones[after], *ones[k], 2, *(2,) * after)
        layer = layer.reshape(*bits, stages, blocks, low, lists)
        product = layer if product is None else product * layer
    assert product is not None
    return product.reshape(1 << count, 1 << count, stages, blocks, low, lists)


def _join_side_by_side(blocks: jax.Array, layers: jax.Array) -> jax.Array:
    """Joins blocks `[m, m, blocks, lists]` in pairs."""
    m, _, count, lists = blocks.shape
    matrix = _paths(layers[None], 1).reshape(2 * m, 2, m, 1, count // 2, lists)
    # [1, half, input, column, pairs, lists]
    halves = blocks.reshape(1, m, m, count // 2, 2, lists).transpose(0, 4, 1, 2, 3, 5)
    return (matrix * halves).sum(axis=2).reshape(2 * m, 2 * m, count // 2, lists)


def _join_whole(blocks: jax.Array, layers: jax.Array) -> jax.Array:
    """Joins blocks `[lists, blocks, m, m]` in pairs by one product for each."""
    lists, count, m, _ = blocks.shape
    matrix = _paths(layers[None], 1).reshape(2 * m, 2, m, count // 2, lists)
    matrix = matrix.transpose(4, 3, 1, 0, 2).reshape(lists * count, 2 * m, m)
    joined = _einsum("brs,bsc->brc", matrix, blocks.reshape(lists * count, m, m))
    joined = joined.reshape(lists, count // 2, 2, 2 * m, m).swapaxes(2, 3)
    return joined.reshape(lists, count // 2, 2 * m, 2 * m)


def _join_twice(blocks: jax.Array, layers: jax.Array, within: jax.Array) -> jax.Array:
    """Joins blocks `[lists, blocks, m, m]` in pairs: wide gaps, then `[lists, ..., low, low]`."""
    lists, count, m, _ = blocks.shape
    pairs, low = count // 2, within.shape[-1]
    high = 2 * m // low
    outer = _paths(layers[None], low).reshape(high, 2, high // 2, pairs, low, lists)
    outer = outer.transpose(5, 3, 0, 2, 4, 1)  # [lists, pairs, output, input, low, half]
    halves = blocks.reshape(lists, pairs, 2, high // 2, low, m)
    spread = _einsum("lpijst,lptjsc->lpistc", outer, halves)
    spread = spread.reshape(lists * pairs * high, low, 2 * m)
    joined = _einsum("brs,bsc->brc", within.reshape(lists * pairs * high, low, low), spread)
    return joined.reshape(lists, pairs, 2 * m, 2 * m)


def _einsum(equation: str, a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.einsum(equation, a, b, precision=lax.Precision.HIGHEST)
