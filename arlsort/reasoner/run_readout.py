# SPDX-License-Identifier: Apache-2.0
"""From the steps of a soft run to a soft permutation.

Output pointers say for each element what precedes it, and no more: what stands where is not theirs
to say. The steps of the run say it. Insertion sort's say into which slot each element goes among
those before it; of independent insertions the positions follow exactly, and what they make is a
mixture of permutations, so doubly stochastic. Bubble sort's say, at the end of each pass, which
element has come to stay at the place that the pass fills.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp

from arlsort.numerics import meshes
from arlsort.reasoner.config import POINTER, algorithm_spec
from arlsort.reasoner.readout import balance

Array = jax.Array

_EPSILON: Final = 1e-9  # what is this unlikely is not told apart
_PRODUCT_FLOOR: Final = 1e-12


def both(first: Array, second: Array) -> Array:
    """What two soft permutations agree on: their product, balanced to be doubly stochastic.

    Args:
      first: ``[..., n, n]``.
      second: ``[..., n, n]``.
    """
    logs = jnp.log(first + _PRODUCT_FLOOR) + jnp.log(second + _PRODUCT_FLOOR)
    return balance(jax.nn.softmax(logs, axis=-1))


def pick_insertions(hints: Mapping[str, Array], step: Array) -> dict[str, Array]:
    """What says where the element of a step goes: its own row of the pointers, and the mark."""
    own = jax.lax.dynamic_index_in_dim(hints["pred_h"], step + 1, axis=-2, keepdims=False)
    return {"pred_h": own, "i": hints["i"]}


def read_insertions(log_hints: Mapping[str, Array]) -> Array:
    """The permutation that insertion sort's steps make, as if they were independent.

    Two hints say where an element goes: ``pred_h``, what it is put behind, and ``i``, what it takes
    the place of. In a cluster of near-equal keys each alone says little of the slot, since any of
    them may be the last or the first; the slot is where both lead, their harmonic mean, which is
    never much more than the smaller one: what leaks past it does not grow from step to step.

    Args:
      log_hints: log weights ``[..., n - 1, n]``, at each step what :func:`pick_insertions` picks.

    Returns:
      ``P[..., n, n]``, row k the distribution of the element at ascending position k.
    """
    n = log_hints["i"].shape[-1]
    elements = jnp.arange(1, n)
    behind = jnp.exp(log_hints["pred_h"])
    displaced = jnp.exp(log_hints["i"])
    places = jnp.broadcast_to(jnp.arange(n), (*displaced.shape[:-2], n))

    def insert(weights: Array, at: tuple[Array, Array, Array]) -> tuple[Array, None]:
        element, behind, displaced = at
        own, older = places == element, places < element

        def at_places(pointed: Array) -> Array:  # of older elements
            return jnp.einsum("...ki,...i->...k", weights, jnp.where(older, pointed, 0.0))

        first = jnp.sum(jnp.where(own, behind, 0.0), axis=-1, keepdims=True)  # behind itself
        after = jnp.concatenate([first, at_places(behind)[..., :-1]], axis=-1)
        before = at_places(displaced) + jnp.where(own, displaced, 0.0)
        after, before = after + _EPSILON, before + _EPSILON
        slot = jnp.where(own | older, after * before / (after + before), 0.0)
        slot = slot / jnp.sum(slot, axis=-1, keepdims=True)
        # What stands at a place stays for later slots; 1 - moves would be lost to rounding.
        later = jnp.flip(jnp.cumsum(jnp.flip(slot[..., 1:], -1), axis=-1), -1)
        stays = jnp.concatenate([later, jnp.zeros_like(slot[..., :1])], axis=-1)
        moves = jnp.cumsum(slot, axis=-1)
        moved = jnp.roll(moves[..., None] * weights, 1, axis=-2)  # the last place is empty yet
        new = jnp.where(own[..., None, :], slot[..., None], 0.0)
        return stays[..., None] * weights + moved + new, None

    start = jnp.zeros((*displaced.shape[:-2], n, n), displaced.dtype).at[..., 0, 0].set(1.0)
    start, _ = meshes.vary_alike(start, displaced)
    steps = (elements, jnp.moveaxis(behind, -2, 0), jnp.moveaxis(displaced, -2, 0))
    return jax.lax.scan(insert, start, steps)[0]


def pick_passes(hints: Mapping[str, Array], step: Array) -> dict[str, Array]:
    """What is marked after a step of bubble sort, without its pointers."""
    return {name: hints[name] for name in ("i", "j")}


def read_passes(log_hints: Mapping[str, Array]) -> Array:
    """The permutation that bubble sort's passes make: each leaves one place as it will be.

    After the last comparison of a pass the hint ``i`` marks what stands at the place it fills;
    after the last of all, ``j`` marks what stands at the last place. Their means are the mean
    permutation.

    Args:
      log_hints: log weights of both marks after each step, ``[..., n (n - 1) / 2, n]``.

    Returns:
      ``P[..., n, n]``, row k the distribution of the element at ascending position k.
    """
    n = log_hints["i"].shape[-1]
    ends = jnp.cumsum(jnp.arange(n - 1, 0, -1)) - 1  # of the passes
    rows = [log_hints["i"][..., ends, :], log_hints["j"][..., -1:, :]]
    return jnp.exp(jnp.concatenate(rows, axis=-2))


class Reader(NamedTuple):
    """How to read the runs of a sort.

    Attributes:
      pick: what of the hints after a step is kept to be read. Over the steps of insertion sort that
        is n^2, over the many more of bubble sort n^3.
      read: the permutation from the log weights of that, steps second to last.
    """

    pick: Callable[[Mapping[str, Array], Array], dict[str, Array]]
    read: Callable[[Mapping[str, Array]], Array]


READERS: Final[Mapping[str, Reader]] = {
    "insertion_sort": Reader(pick_insertions, read_insertions),
    "bubble_sort": Reader(pick_passes, read_passes),
}
"""Those of the sorts whose runs can be read."""


def of_whole_run(algorithm: str, log_hints: Mapping[str, Array]) -> Array:
    """The permutation from all hints of a run.

    Args:
      algorithm: one of those in ``READERS``.
      log_hints: of each hint the log weights after each step, ``[..., T - 1, choices]``, or of
        pointers ``[..., T - 1, n, choices]``.
    """
    kinds = algorithm_spec(algorithm).hints
    axes = {name: -3 if kinds[name] == POINTER else -2 for name in log_hints}
    steps = jnp.arange(log_hints["i"].shape[-2])
    reader = READERS[algorithm]
    return reader.read(jax.vmap(reader.pick, (axes, 0), -2)(dict(log_hints), steps))
