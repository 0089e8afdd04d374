# SPDX-License-Identifier: Apache-2.0
"""Soft permutations: how to apply, harden and check them.

A soft permutation is an array `P[..., n, n]` of non-negative weights: `P[..., i, j]` is the weight
of input `j` at ascending position `i`. Rows are output positions and sum to one. Some methods give
matrices whose columns sum to one as well (doubly stochastic), some do not.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from arlsort.checks import error_message
from arlsort.numerics import finite


def apply(permutation: jax.Array, x: jax.Array) -> jax.Array:
    """Applies a soft permutation to scalars or to rows.

    The result is `sum_j P[..., i, j] x[..., j]`, computed at the full precision of the dtype on
    every backend. Infinite and NaN inputs change nothing where their weight is zero.

    Args:
      permutation: Weights of shape `[..., n, n]`.
      x: Scalars `[..., n]`, or rows `[..., n, d]`; the rank decides.

    Returns:
      An array of the shape of `x`.

    Raises:
      ValueError: If the rank of `x` is neither that of `permutation` nor one less.

    Example:
      >>> import jax.numpy as jnp
      >>> swap = jnp.array([[0.0, 1.0], [1.0, 0.0]])
      >>> print(apply(swap, jnp.array([5.0, 3.0])))
      [3. 5.]
    """
    if x.ndim == permutation.ndim:
        return finite.mix(functools.partial(multiply, permutation), x)
    if x.ndim != permutation.ndim - 1:
        raise ValueError(
            error_message(
                "x",
                f"rank {x.ndim}",
                f"{permutation.ndim - 1} (scalars) or {permutation.ndim} (rows) for a permutation "
                f"of rank {permutation.ndim}",
            )
        )
    return finite.mix(functools.partial(multiply, permutation), x[..., None])[..., 0]


def multiply(permutation: jax.Array, rows: jax.Array) -> jax.Array:
    """As `apply`, to rows `[..., n, d]` that are known to be finite."""
    return jnp.einsum("...ij,...jd->...id", permutation, rows, precision=lax.Precision.HIGHEST)


def multiply_scores(permutation: jax.Array, x: jax.Array) -> jax.Array:
    """As `apply`, to scalars `[..., n]` that are known to be finite."""
    return jnp.einsum("...ij,...j->...i", permutation, x, precision=lax.Precision.HIGHEST)


def from_order(order: jax.Array, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Makes the exact permutation matrix of an order.

    `P[..., i, j] = 1` where `j = order[..., i]`, else 0.

    Args:
      order: Integers `[..., n]`: the index of the input at each position, as `jnp.argsort` gives.
      dtype: The dtype of the result.

    Returns:
      One-hot rows, `[..., n, n]`.

    Example:
      >>> import jax.numpy as jnp
      >>> print(from_order(jnp.array([1, 0])))
      [[0. 1.]
       [1. 0.]]
    """
    return jax.nn.one_hot(order, order.shape[-1], dtype=dtype)


def to_ranks(permutation: jax.Array, count: jax.Array | None = None) -> jax.Array:
    """Gives the expected 0-based position of every input.

    `ranks[..., j] = sum_i i P[..., i, j] / sum_i P[..., i, j]`. The division makes ranks means
    where columns do not sum to one, and changes nothing for a doubly stochastic matrix. An input
    without any weight gets the middle position `(n - 1) / 2`.

    Args:
      permutation: Weights of shape `[..., n, n]`.
      count: How many positions each list has, `[...]`, if not n. The middle is then `(count - 1) /
        2`.

    Returns:
      Soft ranks `[..., n]`, in the inputs' own positions.

    Example:
      >>> import jax.numpy as jnp
      >>> print(to_ranks(jnp.array([[0.0, 1.0], [1.0, 0.0]])))
      [1. 0.]
    """
    n = permutation.shape[-1]
    dtype = permutation.dtype
    work = permutation.astype(finite.work_dtype(permutation))
    positions = lax.broadcasted_iota(work.dtype, work.shape, work.ndim - 2)
    weight = work.sum(axis=-2)  # [..., n]
    # Not `weight > eps`: a NaN weight must reach the result, not the fallback.
    absent = weight <= jnp.finfo(work.dtype).eps
    ranks = (positions * work).sum(axis=-2) / jnp.where(absent, 1.0, weight)
    middle = jnp.asarray((n - 1) / 2, work.dtype)
    if count is not None:
        middle = (jnp.maximum(count, 1)[..., None] - 1).astype(work.dtype) / 2
    return jnp.where(absent, middle, ranks).astype(dtype)


def harden(permutation: jax.Array) -> jax.Array:
    """Gives the exact permutation nearest in order to a soft one.

    Inputs are placed by their expected position (`to_ranks`), ties by index. Unlike the argmax of
    each row, the result is always a permutation. It has no gradient.

    Args:
      permutation: Weights of shape `[..., n, n]`.

    Returns:
      One-hot rows `[..., n, n]` of the same dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> print(harden(jnp.array([[0.4, 0.6], [0.6, 0.4]])))
      [[0. 1.]
       [1. 0.]]
    """
    order = jnp.argsort(lax.stop_gradient(to_ranks(permutation)), axis=-1, stable=True)
    return from_order(order, permutation.dtype)


def is_row_stochastic(permutation: jax.Array, atol: float = 1e-5) -> jax.Array:
    """Tells which matrices of a batch have non-negative weights and rows that sum to one.

    Args:
      permutation: Weights of shape `[..., n, n]`.
      atol: What a sum may miss one by, and a weight may lie below zero.

    Returns:
      Booleans `[...]`.

    Example:
      >>> import jax.numpy as jnp
      >>> print(is_row_stochastic(jnp.array([[1.0, 0.0], [1.0, 0.0]])))
      True
    """
    non_negative = jnp.all(permutation >= -atol, axis=(-2, -1))
    return non_negative & jnp.all(jnp.abs(permutation.sum(axis=-1) - 1) <= atol, axis=-1)


def is_doubly_stochastic(permutation: jax.Array, atol: float = 1e-5) -> jax.Array:
    """Tells which matrices of a batch are row-stochastic and have columns that sum to one.

    Args:
      permutation: Weights of shape `[..., n, n]`.
      atol: What a sum may miss one by, and a weight may lie below zero.

    Returns:
      Booleans `[...]`.

    Example:
      >>> import jax.numpy as jnp
      >>> print(is_doubly_stochastic(jnp.array([[1.0, 0.0], [1.0, 0.0]])))
      False
    """
    columns = jnp.all(jnp.abs(permutation.sum(axis=-2) - 1) <= atol, axis=-1)
    return is_row_stochastic(permutation, atol) & columns
