# SPDX-License-Identifier: Apache-2.0
"""The permutation of a network by powers of two, from the weights of its comparators.

Sent through the layers, an n x n matrix would be read and written once for each of them. But what
one stage does to a block of `2 m` wires is one matrix, and both kinds of stage build theirs from
products alone: from an input to an output leads a single path, so each entry is the product of the
weights along it. Before the stage the permutation is two blocks of m; after it, one of `2 m`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import export, lax

from arlsort.networks import comparators, engine, merging_across, merging_bitonic, topology
from arlsort.networks.swaps import Swap

# Lists of this many wires at most go through the layers themselves: there, products are slower.
_SMALL = 16
# Lists whose permutations are computed together have about this many weights: as much as stays in
# the cache. Their intermediate results are computed again for the gradient.
_TOGETHER = 2**19


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

    def through_layers(scores: jax.Array) -> jax.Array:
        unit = jnp.broadcast_to(jnp.eye(n, dtype=scores.dtype)[..., None], (n, n, scores.shape[0]))
        return jnp.moveaxis(engine.run(swap, network, (scores.T, unit))[1], -1, 0)

    if plan.wires <= _SMALL:
        return through_layers(scores)
    if swap.error_free:
        # Its weights are products of exact weights, its gradient is not: rows pass back softly.
        return _in_parts(through_layers, scores, 0, lists, plan.wires)
    after = plan.wires - plan.absent - n
    wires = jnp.pad(scores.T, ((plan.absent, after), (0, 0)))
    kept = comparators.weights(swap, network, wires, n)
    join = merging_across.join if plan.across else merging_bitonic.join

    def own(kept: jax.Array) -> jax.Array:
        inside = slice(plan.absent, plan.absent + n)
        return join(kept)[:, inside, inside]

    return _in_parts(own, kept, 3, lists, plan.wires)


def _in_parts(
    function: Callable[[Any], jax.Array], argument: jax.Array, axis: int, lists: int, n: int
) -> jax.Array:
    """Maps over groups of lists, if one of all of them would not stay in the cache."""
    together = max(1, _TOGETHER // (n * n))
    if export.is_symbolic_dim(lists) or together >= lists:
        return function(argument)
    whole = lists // together * together
    some, rest = lax.split(argument, (whole, lists - whole), axis)
    shape = (*some.shape[:axis], whole // together, together, *some.shape[axis + 1 :])
    mapped = lax.map(jax.checkpoint(function), jnp.moveaxis(some.reshape(shape), axis, 0))
    result = mapped.reshape(whole, *mapped.shape[2:])
    return result if whole == lists else jnp.concatenate([result, function(rest)])
