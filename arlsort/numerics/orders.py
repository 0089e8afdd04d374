# SPDX-License-Identifier: Apache-2.0
"""Orders, noise scales and masks of lists: what a likelihood of an order is given."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from arlsort import checks
from arlsort.numerics import prefixes


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


def check_mask(where: Any, x: Any) -> jax.Array | None:
    """Checks a mask of scores `[..., n]`, if there is one."""
    if where is None:
        return None
    return checks.check_mask("where", where, checks.check_scores("x", x).shape)


def without_masked(x: Any, noise_scales: Any, where: jax.Array | None) -> tuple[Any, Any]:
    """Puts zeros and scales of one where a mask has no item, so that nothing there is looked at."""
    if where is None:
        return x, noise_scales
    x = jnp.where(where, x, 0)
    if noise_scales is not None and jnp.shape(noise_scales) == where.shape:
        noise_scales = jnp.where(where, checks.check_scores("noise_scales", noise_scales), 1)
    return x, noise_scales


def to_front(
    where: jax.Array, scores: jax.Array, order: jax.Array, noise_scales: jax.Array | None
) -> tuple[jax.Array, ...]:
    """Moves the items of each list to its front.

    Args:
      where: Mask `[..., n]`.
      scores: `[..., n]`.
      order: `[..., n]`, of all elements, masked ones anywhere.
      noise_scales: `[..., n]`, or None.

    Returns:
      The number of items `[...]`; their scores in front; their order, which of the first `m` places
      are the numbers 0 to m - 1; and their noise scales, if there are any.
    """
    place, count = prefixes.to_front(where)
    lists = [scores] if noise_scales is None else [scores, noise_scales]
    source = jnp.argsort(place, axis=-1)
    front = [jnp.take_along_axis(part, source, axis=-1) for part in lists]
    moved = jnp.take_along_axis(place, order, axis=-1)  # items have places below the count
    items, _ = prefixes.to_front(moved < count[..., None])
    order = jnp.take_along_axis(moved, jnp.argsort(items, axis=-1), axis=-1)
    return count, front[0], order, *front[1:]
