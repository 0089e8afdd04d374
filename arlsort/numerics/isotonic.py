# SPDX-License-Identifier: Apache-2.0
"""Isotonic regression, with its exact derivative.

`pooling` finds which elements are averaged together. These blocks are constants here, so the
Jacobian product of a block sum is a block sum.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics.pooling import Blocks, blocks_entropic, blocks_l2


def isotonic_l2(y: jax.Array) -> jax.Array:
    """Minimises `sum_i (v_i - y_i)^2` over nondecreasing v.

    Args:
      y: `[..., n]`, finite, with n >= 1.

    Returns:
      The minimiser `[..., n]`: each block has the mean of its y. Differentiable, also twice and in
      both modes; where adjacent blocks are equal the derivative is that of one block.

    Example:
      >>> import jax.numpy as jnp
      >>> print(isotonic_l2(jnp.array([1.0, 3.0, 2.0, 4.0])))
      [1.  2.5 2.5 4. ]
    """
    return block_mean(y, blocks_l2(y))


def isotonic_entropic(s: jax.Array, w: jax.Array) -> jax.Array:
    """Minimises `sum_i exp(s_i - v_i) + exp(w_i) v_i` over nondecreasing v.

    Args:
      s: Nondecreasing along the last axis, `[..., n]`, finite, with n >= 1.
      w: The same.

    Returns:
      The minimiser `[..., n]`: each block has `logsumexp(s) - logsumexp(w)` over itself.
      Differentiable as `isotonic_l2`.

    Example:
      >>> import jax.numpy as jnp
      >>> print(isotonic_entropic(jnp.array([3.0, 1.0]), jnp.array([0.0, 2.0])).round(3))
      [1. 1.]
    """
    blocks = blocks_entropic(s, w)
    return block_logsumexp(s, blocks) - block_logsumexp(w, blocks)


def block_sum(x: jax.Array, blocks: Blocks) -> jax.Array:
    """Gives each position the sum over its block, `[..., n]`.

    It adds in the shape of a tree, and nothing but elements of the block: a difference of two
    running sums over the row would lose the digits of short blocks.
    """
    first = blocks.start == lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)

    def add(
        a: tuple[jax.Array, jax.Array], b: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        return jnp.where(b[1], b[0], a[0] + b[0]), a[1] | b[1]

    def total(_: Any, x: jax.Array) -> jax.Array:
        running, _ = lax.associative_scan(add, (x, first), axis=x.ndim - 1)
        return _take(running, blocks.end)

    # The matrix of this map is its own transpose. Only a linear solve can be told so in JAX for
    # both modes and under vmap; left alone, transposing a scan and a gather would cost a scatter.
    return lax.custom_linear_solve(lambda x: x, x, total, symmetric=True)


def block_mean(x: jax.Array, blocks: Blocks) -> jax.Array:
    """Gives each position the mean over its block, `[..., n]`; exactly x where it is alone."""
    # Dividing first keeps the sums in the range of x.
    return block_sum(x / (blocks.end - blocks.start + 1).astype(x.dtype), blocks)


def block_logsumexp(x: jax.Array, blocks: Blocks) -> jax.Array:
    """Gives each position the `logsumexp` over its block, for x that is nondecreasing in it."""
    top = lax.stop_gradient(_take(x, blocks.end))
    return top + jnp.log(block_sum(jnp.exp(x - top), blocks))


def _take(x: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take_along_axis(x, index, axis=-1, mode="promise_in_bounds")
