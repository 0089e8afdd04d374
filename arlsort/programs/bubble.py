# SPDX-License-Identifier: Apache-2.0
"""Fast bubble sort: the result of `algorithms.bubble_sort_in_steps`, with one scan a pass.

A compare-and-swap under `if_` is a soft comparator, and a pass hands the larger of two scores on.
So a pass needs no writes to the list: a scan carries that score, and gives the smaller ones.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.networks.swaps import Swap
from arlsort.numerics import meshes


class Sorted(NamedTuple):
    """The result of bubble sort on one list.

    Attributes:
      values: Soft values `[n]`, ascending.
      rows: The rows `[n, d]`, moved alike.
      swaps: The soft number of swaps.
      any: The weight of any swap.
    """

    values: jax.Array
    rows: jax.Array
    swaps: jax.Array
    any: jax.Array


def run(swap: Swap, x: jax.Array, rows: jax.Array) -> Sorted:
    """Sorts one list of n >= 2 finite scores, and rows that travel with them, `[n, d]`.

    Let `s_k` be the state after pass k, and `quiet_k` the weight that pass k swapped nothing, a
    product over its comparators. The result is the sum of all `s_k` by the weight that the loop
    ends there: `quiet_k` times the product of `1 - quiet` of earlier passes.
    """
    n = len(x)
    zero = jnp.zeros_like(x, shape=())

    def one_pass(carry: tuple[Sorted, Sorted, jax.Array], k: jax.Array) -> tuple[tuple, None]:
        state, total, going = carry
        state, quiet = _pass(swap, state, k)
        total = _add(total, going * quiet, state)
        return (state, total, going * (1 - quiet)), None

    start = Sorted(x, rows, zero, zero)
    nothing = jax.tree.map(jnp.zeros_like, start)
    carry = meshes.vary_alike(start, nothing, zero + 1)
    (state, total, going), _ = lax.scan(one_pass, carry, jnp.arange(n - 1))
    return _add(total, going, state)


def _add(total: Sorted, weight: jax.Array, state: Sorted) -> Sorted:
    return jax.tree.map(lambda old, new: old + weight * new, total, state)


def _pass(swap: Swap, state: Sorted, k: jax.Array) -> tuple[Sorted, jax.Array]:
    """One pass, and the weight that it swapped nothing."""
    n = len(state.values)
    one, zero = jnp.ones_like(state.swaps), jnp.zeros_like(state.swaps)

    def compare(carry: tuple, wire: tuple) -> tuple[tuple, tuple]:
        score, row, swaps, none, quiet = carry
        i, following, its_row = wire
        sign = jnp.where(i < n - 1 - k, one, zero)  # where it is zero, all stay as they are
        low, high = swap.scores(score, following, sign)
        stay, leave = swap.rows(score, following, sign, one, zero)
        low_row, high_row = swap.rows(score, following, sign, row, its_row)
        return (high, high_row, swaps + leave, none * stay, quiet * stay), (low, low_row)

    start = (state.values[0], state.rows[0], state.swaps, 1 - state.any, one)
    wires = (jnp.arange(n - 1), state.values[1:], state.rows[1:])
    (high, high_row, swaps, none, quiet), (low, low_rows) = lax.scan(compare, start, wires)
    values = jnp.concatenate([low, high[None]])
    rows = jnp.concatenate([low_rows, high_row[None]])
    return Sorted(values, rows, swaps, 1 - none), quiet
