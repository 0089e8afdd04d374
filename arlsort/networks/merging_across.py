# SPDX-License-Identifier: Apache-2.0
"""Permutations of odd-even merging networks, joined from those of their blocks.

The wires of a stage rotate, as `topology.Schedule` has it: after each layer the next lower bit of
the index comes first. So all layers of a stage but the first are one step, which a scan compiles
once. The columns of a block are those of its own wires alone, twice as many after each stage.
"""

import jax
import jax.numpy as jnp
from jax import lax

# Up to this block all lists are side by side in the last dimension.
_SIDE_BY_SIDE = 16


def join(kept: jax.Array) -> jax.Array:
    """Gives the permutation `[lists, wires, wires]`.

    Args:
      kept: The weights of comparators, `[layers, 2, wires / 2, lists]`, of `comparators.weights`.
    """
    half, lists = kept.shape[2:]
    wires = 2 * half
    stages = lax.split(kept, range(1, wires.bit_length()))
    rows = jnp.ones((wires, 1, lists), kept.dtype)
    together = min(wires, _SIDE_BY_SIDE).bit_length() - 1
    for layers in stages[:together]:
        rows = _join(rows, layers)
    rows = jnp.moveaxis(rows, -1, 0)
    for layers in stages[together:]:
        rows = jax.vmap(_join, (0, 3))(rows, layers)
    return rows


def _join(rows: jax.Array, layers: jax.Array) -> jax.Array:
    """Joins blocks in pairs.

    Args:
      rows: Permutations of blocks of m wires, `[wires, m, ...]`.
      layers: Weights of the comparators of each layer, `[layers, 2, wires / 2, ...]`.

    Returns:
      Permutations of blocks of `2 m` wires, `[wires, 2 m, ...]`.
    """
    wires, m, *lists = rows.shape
    layers = layers[:, :, :, None]  # one weight for each row
    keep, move = layers[0]
    # By the half before and after the layer, by the wire in its half and the block.
    weights = jnp.stack([keep, move, move, keep], axis=1)
    weights = weights.reshape(m, wires // (2 * m), 2, 2, 1, *lists)
    halves = rows.reshape(1, wires // (2 * m), 2, m, m, *lists)
    halves = jnp.moveaxis(halves, 3, 0).reshape(m, wires // (2 * m), 1, 2, m, *lists)
    rows = (weights * halves).reshape(2, wires // 2, 2 * m, *lists)

    def layer(rows: jax.Array, weights: jax.Array) -> tuple[jax.Array, None]:
        first, last = rows[1], jnp.roll(rows[0], -1, axis=0)
        keep, move = weights
        first, last = keep * first + move * last, move * first + keep * last
        # The half becomes the last bit of the index: the bit below it is the next half.
        rows = jnp.stack([jnp.roll(last, 1, axis=0), first], axis=1)
        return rows.reshape(2, wires // 2, 2 * m, *lists), None

    rows, _ = lax.scan(layer, rows, layers[1:])
    return rows.reshape(wires, 2 * m, *lists)
