# SPDX-License-Identifier: Apache-2.0
"""From soft pointers to a soft permutation.

The reasoner gives F[j], the weight of j being first, and S[j, i], the weight of i preceding j in
the cyclic order. Forward from the first element, position 0 is F and position k + 1 is
S @ (position k). That chain is linear and needs no sort, but it forgets: every step loses what the
mean pointers do not say, and uncertain lists come out unsorted at the far end. The cycle also tells
the last element, S^T @ F, and a second chain runs back from there. The two-ended readout mixes the
two, each position trusting the nearer end, and balances the result to be doubly stochastic. What
pointers leave open `run_readout` finds in the steps; docs/learned_sort.md has the comparison.
"""

from typing import Final

import chex
import jax
import jax.numpy as jnp

from arlsort.reasoner.decoders import log_sinkhorn

Array = jax.Array

READOUTS: Final = ("two_ended", "chain")

BALANCING_ROUNDS: Final = 20
MAX_POWER: Final = 16.0
# What is this far down weighs nothing in float32; further down it would only make the derivative by
# the power overflow, where cotangents are of the size of the largest scores.
_LOWEST_LOG: Final = -128.0
_EPSILON: Final = 1e-9  # so that an element no pointer leads to is still placed somewhere


def permutation(
    log_pred: Array,
    log_first: Array,
    *,
    power: Array | float = 1.0,
    readout: str = "two_ended",
) -> Array:
    """Reads a soft permutation from soft pointers.

    Args:
      log_pred: ``[..., n, n]``, row j the log weights of j's cyclic predecessor.
      log_first: ``[..., n]`` log weights of being first.
      power: the pointers are raised to it first, ``[..., 1]`` or a scalar, at least 1; above 1 it
        decides near-ties that a chain would blur into wrong positions.
      readout: ``"two_ended"`` or ``"chain"`` (forward only, rows sum to one, columns need not).

    Returns:
      ``P[..., n, n]``, row k the distribution of the element at ascending position k.

    Example:
      >>> import jax.numpy as jnp
      >>> log_pred = jnp.log(jnp.array([[0.0, 1.0], [1.0, 0.0]]))  # 1 precedes 0, cyclically
      >>> permutation(log_pred, jnp.log(jnp.array([0.0, 1.0]))).round(2).tolist()
      [[0.0, 1.0], [1.0, 0.0]]
    """
    chex.assert_equal_shape_prefix([log_pred, log_first], log_first.ndim)
    power = jnp.broadcast_to(jnp.asarray(power, log_pred.dtype), (*log_first.shape[:-1], 1))
    log_pred, log_first = (jnp.maximum(v, _LOWEST_LOG) for v in (log_pred, log_first))
    pred = jnp.exp(log_sinkhorn(power[..., None] * log_pred, BALANCING_ROUNDS, 1.0))
    first = jax.nn.softmax(power * log_first, axis=-1)
    forward = chain(pred, first)
    if readout == "chain":
        return forward
    transposed = jnp.swapaxes(pred, -1, -2)
    last = jnp.einsum("...ij,...j->...i", transposed, first)
    backward = jnp.flip(chain(transposed, last), axis=-2)
    trust = jnp.linspace(1.0, 0.0, first.shape[-1], dtype=pred.dtype)
    trust = jnp.broadcast_to(trust[:, None], pred.shape)
    return balance(trust * forward + (1 - trust) * backward)


def chain(step: Array, start: Array) -> Array:
    """Positions start, step @ start, step @ step @ start, ..., each normalised to sum to one.

    Args:
      step: ``[..., n, n]``.
      start: ``[..., n]``.

    Returns:
      ``[..., n, n]``, row k the k-th position.
    """

    def follow(position: Array, _: None) -> tuple[Array, Array]:
        position = jnp.einsum("...ji,...i->...j", step, position)
        position = position / jnp.sum(position, axis=-1, keepdims=True)
        return position, position

    _, rest = jax.lax.scan(follow, start, None, length=start.shape[-1] - 1)
    return jnp.moveaxis(jnp.concatenate([start[None], rest]), 0, -2)


def balance(weights: Array) -> Array:
    """Sinkhorn's normalisation of columns and rows in turn; rows sum to one exactly."""
    chex.assert_equal(*weights.shape[-2:])

    def normalise(weights: Array, _: None) -> tuple[Array, None]:
        weights = weights / jnp.sum(weights, axis=-2, keepdims=True)
        return weights / jnp.sum(weights, axis=-1, keepdims=True), None

    return jax.lax.scan(normalise, weights + _EPSILON, None, length=BALANCING_ROUNDS)[0]
