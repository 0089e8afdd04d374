# SPDX-License-Identifier: Apache-2.0
"""How scores become keys: the scale of a list for a reasoner."""

import jax
import jax.numpy as jnp

from arlsort.numerics import prefixes

Array = jax.Array

HOTTEST = 1e6  # temperature in ranges of a list: there is nothing left of it long before
_SMALLEST_SPAN = 1e-30  # keeps its reciprocal, a gradient, far from overflow in float32


def unit_range(x: Array, count: Array | None = None) -> Array:
    """Maps each list `[..., n]` affinely to range 1, centred on its mean; ties go to 0.

    With a count `[...]` the first ones are the list; the others are at its mean.
    """
    if count is None:
        middle = jnp.mean(x, axis=-1, keepdims=True)
    else:
        middle = prefixes.mean(x, count)
        x = prefixes.keep(x, count, middle)
    span = safe_range(x)
    unit = jax.lax.stop_gradient(span)
    centred = (x - middle) / unit
    # The second divisor is one. Its derivative is that of the range, and in two steps no square of
    # a very large or very small range comes into it.
    return centred / (span / unit)


def safe_range(x: Array) -> Array:
    """Range of each list, `[..., 1]`; 1 where all its scores are equal."""
    span = jnp.max(x, -1, keepdims=True) - jnp.min(x, -1, keepdims=True)
    return jnp.where(span > 0, span, 1.0)


def relative_temperature(scores: Array, temperature: Array, normalize: bool) -> Array:
    """The temperature as a fraction of the range of each list, `[..., 1]`."""
    return jnp.minimum(jnp.asarray(temperature, scores.dtype) / _span(scores, normalize), HOTTEST)


def keys(
    scores: Array,
    temperature: Array,
    *,
    normalize: bool,
    sharpest_spread: float,
    log_noise_scale: Array | None = None,
) -> Array:
    """Scores in units of the noise, as the network was trained on them, `[..., n]`.

    Args:
      scores: `[..., n]`.
      temperature: A scalar; of the range of each list if `normalize`, else in the unit of scores.
      normalize: Whether each list is first mapped to range 1.
      sharpest_spread: The range of keys at which the network sorts best; lists of wider spread are
        scaled back to it.
      log_noise_scale: `[..., 1]`; its exponential multiplies the temperature of each list.
    """
    unit = unit_range(scores)
    relative, coldest = relative_temperature(scores, temperature, normalize), 1.0 / sharpest_spread
    if log_noise_scale is not None:
        relative = jnp.minimum(relative * jnp.exp(log_noise_scale), HOTTEST)
    if not normalize:
        centred = (scores - jnp.mean(scores, axis=-1, keepdims=True)) / _span(scores, normalize)
        unit = jnp.where(relative < coldest, unit, centred)
    return unit / _at_least(relative, coldest)


def clean_keys(scores: Array) -> Array:
    """Scores as a network that was trained without noise sees them: in [0, 1]."""
    unit = unit_range(scores)
    return unit - jnp.min(unit, axis=-1, keepdims=True)


def power_below(relative: Array, sharpest_spread: float, most: float) -> Array:
    """How far a temperature is below the coldest, as a power of pointers, 1 to `most`."""
    coldest = 1.0 / sharpest_spread
    return _at_least(coldest / _at_least(relative, coldest / most), 1.0)


def _span(scores: Array, normalize: bool) -> Array:
    """The unit of the temperature, `[..., 1]`: each list's range, or 1 if normalized."""
    if normalize:
        return jnp.ones((*scores.shape[:-1], 1), scores.dtype)
    return jnp.maximum(jax.lax.stop_gradient(safe_range(scores)), _SMALLEST_SPAN)


def _at_least(x: Array, low: float) -> Array:
    """`maximum(x, low)` whose derivative below `low` is zero even for an infinite cotangent."""
    return jnp.where(x < low, low, x)
