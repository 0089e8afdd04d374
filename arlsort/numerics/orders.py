# SPDX-License-Identifier: Apache-2.0
"""The arguments of a likelihood: orders, noise scales and masks of lists."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from arlsort import checks
from arlsort.numerics import finite, prefixes


def check(
    x: Any, order: Any, noise_scales: Any, where: Any
) -> tuple[jax.Array, jax.Array, jax.Array | None, jax.Array | None]:
    """Checks the arguments of a likelihood: scores, their order, noise scales and a mask.

    Returns:
      The same as arrays, with zeros and scales of one where the mask has no item.

    Raises:
      TypeError: If one has the wrong type or dtype.
      ValueError: If one has another shape than `x`, an order is no permutation, or a noise scale is
        not positive and finite.
    """
    mask = None
    if where is not None:
        mask = checks.check_mask("where", where, checks.check_scores("x", x).shape)
        x = jnp.where(mask, x, 0)  # nothing that is masked is looked at
        if noise_scales is not None and jnp.shape(noise_scales) == mask.shape:
            noise_scales = jnp.where(mask, checks.check_scores("noise_scales", noise_scales), 1)
    x, order, noise_scales = checks.check_order(x, order, noise_scales)
    return x, order, noise_scales, mask


def sanitise(
    x: jax.Array, order: jax.Array, noise_scales: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array | None, jax.Array]:
    """Replaces invalid scores, orders and noise scales, so that no NaN reaches a gradient.

    Args:
      x: Scores `[..., n]`.
      order: Integers `[..., n]`.
      noise_scales: `[..., n]`, or None.

    Returns:
      The scores, finite and in the dtype of the computation; the order, or the identity if it is
      none; the scales, 1 where one is not positive and finite; and which lists `[...]` were invalid
      or had a NaN.
    """
    scores = finite.sanitise(x)
    identity = lax.broadcasted_iota(order.dtype, order.shape, order.ndim - 1)
    wrong = (jnp.sort(order, axis=-1) != identity).any(axis=-1)
    order = jnp.where(wrong[..., None], identity, order)
    if noise_scales is not None:
        noise_scales, not_scales = sanitise_scales(noise_scales, scores.dtype)
        wrong |= not_scales
    return scores, order, noise_scales, wrong | finite.has_nan(x)


def sanitise_scales(noise_scales: jax.Array, dtype: DTypeLike) -> tuple[jax.Array, jax.Array]:
    """The part of `sanitise` about noise scales `[..., n]`; says which lists `[...]` were wrong."""
    noise_scales = noise_scales.astype(dtype)
    smallest = jnp.finfo(noise_scales.dtype).tiny
    allowed = (noise_scales >= smallest) & (noise_scales < jnp.inf)  # a NaN is neither
    scales = jnp.where(allowed, noise_scales, jnp.ones_like(noise_scales))
    return scales, ~allowed.all(axis=-1)


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
