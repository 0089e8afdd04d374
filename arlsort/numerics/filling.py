# SPDX-License-Identifier: Apache-2.0
"""Scales shares to a total, each at most one.

`min(1, λ s[j])`, with λ such that the sum is k, is the Kullback-Leibler projection of s onto the
capped simplex. No more than k shares are capped, and they are the largest: the k + 1 largest tell
how many there are. The rest is a closed form.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp


def fill(log_shares: jax.Array, total: jax.Array, most: int) -> jax.Array:
    """Scales shares so that they sum to a total, none above one.

    Args:
      log_shares: Logarithms of the shares `[..., n]`; minus infinity where there is none.
      total: `[...]`, at most the number of shares there are.
      most: The largest total there can be, at most n.

    Returns:
      `[..., n]` in [0, 1], summing to the total where 0 < total; differentiable by the shares.

    Example:
      >>> import jax.numpy as jnp
      >>> print(fill(jnp.log(jnp.array([8.0, 1.0, 1.0])), jnp.array(2.0), most=2).round(2))
      [1.  0.5 0.5]
    """
    known = lax.stop_gradient(log_shares)
    threshold = _largest_free(known, total, min(most + 1, known.shape[-1]))
    capped = known > threshold
    free = ~capped & (known > -jnp.inf)
    below = jnp.where(free, log_shares, 0.0)
    top = jnp.where(free, known, -jnp.inf).max(axis=-1, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    weights = jnp.where(free, jnp.exp(below - top), 0.0)
    amount = weights.sum(axis=-1, keepdims=True)
    ones = capped.sum(axis=-1, keepdims=True, dtype=known.dtype)
    remaining = jnp.maximum(total[..., None] - ones, 0.0)
    shared = weights * (remaining / jnp.where(amount > 0, amount, 1.0))
    return jnp.where(capped, 1.0, shared)


def _largest_free(known: jax.Array, total: jax.Array, heads: int) -> jax.Array:
    """The largest share that is not capped `[..., 1]`, one of so many largest."""
    head = lax.top_k(known, heads)[0]
    last = head[..., -1:]
    # Shares level with the last one may be among the heads, or behind them.
    level = (known == last).sum(axis=-1) - (head == last).sum(axis=-1)
    behind = logsumexp(jnp.where(known < last, known, -jnp.inf), axis=-1)
    behind = jnp.logaddexp(behind, last[..., 0] + jnp.log(level.astype(known.dtype)))
    axis = head.ndim - 1
    rest = lax.cumlogsumexp(head, axis=axis, reverse=True)
    rest = jnp.logaddexp(rest, behind[..., None])
    left = total[..., None] - lax.broadcasted_iota(known.dtype, head.shape, axis)
    # With the first c cut off, the largest of the others must fit below one.
    scale = jnp.log(jnp.maximum(left, jnp.finfo(known.dtype).tiny)) - rest
    fits = (left <= 0) | (scale + head <= 0)
    first = jnp.take_along_axis(head, jnp.argmax(fits, axis=-1)[..., None], axis=-1)
    return jnp.where(fits.any(axis=-1, keepdims=True), first, -jnp.inf)
