# SPDX-License-Identifier: Apache-2.0
"""From place pointers to a soft permutation.

After the last step each element points to its place. The mean of that pointer is a column of the
mean permutation, so P is that pointer, transposed and balanced.
"""

from typing import Final

import chex
import jax
import jax.numpy as jnp

from arlsort.reasoner.decoders import log_doubly_stochastic

Array = jax.Array

MAX_POWER: Final = 16.0
# What is this far down weighs nothing in float32; further down it would only make the derivative by
# the power overflow, where cotangents are of the size of the largest scores.
LOWEST_LOG: Final = -128.0


def permutation(place_logits: Array, *, power: Array | float = 1.0) -> Array:
    """Reads a soft permutation from the last place pointers.

    Args:
      place_logits: `[..., n, n]`, row j the logits of j's places.
      power: The weights are raised to it before they are balanced, `[..., 1]` or a scalar, at
        least 1. Above 1 it decides near-ties.

    Returns:
      `P[..., n, n]`, row k the weights of the elements at ascending position k. Rows sum to one,
      columns nearly.

    Example:
      >>> import jax.numpy as jnp
      >>> logits = jnp.array([[0.0, 9.0], [9.0, 0.0]])  # element 0 is at place 1
      >>> permutation(logits).round(2).tolist()
      [[0.0, 1.0], [1.0, 0.0]]
    """
    chex.assert_equal(*place_logits.shape[-2:])
    batch = place_logits.shape[:-2]
    power = jnp.broadcast_to(jnp.asarray(power, place_logits.dtype), (*batch, 1))[..., None]
    logs = jnp.maximum(jax.nn.log_softmax(place_logits, axis=-1), LOWEST_LOG)
    return jnp.swapaxes(jnp.exp(log_doubly_stochastic(power * logs)), -1, -2)
