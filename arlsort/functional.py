# SPDX-License-Identifier: Apache-2.0
"""The public functions: soft counterparts of `jnp.sort` and its relatives.

This is the only code that knows of axes. In all functions `operator` is an
operator object, or the registered name of one, which then has its default hyperparameters. All of
them work under `jit`, `grad`, `vmap` and `jacobian`, in every float dtype, which the result keeps.
What happens to NaN, infinities and ties is said at `Operator`.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.numerics import finite, meshes
from arlsort.operators import base, registry


def sort(
    x: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    descending: bool = False,
) -> jax.Array:
    """Sorts softly along an axis.

    The values are `permutation(x) @ x`: each is a mixture of all scores, and tends to the exact
    order statistic as the operator's temperature falls; with the learned sort, where scores differ.

    Args:
      x: Scores of any shape with `axis`, floating.
      operator: How to sort.
      axis: The axis to sort along.
      descending: Whether the largest comes first.

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
    method, scores, axis = _prepare(x, operator, axis)
    return jnp.moveaxis(method.sort(scores, descending=descending), -1, axis)


def permutation(
    x: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    descending: bool = False,
) -> jax.Array:
    """Returns the soft permutation that sorts along an axis.

    `P[..., i, j]` is the weight of input `j` at position `i`, so `P @ x` is `sort(x)`.

    Args:
      x: Scores of any shape with `axis`, floating.
      operator: How to sort.
      axis: The axis to sort along, of length n. The batch dimensions of the result are the other
        axes in their order.
      descending: Whether position 0 is that of the largest.

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
    method, scores, _ = _prepare(x, operator, axis)
    return method.permutation(scores, descending=descending)


def rank(
    x: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    descending: bool = False,
) -> jax.Array:
    """Returns the soft rank of every score, in the score's own position.

    The rank is the expected 0-based position, `sum_i i P[i, j] / sum_i P[i, j]`; the division
    matters only where columns of the permutation do not sum to one
    (`arlsort.soft_permutation.to_ranks`). An operator without a permutation has ranks by its own
    definition.

    Args:
      x: Scores of any shape with `axis`, floating.
      operator: How to sort.
      axis: The axis to rank along.
      descending: Whether rank 0 is that of the largest.

    Returns:
      Ranks between 0 and n - 1, of the shape and dtype of `x`.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If `axis`, `operator` or the length is not allowed.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> print(arlsort.rank(jnp.array([3.0, 1.0, 2.0]), "hard"))
      [2. 0. 1.]
    """
    method, scores, axis = _prepare(x, operator, axis)
    return jnp.moveaxis(method.rank(scores, descending=descending), -1, axis)


def argsort(
    x: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    descending: bool = False,
) -> jax.Array:
    """Returns the soft index of the input at every position, `P @ [0, ..., n-1]`.

    Args:
      x: Scores of any shape with `axis`, floating.
      operator: How to sort.
      axis: The axis to sort along.
      descending: Whether the largest comes first.

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
    method, scores, axis = _prepare(x, operator, axis)
    return jnp.moveaxis(method.argsort(scores, descending=descending), -1, axis)


def top_k(
    x: jax.Array, k: int, operator: str | base.Operator = registry.DEFAULT, *, axis: int = -1
) -> tuple[jax.Array, jax.Array]:
    """Returns the k softly largest values and their weights, largest first.

    Args:
      x: Scores of any shape with `axis`, floating.
      k: How many, from 0 to the length n of the axis.
      operator: How to sort.
      axis: The axis to select along.

    Returns:
      Values, of the shape of `x` with k in place of n, and the first k rows of the descending
      permutation, `[..., k, n]`.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If `k` is out of range, or as for `permutation`.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> values, weights = arlsort.top_k(jnp.array([3.0, 1.0, 2.0]), 2, "hard")
      >>> print(values)
      [3. 2.]
      >>> print(weights)
      [[1. 0. 0.]
       [0. 0. 1.]]
    """
    method, scores, axis = _prepare(x, operator, axis)
    n = scores.shape[-1]
    k = checks.check_integer("k", k)
    if not 0 <= k <= n:
        raise ValueError(checks.error_message("k", k, f"0 to {n}, the length of the axis"))
    values, weights = method(scores, descending=True)
    return jnp.moveaxis(values[..., :k], -1, axis), weights[..., :k, :]


def quantile(
    x: jax.Array,
    q: ArrayLike,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
) -> jax.Array:
    """Returns soft quantiles along an axis, interpolated linearly as by `jnp.quantile`.

    With `h = q (n - 1)`, the result is the value at position `floor(h)` plus the fraction of h
    times the step to the next position, of the values of `sort(x)`.

    Args:
      x: Scores of any shape with `axis`, floating.
      q: One probability or a vector of them, in [0, 1]. A traced `q` is clipped to that range.
      operator: How to sort.
      axis: The axis to reduce. Unlike in `jnp.quantile` the default is the last one.

    Returns:
      Quantiles of the shape of `q` followed by that of `x` without the axis, of the dtype of `x`.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If a concrete `q` is outside [0, 1] or its rank above 1, if the axis is empty, or
        if `axis`, `operator` or the length is not allowed.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> print(arlsort.quantile(jnp.array([3.0, 1.0, 2.0]), jnp.array([0.0, 0.75]), "hard"))
      [1.  2.5]
    """
    method, scores, _ = _prepare(x, operator, axis)
    n = scores.shape[-1]
    if n == 0:
        raise ValueError(checks.error_message("x", f"an empty axis {axis}", "at least one score"))
    probabilities = _probabilities(q)
    result = _quantiles(probabilities, method.sort(scores))
    return jnp.moveaxis(result, -1, 0) if probabilities.ndim else result


def median(
    x: jax.Array, operator: str | base.Operator = registry.DEFAULT, *, axis: int = -1
) -> jax.Array:
    """Returns the soft median along an axis: `quantile(x, 0.5)`.

    Args:
      x: Scores of any shape with `axis`, floating.
      operator: How to sort.
      axis: The axis to reduce.

    Returns:
      Medians of the shape of `x` without the axis, of its dtype.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: As for `quantile`.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> print(arlsort.median(jnp.array([3.0, 1.0, 2.0]), "hard"))
      2.0
    """
    return quantile(x, 0.5, operator, axis=axis)


def sort_by(
    keys: jax.Array,
    rows: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    descending: bool = False,
) -> jax.Array:
    """Puts rows in the soft order of their keys.

    The result is `permutation(keys) @ rows`; operators that can do it without forming the
    permutation do so.

    Args:
      keys: Scores `[..., n]`, floating.
      rows: What to order, floating: `[..., n]` with any number of dimensions after that, the first
        ones those of `keys`.
      operator: How to sort.
      descending: Whether the row with the largest key comes first.

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
    method, scores, _ = _prepare(keys, operator, -1, "keys")
    rows = checks.check_scores("rows", rows)
    if rows.shape[: scores.ndim] != scores.shape:
        allowed = f"a shape that begins with that of keys, {scores.shape}"
        raise ValueError(checks.error_message("rows", f"shape {rows.shape}", allowed))
    flat = rows.reshape(*scores.shape, math.prod(rows.shape[scores.ndim :]))
    return method.sort_by(scores, flat, descending=descending).reshape(rows.shape)


def _prepare(
    x: Any,
    operator: str | base.Operator,
    axis: Any,
    argument: str = "x",
) -> tuple[base.Operator, jax.Array, int]:
    """Returns the operator, the scores with the axis moved to the end, and the axis, >= 0."""
    method = registry.get(operator)
    scores = checks.check_scores(argument, x)
    axis = checks.check_integer("axis", axis)
    if not -scores.ndim <= axis < scores.ndim:
        allowed = f"{-scores.ndim} to {scores.ndim - 1} for {argument} of shape {scores.shape}"
        raise ValueError(checks.error_message("axis", axis, allowed))
    return method, jnp.moveaxis(scores, axis, -1), axis % scores.ndim


def _probabilities(q: Any) -> jax.Array:
    """Checks quantiles, by value where they are known while tracing."""
    try:
        array = jnp.asarray(q)
    except (TypeError, ValueError):
        raise TypeError(checks.error_message("q", type(q).__name__, "numbers in [0, 1]")) from None
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise TypeError(checks.error_message("q", f"dtype {array.dtype}", "numbers in [0, 1]"))
    if array.ndim > 1:
        raise ValueError(checks.error_message("q", f"shape {array.shape}", "a scalar or a vector"))
    try:
        concrete = np.asarray(q)
    except jax.errors.TracerArrayConversionError:
        concrete = None  # all or part of it is traced
    if concrete is not None and not np.all((concrete >= 0) & (concrete <= 1)):
        raise ValueError(checks.error_message("q", concrete, "numbers in [0, 1]"))
    return array.astype(finite.work_dtype(array))


@meshes.jit_over_lists
def _quantiles(probabilities: jax.Array, values: jax.Array) -> jax.Array:
    """Interpolates between sorted values `[..., n]`: `[..., *probabilities.shape]`."""
    position = jnp.clip(probabilities, 0.0, 1.0) * (values.shape[-1] - 1)
    low = jnp.floor(position)
    below = jnp.take(values, low.astype(jnp.int32), axis=-1)
    above = jnp.take(values, jnp.ceil(position).astype(jnp.int32), axis=-1)
    fraction = (position - low).astype(values.dtype)
    fraction = jnp.broadcast_to(
        jnp.expand_dims(fraction, tuple(range(values.ndim - 1))), below.shape
    )
    # An exact position must not touch its neighbour, which may be infinite.
    step = jnp.where(fraction > 0, above, 0.0) * fraction
    found = jnp.where(fraction > 0, below * (1 - fraction) + step, below)
    return jnp.where(jnp.isnan(fraction), jnp.nan, found)  # of a traced q
