# SPDX-License-Identifier: Apache-2.0
"""Running a trained reasoner as a sort: scores in, soft pointers or a soft permutation out."""

import haiku as hk
import jax
import jax.numpy as jnp

from arlsort.reasoner import network
from arlsort.reasoner.config import ReasonerConfig

Array = jax.Array


def predict(
    params: hk.Params, config: ReasonerConfig, scores: Array, noise: str | None
) -> network.Prediction:
    """Runs the reasoner on lists at evenly spaced positions.

    Args:
      params: parameters.
      config: the reasoner.
      scores: ``[b, n]`` keys at the scale the reasoner was trained for.
      noise: law of the perturbation it was trained with; None for clean keys.
    """
    n = scores.shape[-1]
    pos = jnp.broadcast_to(jnp.arange(n, dtype=scores.dtype) / n, scores.shape)
    return network.transform(config).apply(params, None, scores, pos, noise=noise)


def log_pointers(
    params: hk.Params, config: ReasonerConfig, scores: Array, noise: str | None
) -> tuple[Array, Array]:
    """The output of :func:`predict` in logs.

    Returns:
      ``[b, n, n]``, row j the log weights of j's cyclic predecessor, and ``[b, n]``, the log
      weights of being first.
    """
    prediction = predict(params, config, scores, noise)
    return prediction.pred, jax.nn.log_softmax(prediction.pred_mask, axis=-1)


def unit_range(x: Array) -> Array:
    """Maps each list ``[..., n]`` affinely to range 1, centred on its mean; ties go to 0."""
    span = safe_range(x)
    unit = jax.lax.stop_gradient(span)
    centred = (x - jnp.mean(x, axis=-1, keepdims=True)) / unit
    # The second divisor is one. Its derivative is that of the range, and in two steps no square of
    # a very large or very small range comes into it.
    return centred / (span / unit)


def safe_range(x: Array) -> Array:
    """Range of each list, ``[..., 1]``; 1 where all its scores are equal."""
    span = jnp.max(x, -1, keepdims=True) - jnp.min(x, -1, keepdims=True)
    return jnp.where(span > 0, span, 1.0)
