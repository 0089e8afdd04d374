# SPDX-License-Identifier: Apache-2.0
"""CLRS's losses for the probes of a sort, with soft targets allowed.

With one-hot targets they are CLRS's own: the mean cross-entropy of each hint over its recorded
states and of each output, added up.
"""

import math

import chex
import jax
import jax.numpy as jnp

from arlsort.reasoner.decoders import log_doubly_stochastic
from arlsort.reasoner.hints import Batch
from arlsort.reasoner.network import Prediction

Array = jax.Array


def _cross_entropy(target: Array, logits: Array) -> Array:
    """Sum over the last axis of `-target * log_softmax(logits)`."""
    chex.assert_equal_shape([target, logits])  # one choice would broadcast
    return -jnp.sum(target * jax.nn.log_softmax(logits, axis=-1), axis=-1)


def recorded_steps(batch: Batch) -> Array:
    """Number of recorded steps of all lists together."""
    return jnp.sum(batch.lengths - 1)


def hint_losses(
    batch: Batch, prediction: Prediction, steps: Array | None = None
) -> dict[str, Array]:
    """Mean cross-entropy of each hint, over the recorded steps of each list.

    A hint of type POINTER averages over lists, steps and elements, others over lists and steps.

    Args:
      batch: The targets.
      prediction: What the network said.
      steps: Recorded steps to average over, where the batch is a part of a larger one.
    """
    steps = recorded_steps(batch) if steps is None else steps
    after = jnp.arange(prediction.hints["pred_h"].shape[0])[:, None] + 1
    live = batch.lengths[None] > after  # [T - 1, b]

    def mean(loss: Array) -> Array:
        counted = jnp.where(jnp.expand_dims(live, range(2, loss.ndim)), loss, 0.0)
        each = math.prod(loss.shape[2:])
        return jnp.sum(counted) / jnp.maximum(steps * each, 1)

    return {
        name: mean(_cross_entropy(target[1:], prediction.hints[name]))
        for name, target in batch.hints.items()
        if name in prediction.hints
    }


def output_losses(
    batch: Batch, prediction: Prediction, lists: int | None = None
) -> dict[str, Array]:
    """Mean cross-entropies of output pointers, mask of the first element, and places.

    Args:
      batch: The targets.
      prediction: What the network said.
      lists: Lists to average over, where the batch is a part of a larger one.
    """
    b, n = batch.keys.shape
    chex.assert_equal_shape([batch.pred, prediction.pred])
    lists = b if lists is None else lists
    outputs = {
        "pred": -jnp.sum(batch.pred * prediction.pred) / (lists * n),
        "pred_mask": jnp.sum(_cross_entropy(batch.pred_mask, prediction.pred_mask)) / lists,
    }
    if prediction.places is not None:
        outputs["places"] = -jnp.sum(batch.places * log_places(prediction)) / (lists * n)
    return outputs


def log_places(prediction: Prediction) -> Array:
    """Log weights of the last place pointers `[b, n, n]`, balanced as in the permutation."""
    assert prediction.places is not None
    return log_doubly_stochastic(prediction.places)


def add_up(parts: dict[str, Array]) -> Array:
    """Sum of named losses."""
    return jnp.sum(jnp.stack(list(parts.values())))
