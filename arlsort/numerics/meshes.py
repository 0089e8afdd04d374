# SPDX-License-Identifier: Apache-2.0
"""Lets functions of lists run on a mesh of devices, so that operators need not know of it.

`jax.shard_map` runs a function on each device's share and keeps track of which arrays differ from
device to device; a loop must start from arrays that differ where its results do. A mesh with
explicit axes has shardings in the types of arrays, which not every operation can derive. Both are
settled here; without a mesh nothing is added to a program.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax import lax
from jax.sharding import AxisType, PartitionSpec

Result = TypeVar("Result")


def vary_alike(*trees: Any) -> tuple[Any, ...]:
    """Lets arrays differ from device to device if one of them does, as `jax.shard_map` counts it.

    Args:
      *trees: Arrays or trees of arrays: what a loop starts from, some of it constant.

    Returns:
      The same trees.
    """
    axes = frozenset[str]().union(*map(_varying, jax.tree.leaves(trees)))

    def cast(array: jax.Array) -> jax.Array:
        missing = axes - _varying(array)
        return lax.pcast(array, tuple(missing), to="varying") if missing else array

    return jax.tree.map(cast, trees)


def _varying(array: jax.Array) -> frozenset[str]:
    return jax.typeof(array).mat.varying


def jit_over_lists(
    function: Callable[..., Result], static: Sequence[str] = ()
) -> Callable[..., Result]:
    """Jits a function of lists whose results do not depend on one another.

    On a mesh with explicit axes results are sharded as the batch of the scores is, and whole along
    the lists.

    Args:
      function: Takes settings, scores `[..., n]` and more arrays `[..., n, ...]`, and gives arrays
        whose shapes begin with those of the batch.
      static: Names of its keyword arguments, which are compiled in.

    Returns:
      The same function, jitted.
    """

    @functools.partial(jax.jit, static_argnames=static)
    @functools.wraps(function)
    def run(settings: Any, scores: jax.Array, *more: Any, **options: Any) -> Result:
        batch = jax.typeof(scores).sharding.spec[: scores.ndim - 1]
        chosen = functools.partial(function, **options) if options else function
        return without_shardings(chosen, batch, scores)(settings, scores, *more)

    return run


def without_shardings(
    function: Callable[..., Result], spec: Sequence[Any], like: jax.Array
) -> Callable[..., Result]:
    """Lets the compiler choose shardings inside of a function, if those of an array are explicit.

    Args:
      function: Of arrays.
      spec: How the leading axes of its results are to be sharded.
      like: The array.

    Returns:
      The same function.
    """
    context = jax.sharding.get_abstract_mesh()
    mesh = jax.typeof(like).sharding.mesh if context.empty else context
    if AxisType.Explicit not in mesh.axis_types:
        return function

    @functools.wraps(function)
    def run(*arguments: Any) -> Result:
        with jax.sharding.use_abstract_mesh(mesh):
            hidden = jax.sharding.auto_axes(function, out_sharding=PartitionSpec(*spec))
            return hidden(*arguments)

    return run
