# SPDX-License-Identifier: Apache-2.0
"""Work that only some lists of a batch need."""

import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import export, lax

from arlsort.numerics import finite, meshes

Result = TypeVar("Result")


def apply(
    function: Callable[..., Result],
    arrays: tuple[jax.Array | None, ...],
    needed: jax.Array,
    otherwise: Result,
    at_once: int | None = None,
) -> Result:
    """Applies a function of lists to those that need it.

    All are computed if one needs it, as always under `vmap` over lists. Or a CPU takes some at a
    time, until all that need it had their turn: then it does not work on many for the sake of one.

    Args:
      function: Takes the arrays of any number of lists, and gives arrays of as many. Results do not
        depend on other lists, and nothing is differentiated.
      arrays: `[..., any]`, or None.
      needed: Which lists need it, `[...]`.
      otherwise: What is the result for the others, `[..., n]`.
      at_once: How many numbers a CPU takes at a time; None for all. Small values take more turns;
        large ones compute lists that need nothing.

    Returns:
      What the function or `otherwise` has for each list.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([[3.0, 1.0], [1.0, 2.0]])
      >>> print(apply(jnp.sort, (x,), x[:, 0] > x[:, 1], x, at_once=2))
      [[1. 3.]
       [1. 2.]]
    """
    n, lists = jax.tree.leaves(otherwise)[0].shape[-1], math.prod(needed.shape)
    some = lists if at_once is None else max(1, at_once // max(n, 1))
    arrays, needed, otherwise = meshes.vary_alike(arrays, needed, otherwise)
    whole = at_once is None or export.is_symbolic_dim(lists) or lists <= some
    if whole or jax.default_backend() != "cpu":
        return lax.cond(finite.any_of(needed), lambda: function(*arrays), lambda: otherwise)
    flat, found = jax.tree.map(
        lambda a: a.reshape(lists, *a.shape[needed.ndim :]), (arrays, otherwise)
    )
    index = lax.iota(jnp.int32, lists)
    behind = jnp.where(needed.reshape(lists), index, index + lists)
    first = lax.sort(behind, is_stable=False) % lists  # those in need
    last = needed.sum()

    def turn(state: tuple[jax.Array, Result]) -> tuple[jax.Array, Result]:
        done, found = state
        # In the last turn there may be lists that had theirs, or need none: nothing changes.
        which = lax.dynamic_slice(first, (done,), (some,))
        part = function(*jax.tree.map(lambda a: a[which], flat))
        return done + some, jax.tree.map(lambda a, b: a.at[which].set(b), found, part)

    _, found = lax.while_loop(lambda state: state[0] < last, turn, (jnp.zeros_like(last), found))
    return jax.tree.map(lambda a, b: a.reshape(b.shape), found, otherwise)
