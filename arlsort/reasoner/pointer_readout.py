# SPDX-License-Identifier: Apache-2.0
"""From predecessor pointers to a soft permutation, for networks without places.

Such a network gives F[j], the weight of j being first, and S[j, i], the weight of i preceding j in
the cyclic order. Forward from the first element, position 0 is F and position k + 1 is
S @ (position k); backward, the last position is S^T @ F. Each position trusts the nearer end.
Mean pointers do not determine the mean permutation, so this is a guess; networks with places do not
need it.
"""

from typing import Final

import chex
import jax
import jax.numpy as jnp

from arlsort.reasoner.decoders import log_sinkhorn
from arlsort.reasoner.readout import LOWEST_LOG

Array = jax.Array

_ROUNDS: Final = 20
_EPSILON: Final = 1e-9  # so that an element no pointer leads to is still placed somewhere


def permutation(log_pred: Array, log_first: Array, *, power: Array | float = 1.0) -> Array:
    """Reads a soft permutation from soft predecessor pointers.

    Args:
      log_pred: `[..., n, n]`, row j the log weights of j's cyclic predecessor.
      log_first: `[..., n]` log weights of being first.
      power: The pointers are raised to it first, `[..., 1]` or a scalar, at least 1; above 1 it
        decides near-ties.

    Returns:
      `P[..., n, n]`, row k the weights of the elements at ascending position k.

    Example:
      >>> import jax.numpy as jnp
      >>> log_pred = jnp.log(jnp.array([[0.0, 1.0], [1.0, 0.0]]))  # 1 precedes 0, cyclically
      >>> permutation(log_pred, jnp.log(jnp.array([0.0, 1.0]))).round(2).tolist()
      [[0.0, 1.0], [1.0, 0.0]]
    """
    chex.assert_equal_shape_prefix([log_pred, log_first], log_first.ndim)
    power = jnp.broadcast_to(jnp.asarray(power, log_pred.dtype), (*log_first.shape[:-1], 1))
    log_pred, log_first = (jnp.maximum(v, LOWEST_LOG) for v in (log_pred, log_first))
    pred = jnp.exp(log_sinkhorn(power[..., None] * log_pred, _ROUNDS, 1.0))
    first = jax.nn.softmax(power * log_first, axis=-1)
    forward = _chain(pred, first)
    transposed = jnp.swapaxes(pred, -1, -2)
    last = jnp.einsum("...ij,...j->...i", transposed, first)
    backward = jnp.flip(_chain(transposed, last), axis=-2)
    trust = jnp.linspace(1.0, 0.0, first.shape[-1], dtype=pred.dtype)
    trust = jnp.broadcast_to(trust[:, None], pred.shape)
    return _balance(trust * forward + (1 - trust) * backward)


def _chain(step: Array, start: Array) -> Array:
    """Positions start, step @ start, step @ step @ start, ..., each normalised to sum to one."""

    def follow(position: Array, _: None) -> tuple[Array, Array]:
        position = jnp.einsum("...ji,...i->...j", step, position)
        position = position / jnp.sum(position, axis=-1, keepdims=True)
        return position, position

    _, rest = jax.lax.scan(follow, start, None, length=start.shape[-1] - 1)
    return jnp.moveaxis(jnp.concatenate([start[None], rest]), 0, -2)


def _balance(weights: Array) -> Array:
    """Sinkhorn's normalisation of columns and rows in turn; rows sum to one exactly."""

    def normalise(weights: Array, _: None) -> tuple[Array, None]:
        weights = weights / jnp.sum(weights, axis=-2, keepdims=True)
        return weights / jnp.sum(weights, axis=-1, keepdims=True), None

    return jax.lax.scan(normalise, weights + _EPSILON, None, length=_ROUNDS)[0]
