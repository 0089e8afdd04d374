# SPDX-License-Identifier: Apache-2.0
"""The weights of all comparators of a network by powers of two, from one loop over its layers.

The wires stay in their order, and a switch takes the pairs of a layer apart and puts them together
again. So the loop has one body, whatever the layer, and compiles in about the same time for every
length.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from arlsort.networks import topology
from arlsort.networks.swaps import Swap
from arlsort.numerics import meshes


def weights(swap: Swap, network: str, wires: jax.Array, n: int) -> jax.Array:
    """Gives the weights with which every comparator keeps and exchanges its scores.

    Args:
      swap: The comparator.
      network: `"bitonic"` or `"odd_even_merge"`.
      wires: Scores `[wires, lists]`, a power of two of them. Where lists have fewer, those that are
        absent stand where `topology.Schedule` puts them.
      n: The length of the lists.

    Returns:
      `[layers, 2, wires / 2, lists]`: first what stays, then what changes places. Pair `(high,
      low)` of a bitonic layer with the gap g, `low < g`, compares the wires `(high, 0, low)` and
      `(high, 1, low)`. In odd-even merging that is pair `(low, high)`, and across it compares
      `(high, 1, low)` and `(high + 1, 0, low)`. A pair without a comparator keeps all.
    """
    kinds, signs = _table(network, n)
    gaps = [1 << bit for bit in range(len(wires).bit_length() - 1)]
    ways = [(gap, False, False) for gap in gaps]
    if network == "odd_even_merge":
        ways = [(gap, True, across) for across in (False, True) for gap in gaps]
    apart = [functools.partial(_apart, *way) for way in ways]
    together = [functools.partial(_together, *way) for way in ways]

    def layer(x: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        kind, sign = now
        a, b = lax.switch(kind, apart, x)
        sign = sign.astype(x.dtype)[:, None]
        kept = swap.keep(a, b, sign)
        return lax.switch(kind, together, *swap.scores(a, b, sign)), kept

    (wires,) = meshes.vary_alike(wires)
    return lax.scan(layer, wires, (jnp.asarray(kinds), jnp.asarray(signs)))[1]


@functools.cache
def _table(network: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """How each layer takes its pairs apart, and its signs `[layers, wires / 2]`."""
    bits = (n - 1).bit_length()
    absent = (1 << bits) - n if network == "bitonic" else 0
    order = [(stage, bit) for stage in range(bits) for bit in range(stage, -1, -1)]
    kinds = np.zeros(len(order), np.int32)
    signs = np.zeros((len(order), 1 << (bits - 1)), np.int8)
    for row, ((stage, bit), pairs) in enumerate(
        zip(order, topology.layers(network, n), strict=True)
    ):
        across = network == "odd_even_merge" and bit < stage
        first = pairs.min(axis=1) + absent - (across << bit)
        high, low = first >> (bit + 1), first % (1 << bit)
        place = (high << bit) + low
        if network == "odd_even_merge":
            place = (low << (bits - 1 - bit)) + high
        signs[row, place] = np.where(pairs[:, 0] < pairs[:, 1], 1, -1)
        kinds[row] = bit + across * bits
    return kinds, signs


def _apart(gap: int, turned: bool, across: bool, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gives the first and the last wires of the pairs, `[wires / 2, lists]` each."""
    if across:
        x = jnp.roll(x, -gap, axis=0)
    x = x.reshape(-1, 2, gap, x.shape[1])
    first, last = jnp.unstack(jnp.moveaxis(x, 2, 0) if turned else x, axis=2 if turned else 1)
    return first.reshape(-1, x.shape[-1]), last.reshape(-1, x.shape[-1])


def _together(gap: int, turned: bool, across: bool, first: jax.Array, last: jax.Array) -> jax.Array:
    lists = first.shape[1]
    if turned:
        x = jnp.stack([w.reshape(gap, -1, lists) for w in (first, last)], axis=2)
        x = jnp.moveaxis(x, 0, 2)
    else:
        x = jnp.stack([w.reshape(-1, gap, lists) for w in (first, last)], axis=1)
    x = x.reshape(-1, lists)
    return jnp.roll(x, gap, axis=0) if across else x
