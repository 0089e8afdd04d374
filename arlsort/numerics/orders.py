# SPDX-License-Identifier: Apache-2.0
"""Orders and noise scales that are traced, so that nobody could refuse them."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike


def sanitise(
    order: jax.Array, noise_scales: jax.Array | None, dtype: DTypeLike
) -> tuple[jax.Array, jax.Array | None, jax.Array]:
    """Replaces what is no order, and noise that is no scale, so that no NaN reaches any gradient.

    Args:
      order: Integers `[..., n]`.
      noise_scales: `[..., n]`, or None.
      dtype: Of the computation, and of the scales that are returned.

    Returns:
      The order, the identity where it is none; the scales, 1 where one is not positive and finite;
      and which lists `[...]` were such.
    """
    identity = lax.broadcasted_iota(order.dtype, order.shape, order.ndim - 1)
    wrong = (jnp.sort(order, axis=-1) != identity).any(axis=-1)
    order = jnp.where(wrong[..., None], identity, order)
    if noise_scales is not None:
        noise_scales, not_scales = sanitise_scales(noise_scales, dtype)
        wrong |= not_scales
    return order, noise_scales, wrong


def sanitise_scales(noise_scales: jax.Array, dtype: DTypeLike) -> tuple[jax.Array, jax.Array]:
    """The part of `sanitise` about noise scales `[..., n]`; says which lists `[...]` were wrong."""
    noise_scales = noise_scales.astype(dtype)
    smallest = jnp.finfo(noise_scales.dtype).tiny
    allowed = (noise_scales >= smallest) & (noise_scales < jnp.inf)  # a NaN is neither
    scales = jnp.where(allowed, noise_scales, jnp.ones_like(noise_scales))
    return scales, ~allowed.all(axis=-1)
