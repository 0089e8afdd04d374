# SPDX-License-Identifier: Apache-2.0
"""CLRS's losses for the probes of a sort, with soft targets allowed.

With one-hot targets they are CLRS's own: the mean cross-entropy of each hint over its recorded
states and of each output, added up.
"""

import jax
import jax.numpy as jnp

from arlsort.reasoner.hints import Batch
from arlsort.reasoner.network import Prediction

Array = jax.Array

_EPSILON = 1e-12


def _cross_entropy(target: Array, logits: Array) -> Array:
    """Sum over the last axis of ``-target * log_softmax(logits)``."""
    return -jnp.sum(target * jax.nn.log_softmax(logits, axis=-1), axis=-1)


def hint_losses(batch: Batch, prediction: Prediction) -> dict[str, Array]:
    """Mean cross-entropy of each hint, over the states each list really has.

    A pointer hint averages over lists, states and elements, a mask hint over lists and states.
    """
    steps = prediction.pointers.shape[0]
    live = (batch.lengths[None] > jnp.arange(steps)[:, None] + 1).astype(jnp.float32)  # [T-1, b]

    def mean(loss: Array) -> Array:
        weight = jnp.broadcast_to(jnp.expand_dims(live, range(2, loss.ndim)), loss.shape)
        return jnp.sum(loss * weight) / jnp.maximum(jnp.sum(weight), _EPSILON)

    losses = {"pred_h": mean(_cross_entropy(batch.pointers[1:], prediction.pointers))}
    for name, target in batch.masks.items():
        losses[name] = mean(_cross_entropy(target[1:], prediction.masks[name]))
    return losses


def output_losses(batch: Batch, prediction: Prediction) -> dict[str, Array]:
    """Mean cross-entropy of the output pointers and of the mask of the first element."""
    return {
        "pred": jnp.mean(-jnp.sum(batch.pred * prediction.pred, axis=-1)),
        "pred_mask": jnp.mean(_cross_entropy(batch.pred_mask, prediction.pred_mask)),
    }


def total_loss(batch: Batch, prediction: Prediction, hint_weight: float = 1.0) -> Array:
    """Sum of the output losses and ``hint_weight`` times the hint losses (CLRS: 1)."""
    outputs = jnp.stack(list(output_losses(batch, prediction).values()))
    hints = jnp.stack(list(hint_losses(batch, prediction).values()))
    return jnp.sum(outputs) + hint_weight * jnp.sum(hints)
