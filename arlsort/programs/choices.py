# SPDX-License-Identifier: Apache-2.0
"""Soft minimum and maximum, of arguments or along an axis, and the weights of which one it is."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arlsort.checks import check_integer, error_message
from arlsort.numerics import finite
from arlsort.programs import conditions, states


def stacked(values: tuple[Any, ...], axis: int | None) -> tuple[jax.Array, int]:
    """The choices and their axis: arguments are stacked along a new last one.

    Raises:
      ValueError: If there is no argument, or several with an axis, or an axis that is not there.
    """
    if not values or (axis is not None and len(values) > 1):
        allowed = "one or more arrays, or one array and an axis"
        raise ValueError(error_message("values", f"{len(values)} with axis {axis}", allowed))
    if axis is None:
        return jnp.stack(jnp.broadcast_arrays(*conditions.numbers(*values)), axis=-1), -1
    (array,) = conditions.numbers(*values)
    axis = check_integer("axis", axis)
    if not -array.ndim <= axis < array.ndim or array.shape[axis] == 0:
        allowed = f"an axis of shape {array.shape} that is not empty"
        raise ValueError(error_message("axis", axis, allowed))
    return array, axis


def weights(
    values: jax.Array, temperature: jax.Array, axis: int, sign: float, exact: bool
) -> jax.Array:
    """`softmax(sign values / temperature)` along an axis; exact: all weight on the first best."""
    scores = finite.clip(sign * values)
    if exact:
        best = jnp.argmax(scores, axis=axis, keepdims=True)
        places = jax.lax.broadcasted_iota(best.dtype, values.shape, axis % values.ndim)
        unknown = jnp.isnan(scores).any(axis=axis, keepdims=True) | jnp.isnan(temperature)
        return jnp.where(unknown, jnp.nan, (places == best).astype(values.dtype))
    below = scores - jax.lax.stop_gradient(scores.max(axis=axis, keepdims=True))
    # What has no weight in this dtype is cut off, so that the division does not overflow.
    cutoff = -2.0 * math.log(float(np.finfo(values.dtype).tiny))
    shares = jnp.exp(jnp.maximum(below, -cutoff * temperature) / temperature)
    return shares / shares.sum(axis=axis, keepdims=True)


def mean(share: jax.Array, values: jax.Array, axis: int) -> jax.Array:
    """The weighted sum along an axis; infinite values without weight change nothing."""
    return states.times(share, values).sum(axis=axis)
