# SPDX-License-Identifier: Apache-2.0
"""Scales shares to a total, each at most one.

`min(1, λ s[j])`, with λ such that the sum is k, is the Kullback-Leibler projection of s onto the
capped simplex. Sorting the shares tells which are capped, in O(n log n). The rest is a closed form.
"""

import jax
import jax.numpy as jnp
from jax import lax


def fill(log_shares: jax.Array, total: jax.Array) -> jax.Array:
    """Scales shares so that they sum to a total, none above one.

    Args:
      log_shares: Logarithms of the shares `[..., n]`; minus infinity where there is none.
      total: `[...]`, at most the number of shares there are.

    Returns:
      `[..., n]` in [0, 1], summing to the total where 0 < total; differentiable by the shares.

    Example:
      >>> import jax.numpy as jnp
      >>> print(fill(jnp.log(jnp.array([8.0, 1.0, 1.0])), jnp.array(2.0)).round(2))
      [1.  0.5 0.5]
    """
    n = log_shares.shape[-1]
    known = lax.stop_gradient(log_shares)
    descending = -jnp.sort(-known, axis=-1)
    axis = descending.ndim - 1
    rest = lax.cumlogsumexp(descending, axis=axis, reverse=True)
    left = total[..., None] - lax.broadcasted_iota(known.dtype, known.shape, axis)
    # With the first c cut off, the largest of the others must fit below one.
    scale = jnp.log(jnp.maximum(left, jnp.finfo(known.dtype).tiny)) - rest
    fits = (left <= 0) | (scale + descending <= 0)
    cut = jnp.where(fits.any(axis=-1), jnp.argmax(fits, axis=-1), n)
    order = jnp.argsort(jnp.argsort(-known, axis=-1), axis=-1)
    free = (order >= cut[..., None]) & (known > -jnp.inf)
    below = jnp.where(free, log_shares, 0.0)
    top = jnp.where(free, known, -jnp.inf).max(axis=-1, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    weights = jnp.where(free, jnp.exp(below - top), 0.0)
    amount = weights.sum(axis=-1, keepdims=True)
    remaining = jnp.maximum(total - cut.astype(known.dtype), 0.0)[..., None]
    shared = weights * (remaining / jnp.where(amount > 0, amount, 1.0))
    return jnp.where(order < cut[..., None], 1.0, shared)
