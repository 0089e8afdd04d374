# SPDX-License-Identifier: Apache-2.0
"""States of programs: pytrees whose floats are mixed by weights, with errors that name a leaf."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arlsort.checks import error_message
from arlsort.numerics import finite


def canonical(state: Any) -> Any:
    """Makes arrays of all leaves; Python floats get the widest float dtype, float32 at least."""
    arrays = [leaf for leaf in jax.tree.leaves(state) if is_float(leaf) and not _is_number(leaf)]
    work = work_dtype(arrays)

    def array(leaf: Any) -> Any:
        if isinstance(leaf, float):
            return jnp.asarray(leaf, work)
        return leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf)

    return jax.tree.map(array, state)


def work_dtype(arrays: Sequence[Any]) -> jnp.dtype:
    """The widest float dtype of arrays, float32 at least; of no arrays, JAX's default."""
    return finite.work_dtype(*arrays) if arrays else jnp.dtype(jnp.result_type(float))


def is_float(leaf: Any) -> bool:
    """Tells whether a leaf is mixed by weights; integers, booleans and keys are not."""
    return bool(jnp.issubdtype(jnp.result_type(leaf), jnp.floating))


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, (bool, int, float))


def _adapts(leaf: Any) -> bool:
    """Tells whether a leaf is a Python number, or was one before it was traced."""
    return _is_number(leaf) or getattr(leaf, "weak_type", False)


def check_floating(argument: str, value: Any) -> jax.Array:
    """Returns a value as an array, after checking that it is floating.

    Raises:
      TypeError: If it is not.
    """
    array = jnp.asarray(value)
    if not is_float(array):
        raise TypeError(error_message(argument, f"dtype {array.dtype}", "floats"))
    return array


def spread(weight: jax.Array, like: Any, name: str = "state") -> jax.Array:
    """Gives a weight `[...]` as many axes as a leaf `[..., *rest]` has.

    Raises:
      ValueError: If the axes of the weight are not the leading ones of the leaf.
    """
    shape = np.shape(like)
    if shape[: weight.ndim] != weight.shape:
        allowed = f"leading axes {weight.shape}, those of the condition"
        raise ValueError(error_message(name, f"shape {shape}", allowed))
    return weight.reshape(*weight.shape, *(1,) * (len(shape) - weight.ndim))


def times(weight: jax.Array, value: jax.Array) -> jax.Array:
    """Multiplies by a weight; infinities and NaN change nothing where it is zero."""
    value = jnp.where((weight == 0) & ~jnp.isfinite(value), 0.0, value)
    return weight * value


def mix(weight: jax.Array, one: Any, other: Any) -> Any:
    """Mixes two states, `weight * one + (1 - weight) * other`; leaves that are one object stay.

    Raises:
      ValueError: If the states differ in structure, shape or dtype, or in what is not floating.
    """
    return pairwise(functools.partial(_mixed, weight), one, other, "the other branch")


def _mixed(weight: jax.Array, name: str, one: Any, other: Any) -> Any:
    if one is other:
        return one
    if not (is_float(one) or is_float(other)):
        if known_equal(one, other):
            return one
        received = f"{jnp.result_type(one)} that may differ between the branches"
        raise ValueError(error_message(name, received, "the same in both, or floats"))
    one, other = _alike(name, one, other)
    work = jnp.promote_types(one.dtype, weight.dtype)
    p = spread(weight, one, name).astype(work)
    return between(p, one.astype(work), other.astype(work)).astype(one.dtype)


@jax.custom_jvp
def between(weight: jax.Array, one: jax.Array, other: jax.Array) -> jax.Array:
    """Mixes `weight * one + (1 - weight) * other`; a side without weight may be infinite or NaN."""
    mixed = weight * one + (1 - weight) * other
    return jnp.where(weight == 0, other, jnp.where(weight == 1, one, mixed))


@between.defjvp
def _between_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    # One difference to keep for the gradient, where the product rule keeps both states.
    weight, one, other = primals
    change, by_one, by_other = tangents
    gap = one - other
    gap = jnp.where(jnp.isfinite(gap), gap, 0.0)
    by_one = jnp.where(weight == 0, 0.0, by_one)  # a side without weight changes nothing
    by_other = jnp.where(weight == 1, 0.0, by_other)
    return between(*primals), gap * change + weight * by_one + (1 - weight) * by_other


def known_equal(one: Any, other: Any) -> bool:
    """Tells whether two leaves are one object, or concrete and equal."""
    if one is other:
        return True
    if isinstance(one, jax.core.Tracer) or isinstance(other, jax.core.Tracer):
        return False
    return np.shape(one) == np.shape(other) and bool(np.all(np.asarray(one == other)))


def _alike(name: str, one: Any, other: Any) -> tuple[jax.Array, jax.Array]:
    """Two leaves as arrays of one shape and dtype; Python numbers become as the other one is."""
    first_gives_way = _adapts(one) and not _adapts(other)
    if first_gives_way or (_is_number(one) and not _is_number(other)):
        second, first = _alike(name, other, one)
        return first, second
    first = jnp.asarray(one, None if isinstance(one, jax.Array) else jnp.result_type(one))
    if _adapts(one) and not is_float(first):
        first = first.astype(jnp.result_type(other))
    return first, fitted(name, other, first)


def fitted(name: str, leaf: Any, like: jax.Array) -> jax.Array:
    """A leaf as an array of the shape and dtype of another one; Python numbers become that.

    Raises:
      ValueError: If it has another shape or dtype.
    """
    adapts = _adapts(leaf)
    widens = is_float(like) or not is_float(leaf)
    shape, dtype = np.shape(leaf), jnp.result_type(leaf)
    wrong = shape not in ((), like.shape) if _is_number(leaf) else shape != like.shape
    if wrong or (dtype != like.dtype and not (adapts and widens)):
        received, allowed = f"shape {shape}, {dtype}", f"shape {like.shape}, {like.dtype}"
        raise ValueError(error_message(name, received, allowed))
    return jnp.broadcast_to(jnp.asarray(leaf, like.dtype), like.shape)


def pairwise(function: Callable[..., Any], one: Any, other: Any, where: str) -> Any:
    """Maps `function(name, leaf, leaf)` over two states.

    Raises:
      ValueError: If they differ in structure, naming the first leaf that is in one alone.
    """
    first, tree = jax.tree_util.tree_flatten_with_path(one)
    second, other_tree = jax.tree_util.tree_flatten_with_path(other)
    if tree != other_tree:  # type: ignore[operator]
        own, others = ([named(path) for path, _ in leaves] for leaves in (first, second))
        lone = [name for name in (*own, *others) if (name in own) != (name in others)]
        received = f"a leaf that is missing in {where}" if lone else f"{tree} and {other_tree}"
        name = lone[0] if lone else "state"
        raise ValueError(error_message(name, received, "states of one structure"))
    pairs = zip(first, second, strict=True)
    leaves = [function(named(path), leaf, theirs) for (path, leaf), (_, theirs) in pairs]
    return jax.tree.unflatten(tree, leaves)


def named(path: tuple[Any, ...]) -> str:
    """Names a leaf by its way through the state."""
    return "state" + jax.tree_util.keystr(path)


def select(live: jax.Array, one: Any, other: Any) -> Any:
    """Takes one state where `live[...]` holds, and the other elsewhere."""

    def leaf(path: tuple[Any, ...], a: jax.Array, b: jax.Array) -> jax.Array:
        return a if a is b else jnp.where(spread(live, a, named(path)), a, b)

    return jax.tree_util.tree_map_with_path(leaf, one, other)


def select_floats(live: jax.Array, one: Any, other: Any) -> Any:
    """As `select`; leaves that are not floating are those of the first state."""
    return select(live, one, jax.tree.map(lambda a, b: b if is_float(a) else a, one, other))


def weighted(weight: jax.Array, state: Any) -> Any:
    """A state times a weight, in the wider dtype of both; leaves that are not floating stay.

    Raises:
      ValueError: If the axes of the weight are not the leading ones of a leaf. It is named.
    """

    def leaf(path: tuple[Any, ...], value: jax.Array) -> jax.Array:
        if not is_float(value):
            return value
        work = jnp.promote_types(value.dtype, weight.dtype)
        p = spread(weight, value, named(path)).astype(work)
        return times(p, value.astype(work))

    return jax.tree_util.tree_map_with_path(leaf, state)


def add(total: Any, weight: jax.Array, state: Any) -> Any:
    """Adds a state times a weight to a sum; leaves that are not floating are those of the state."""

    def leaf(old: jax.Array, new: jax.Array) -> jax.Array:
        return old + new if is_float(new) else new

    return jax.tree.map(leaf, total, weighted(weight, state))


def straight_through(soft: Any, exact: Any) -> Any:
    """The exact results with the gradient of the soft ones."""

    def leaf(relaxed: Any, known: Any) -> Any:
        if not is_float(relaxed):
            return known
        relaxed, known = relaxed + jnp.zeros_like(known), known + jnp.zeros_like(relaxed)
        return finite.straight_through(relaxed, known)

    return jax.tree.map(leaf, soft, exact)


def check_weight(argument: str, value: Any) -> jax.Array:
    """Returns a weight as a floating array, after checking Python and NumPy numbers.

    JAX arrays are not checked, so a program raises the same errors with and without `jax.jit`.

    Raises:
      ValueError: If a number or a NumPy array is outside [0, 1] by more than rounding.
    """
    array = jnp.asarray(value)
    array = array if is_float(array) else array.astype(jnp.float32)
    if not isinstance(value, jax.Array):
        known, slack = np.asarray(value, np.float64), _slack(array.dtype)
        if not np.all((known >= -slack) & (known <= 1 + slack) | np.isnan(known)):
            raise ValueError(error_message(argument, value, "weights in [0, 1]"))
    return array


def nan_unless_weight(value: jax.Array) -> jax.Array:
    """Replaces values outside [0, 1], beyond rounding, by NaN."""
    slack = _slack(value.dtype)
    return jnp.where((value >= -slack) & (value <= 1 + slack), value, jnp.nan)


def _slack(dtype: jnp.dtype) -> float:
    """How far rounding may take a weight out of [0, 1]."""
    return math.sqrt(float(jnp.finfo(dtype).eps))
