# SPDX-License-Identifier: Apache-2.0
"""The public functions: soft counterparts of `jnp.sort` and its relatives.

With `arlsort.selection` this is the only code that handles axes. `operator` is an operator object,
or its registered name for one with default hyperparameters. All functions work under `jit`, `grad`,
`vmap` and `jacobian`, in every float dtype, which the result keeps. See `Operator` for NaN,
infinities and ties.

A mask `where` puts lists of different lengths into one array. Masked items take no weight and get
no gradient, whatever their values. The result is that of the shorter list. It comes first, also
with `descending`; the remaining positions are zero.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from arlsort import checks
from arlsort.operators import base, registry


def sort(
    x: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    descending: bool = False,
    where: jax.Array | None = None,
) -> jax.Array:
    """Sorts softly along an axis.

    The values are `permutation(x) @ x`: each is a weighted mean of all scores. It approaches the
    exact order statistic as the temperature falls; with the learned sorts, where scores differ.

    Args:
      x: Scores of any shape with `axis`, floating.
      operator: How to sort.
      axis: The axis to sort along.
      descending: Whether the largest comes first.
      where: Mask of the items, of a shape that broadcasts to that of `x`; None for all.

    Returns:
      Values of the shape and dtype of `x`.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If `axis`, `operator` or the length is not allowed.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> x = jnp.array([3.0, 1.0, 2.0])
      >>> print(arlsort.sort(x, arlsort.SoftSort(temperature=0.1)).round(2))
      [1. 2. 3.]
    """
    method, scores, axis, mask = prepare(x, operator, axis, where)
    return put_back(method.sort(scores, descending=descending, where=mask), axis)


def permutation(
    x: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    descending: bool = False,
    where: jax.Array | None = None,
) -> jax.Array:
    """Returns the soft permutation that sorts along an axis.

    `P[..., i, j]` is the weight of input `j` at position `i`, so `P @ x` is `sort(x)`.

    Args:
      x: Scores of any shape with `axis`, floating.
      operator: How to sort.
      axis: The axis to sort along, of length n. The batch dimensions of the result are the other
        axes in their order.
      descending: Whether position 0 is that of the largest.
      where: Mask of the items, of a shape that broadcasts to that of `x`; None for all.

    Returns:
      Weights `[..., n, n]` of the dtype of `x`.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If `axis`, `operator` or the length is not allowed, or if the operator has no
        permutation.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> print(arlsort.permutation(jnp.array([2.0, 1.0]), "hard"))
      [[0. 1.]
       [1. 0.]]
    """
    method, scores, _, mask = prepare(x, operator, axis, where)
    return method.permutation(scores, descending=descending, where=mask)


def rank(
    x: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    descending: bool = False,
    where: jax.Array | None = None,
) -> jax.Array:
    """Returns the soft rank of every score, in the score's own position.

    The rank is the expected 0-based position, `sum_i i P[i, j] / sum_i P[i, j]`. The division
    matters only where columns of the permutation do not sum to one
    (`arlsort.soft_permutation.to_ranks`). An operator without a permutation defines its own ranks.

    Args:
      x: Scores of any shape with `axis`, floating.
      operator: How to sort.
      axis: The axis to rank along.
      descending: Whether rank 0 is that of the largest.
      where: Mask of the items, of a shape that broadcasts to that of `x`; None for all.

    Returns:
      Ranks between 0 and n - 1, of the shape and dtype of `x`. Masked items follow the others, in
      their order.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If `axis`, `operator` or the length is not allowed.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> print(arlsort.rank(jnp.array([3.0, 1.0, 2.0]), "hard"))
      [2. 0. 1.]
    """
    method, scores, axis, mask = prepare(x, operator, axis, where)
    return put_back(method.rank(scores, descending=descending, where=mask), axis)


def argsort(
    x: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    descending: bool = False,
    where: jax.Array | None = None,
) -> jax.Array:
    """Returns the soft index of the input at every position, `P @ [0, ..., n-1]`.

    Args:
      x: Scores of any shape with `axis`, floating.
      operator: How to sort.
      axis: The axis to sort along.
      descending: Whether the largest comes first.
      where: Mask of the items, of a shape that broadcasts to that of `x`; None for all.

    Returns:
      Real-valued indices of the shape and dtype of `x`. To index with them, use
      `permutation` instead: a mixture of indices is not the index of a mixture.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: As for `permutation`.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> print(arlsort.argsort(jnp.array([3.0, 1.0, 2.0]), "hard"))
      [1. 2. 0.]
    """
    method, scores, axis, mask = prepare(x, operator, axis, where)
    return put_back(method.argsort(scores, descending=descending, where=mask), axis)


def sort_by(
    keys: jax.Array,
    rows: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    descending: bool = False,
    where: jax.Array | None = None,
) -> jax.Array:
    """Puts rows in the soft order of their keys.

    The result is `permutation(keys) @ rows`. Operators avoid forming the permutation if they can.

    Args:
      keys: Scores `[..., n]`, floating.
      rows: What to order, floating: `[..., n]` with any number of dimensions after that, the first
        ones those of `keys`.
      operator: How to sort.
      descending: Whether the row with the largest key comes first.
      where: Mask of the items, of a shape that broadcasts to that of `keys`; None for all.

    Returns:
      Mixtures of rows, of the shape and dtype of `rows`.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If the shape of `rows` does not begin with that of `keys`, or as for
        `permutation`.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> rows = jnp.array([[3.0, 30.0], [1.0, 10.0], [2.0, 20.0]])
      >>> print(arlsort.sort_by(rows[:, 0], rows, "hard"))
      [[ 1. 10.]
       [ 2. 20.]
       [ 3. 30.]]
    """
    method, scores, _, mask = prepare(keys, operator, -1, where, "keys")
    rows = checks.check_scores("rows", rows)
    if rows.shape[: scores.ndim] != scores.shape:
        allowed = f"a shape that begins with that of keys, {scores.shape}"
        raise ValueError(checks.error_message("rows", f"shape {rows.shape}", allowed))
    flat = rows.reshape(*scores.shape, math.prod(rows.shape[scores.ndim :]))
    found = method.sort_by(scores, flat, descending=descending, where=mask)
    return found.reshape(rows.shape)


def prepare(
    x: Any,
    operator: str | base.Operator,
    axis: Any,
    where: Any,
    argument: str = "x",
) -> tuple[base.Operator, jax.Array, int, jax.Array | None]:
    """Returns the operator, the scores with the axis at the end, the axis, >= 0, and the mask."""
    method = registry.get(operator)
    scores = checks.check_scores(argument, x)
    axis = checks.check_integer("axis", axis)
    if not -scores.ndim <= axis < scores.ndim:
        allowed = f"{-scores.ndim} to {scores.ndim - 1} for {argument} of shape {scores.shape}"
        raise ValueError(checks.error_message("axis", axis, allowed))
    axis %= scores.ndim
    mask = None
    if where is not None:
        mask = checks.check_mask("where", where, scores.shape, argument)
    if axis < scores.ndim - 1:  # or else a call that is not jitted compiles a program for nothing
        scores = jnp.moveaxis(scores, axis, -1)
        mask = None if mask is None else jnp.moveaxis(mask, axis, -1)
    return method, scores, axis, mask


def put_back(result: jax.Array, axis: int) -> jax.Array:
    """Moves the last axis to where `prepare` found it."""
    return result if axis == result.ndim - 1 else jnp.moveaxis(result, -1, axis)
