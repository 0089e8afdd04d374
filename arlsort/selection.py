# SPDX-License-Identifier: Apache-2.0
"""The public functions that select from a sorted list: top k, quantiles.

Operators, dtypes and masks are as in `arlsort.functional`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from arlsort import checks, functional
from arlsort.numerics import finite, meshes
from arlsort.operators import base, registry, selection


def top_k(
    x: jax.Array,
    k: int,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    where: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns the k softly largest values and their weights, largest first.

    Args:
      x: Scores of any shape with `axis`, floating.
      k: How many, from 0 to the length n of the axis.
      operator: How to sort.
      axis: The axis to select along.
      where: Mask of the items, of a shape that broadcasts to that of `x`; None for all.

    Returns:
      Values, of the shape of `x` with k in place of n, and the first k rows of the descending
      permutation, `[..., k, n]`; both zero where there are fewer items than k. Most operators
      compute these rows alone.

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
    method, scores, axis, mask = functional.prepare(x, operator, axis, where)
    values, weights = method.top_k(scores, k, where=mask)
    return functional.put_back(values, axis), weights


def top_k_mask(
    x: jax.Array,
    k: int,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    where: jax.Array | None = None,
) -> jax.Array:
    """Returns how much each score is one of the k largest.

    It is the sum of the rows of `top_k`, `s[j] = sum_{i<k} P[i, j]`. Where columns of P do not sum
    to one, it is `min(1, λ s[j])`, with the λ that keeps the total. `permutahedron` has no P and
    projects `x / temperature` onto the hull of all masks of k ones. `lapsum` and the networks do
    not form the rows either.

    Args:
      x: Scores of any shape with `axis`, floating.
      k: How many, from 0 to the length n of the axis.
      operator: How to sort.
      axis: The axis to select along.
      where: Mask of the items, of a shape that broadcasts to that of `x`; None for all.

    Returns:
      Numbers in [0, 1] of the shape and dtype of `x` that sum to k along the axis, or to the number
      of items where there are fewer.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If `k` is out of range, or if `axis`, `operator`, `where` or the length is not
        allowed.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> x = jnp.array([3.0, 1.0, 2.0])
      >>> print(arlsort.top_k_mask(x, 2, arlsort.LapSum(temperature=0.2)).round(2))
      [1.   0.04 0.96]

    References:
      Struski et al., LapSum, ICML 2025; Blondel et al., Fast Differentiable Sorting and Ranking,
      ICML 2020.
    """
    method, scores, axis, mask = functional.prepare(x, operator, axis, where)
    return functional.put_back(method.top_k_mask(scores, k, where=mask), axis)


def quantile(
    x: jax.Array,
    q: ArrayLike,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    where: jax.Array | None = None,
) -> jax.Array:
    """Returns soft quantiles along an axis, interpolated linearly as by `jnp.quantile`.

    With `h = q (n - 1)` it interpolates `sort(x)` between the positions `floor(h)` and `ceil(h)`.

    Args:
      x: Scores of any shape with `axis`, floating.
      q: One probability or a vector of them, in [0, 1]. A traced `q` is clipped to that range.
      operator: How to sort.
      axis: The axis to reduce. Unlike in `jnp.quantile` the default is the last one.
      where: Mask of the items, of a shape that broadcasts to that of `x`; None for all.

    Returns:
      Quantiles of the shape of `q` followed by that of `x` without the axis, of the dtype of `x`;
      NaN of a list whose items are all masked.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If a concrete `q` is outside [0, 1] or its rank above 1, if the axis is empty, or
        if `axis`, `operator` or the length is not allowed.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> print(arlsort.quantile(jnp.array([3.0, 1.0, 2.0]), jnp.array([0.0, 0.75]), "hard"))
      [1.  2.5]
    """
    method, scores, _, mask = functional.prepare(x, operator, axis, where)
    n = scores.shape[-1]
    if n == 0:
        raise ValueError(checks.error_message("x", f"an empty axis {axis}", "at least one score"))
    probabilities = _probabilities(q)
    masks = () if mask is None else (mask,)
    if _few_rows(method, 2 * probabilities.size, n):
        shape = (*scores.shape[:-1], probabilities.size)
        q = jnp.broadcast_to(probabilities.reshape(-1), shape)
        result = _quantiles_of_rows(method, method._check(scores), q, *masks)
        result = result.reshape(*scores.shape[:-1], *probabilities.shape)
    else:
        result = _quantiles(probabilities, method.sort(scores, where=mask), *masks)
    return jnp.moveaxis(result, -1, 0) if probabilities.ndim else result


def median(
    x: jax.Array,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    axis: int = -1,
    where: jax.Array | None = None,
) -> jax.Array:
    """Returns the soft median along an axis: `quantile(x, 0.5)`.

    Args:
      x: Scores of any shape with `axis`, floating.
      operator: How to sort.
      axis: The axis to reduce.
      where: Mask of the items, of a shape that broadcasts to that of `x`; None for all.

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
    return quantile(x, 0.5, operator, axis=axis, where=where)


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


def _few_rows(method: base.Operator, rows: int, n: int) -> bool:
    """Whether so many values are cheaper from their rows than from the whole sort."""
    whole = method.needs_key or method.exact_forward or not method.has_rows
    return not whole and 8 * rows <= n


@meshes.jit_over_lists
def _quantiles(
    probabilities: jax.Array, values: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    """Interpolates between sorted values `[..., n]`: `[..., *probabilities.shape]`."""
    lift = (1,) * (values.ndim - 1)
    shape = (*values.shape[:-1], probabilities.size)
    q = jnp.broadcast_to(probabilities.reshape(*lift, -1), shape)
    at, fraction, empty = _positions(q, values.shape[-1], where)
    below, above = jnp.split(jnp.take_along_axis(values, at, axis=-1), 2, axis=-1)
    found = _between(below, above, fraction, empty)
    return found.reshape(*values.shape[:-1], *probabilities.shape)


@meshes.jit_over_lists
def _quantiles_of_rows(
    method: base.Operator, x: jax.Array, q: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    """Quantiles q `[..., q]` of scores `[..., n]`, by the rows of P at their positions alone."""
    at, fraction, empty = _positions(q, x.shape[-1], where)
    below, above = jnp.split(selection.values_at(method, x, where, at), 2, axis=-1)
    return _between(below, above, fraction, empty)


def _positions(
    q: jax.Array, n: int, where: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Positions below, then above `[..., 2 q]`, their fractions, and where there is no item."""
    top = jnp.full((*q.shape[:-1], 1), n, jnp.int32)
    if where is not None:
        top = where.sum(axis=-1, keepdims=True, dtype=jnp.int32)
    position = jnp.clip(q, 0.0, 1.0) * jnp.maximum(top - 1, 0).astype(q.dtype)
    low = jnp.floor(position)
    at = jnp.concatenate([low, jnp.ceil(position)], axis=-1).astype(jnp.int32)
    return at, position - low, top == 0


def _between(
    below: jax.Array, above: jax.Array, fraction: jax.Array, empty: jax.Array
) -> jax.Array:
    fraction = fraction.astype(below.dtype)
    # An exact position must not touch its neighbour, which may be infinite.
    step = jnp.where(fraction > 0, above, 0.0) * fraction
    found = jnp.where(fraction > 0, below * (1 - fraction) + step, below)
    return jnp.where(jnp.isnan(fraction) | empty, jnp.nan, found)  # of a traced q, of no items
