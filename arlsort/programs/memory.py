# SPDX-License-Identifier: Apache-2.0
"""Soft reads and writes of an array, at weights over its places."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from arlsort.checks import check_integer, error_message
from arlsort.programs import states

Axes = int | tuple[int, ...]


def read(array: ArrayLike, weights: ArrayLike, axis: Axes = 0) -> jax.Array:
    """Reads softly: `sum_i weights[i] array[i]` along an axis, or along several.

    Args:
      array: Floating.
      weights: In [0, 1], one for each place: of the shape that the array has along its axes.
      axis: One axis, or a tuple of as many as the weights have.

    Returns:
      The array without these axes.

    Raises:
      TypeError: If the array is not floating.
      ValueError: If the axes are not those of the array, shapes differ, or a weight of Python or
        NumPy is outside [0, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> print(read(jnp.array([1.0, 2.0, 4.0]), jnp.array([0.0, 0.5, 0.5])))
      3.0
    """
    array = states.check_floating("array", array)
    share, axes = _placed(array, weights, axis)
    return states.times(share, array).sum(axis=axes)


def write(array: ArrayLike, weights: ArrayLike, value: Any, axis: Axes = 0) -> jax.Array:
    """Writes softly: `w value + (1 - w) array` at every place.

    Args:
      array: Floating.
      weights: As for `read`.
      value: A number or an array of the shape of the array without these axes.
      axis: As for `read`.

    Returns:
      An array of the shape and dtype of the first.

    Raises:
      TypeError: As `read`.
      ValueError: As `read`, and if the value has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> print(write(jnp.array([1.0, 2.0, 4.0]), jnp.array([0.0, 0.5, 1.0]), 3.0))
      [1.  2.5 3. ]
    """
    array = states.check_floating("array", array)
    share, axes = _placed(array, weights, axis)
    rest = tuple(size for place, size in enumerate(array.shape) if place not in axes)
    if np.shape(value) not in ((), rest):
        allowed = f"a number, or shape {rest}"
        raise ValueError(error_message("value", f"shape {np.shape(value)}", allowed))
    value = jnp.broadcast_to(jnp.asarray(value, array.dtype), rest)
    new = jnp.broadcast_to(jnp.expand_dims(value, axes), array.shape)
    return states.between(share, new, array)


def _placed(array: jax.Array, weights: ArrayLike, axis: Axes) -> tuple[jax.Array, tuple[int, ...]]:
    """Weights with as many axes as the array, and the axes that they are of."""
    given = axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(check_integer("axis", one) for one in given)
    if not all(-array.ndim <= one < array.ndim for one in axes):
        raise ValueError(error_message("axis", axis, f"axes of an array of rank {array.ndim}"))
    axes = tuple(one % array.ndim for one in axes)
    if len(set(axes)) < len(axes):
        raise ValueError(error_message("axis", axis, "every axis once"))
    share = states.check_weight("weights", weights).astype(array.dtype)
    shape = tuple(array.shape[one] for one in axes)
    if share.shape != shape:
        raise ValueError(error_message("weights", f"shape {share.shape}", f"shape {shape}"))
    ordered = share.transpose(sorted(range(len(axes)), key=lambda one: axes[one]))
    rest = tuple(place for place in range(array.ndim) if place not in axes)
    return jnp.broadcast_to(jnp.expand_dims(ordered, rest), array.shape), axes
