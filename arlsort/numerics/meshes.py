# SPDX-License-Identifier: Apache-2.0
"""Lets functions of lists run on a mesh of devices, so that operators need not know of it.

`jax.shard_map` runs a function on each device's share and keeps track of which arrays differ from
device to device; a loop must start from arrays that differ where its results do. A mesh with
explicit axes has shardings in the types of arrays, which not every operation can derive, and which
say what each device can compute alone. Both are settled here; without a mesh nothing is added to a
program.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
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
    the lists. Each device computes those of its own lists and nothing is gathered, except with
    settings that are arrays or draw random numbers: those are drawn for the whole batch.

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
        if _apart(settings, scores, more):
            return _on_each_device(chosen, batch, scores)(settings, scores, *more)
        return without_shardings(chosen, batch, scores)(settings, scores, *more)

    return run


def _apart(settings: Any, scores: jax.Array, more: Any) -> bool:
    """Whether the types of arrays tell which device has which lists, and nothing else is needed."""
    *batch, along = (*jax.typeof(scores).sharding.spec,)[: scores.ndim]
    shapes = [jnp.shape(leaf)[: len(batch)] for leaf in jax.tree.leaves(more)]
    return (
        all(kind == AxisType.Explicit for kind in _mesh(scores).axis_types)
        and any(part is not None for part in batch)
        and along is None
        and all(shape == scores.shape[:-1] for shape in shapes)
        and all(jnp.ndim(leaf) == 0 for leaf in jax.tree.leaves(settings))  # of any list
        and not getattr(settings, "needs_key", False)
    )


def _on_each_device(
    function: Callable[..., Result], batch: Sequence[Any], like: jax.Array
) -> Callable[..., Result]:
    """Runs a function of settings and of arrays of lists on each device's own lists."""
    lists, mesh = PartitionSpec(*batch), _mesh(like)

    def run(settings: Any, *arrays: Any) -> Result:
        with jax.sharding.use_abstract_mesh(mesh):
            own = (jax.tree.map(lambda a: jax.sharding.reshard(a, lists), a) for a in arrays)
            specs = (PartitionSpec(), *(lists for _ in arrays))
            whole = jax.tree.map(lambda a: jax.sharding.reshard(a, PartitionSpec()), settings)
            return jax.shard_map(function, in_specs=specs, out_specs=lists)(whole, *own)

    return run


def _mesh(array: jax.Array) -> Any:
    """The mesh that is set, or else that of an array."""
    context = jax.sharding.get_abstract_mesh()
    return jax.typeof(array).sharding.mesh if context.empty else context


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
    mesh = _mesh(like)
    if AxisType.Explicit not in mesh.axis_types:
        return function

    @functools.wraps(function)
    def run(*arguments: Any) -> Result:
        with jax.sharding.use_abstract_mesh(mesh):
            hidden = jax.sharding.auto_axes(function, out_sharding=PartitionSpec(*spec))
            return hidden(*arguments)

    return run
