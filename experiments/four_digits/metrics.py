# SPDX-License-Identifier: Apache-2.0
"""How well scores order a list, measured as published."""

import jax
import jax.numpy as jnp

FIRST = 5
"""EM5 looks at so many elements of a list."""


def in_place(scores: jax.Array, numbers: jax.Array) -> jax.Array:
    """Tells which positions of the order of the scores hold the element that belongs there.

    Both orders are stable argsorts, so that equal numbers must come in the order of the list, as
    in the published measurement: another order of two equal numbers counts as wrong.

    Args:
      scores: `[..., n]`.
      numbers: `[..., n]`.

    Returns:
      Booleans `[..., n]`.
    """
    return jnp.argsort(scores, axis=-1) == jnp.argsort(numbers, axis=-1)


def accuracy(scores: jax.Array, numbers: jax.Array) -> dict[str, jax.Array]:
    """Gives EM, EW and EM5 of each list.

    EM is whether the whole order is right, EW the share of elements in their place, EM5 the EM of
    the first five elements of the list on their own (of all where a list is shorter).

    Args:
      scores: `[..., n]`.
      numbers: `[..., n]`.

    Returns:
      `em`, `ew` and `em5`, floats `[...]`.
    """
    right = in_place(scores, numbers)
    first = in_place(scores[..., :FIRST], numbers[..., :FIRST])
    return {
        "em": right.all(axis=-1).astype(jnp.float32),
        "ew": right.mean(axis=-1),
        "em5": first.all(axis=-1).astype(jnp.float32),
    }
