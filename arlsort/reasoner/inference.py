# SPDX-License-Identifier: Apache-2.0
"""Running a trained reasoner as a sort: scores in, soft pointers or a soft permutation out."""

import haiku as hk
import jax
import jax.numpy as jnp

from arlsort.reasoner import network, pointer_readout, readout, traces
from arlsort.reasoner.config import ReasonerConfig

Array = jax.Array


def predict(
    params: hk.Params,
    config: ReasonerConfig,
    scores: Array,
    noise: str | None,
    pick: network.Pick = network.all_hints,
) -> network.Prediction:
    """Runs the reasoner on lists at evenly spaced positions.

    Args:
      params: Parameters.
      config: The reasoner.
      scores: `[b, n]` keys at the scale the reasoner was trained for.
      noise: Law of the perturbation it was trained with; None for clean keys.
      pick: Which hints to keep, as for `network.Reasoner`.
    """
    return network.transform(config).apply(
        _as_wide(params, scores), None, scores, _even_positions(scores), noise=noise, pick=pick
    )


def read(prediction: network.Prediction, power: Array | float = 1.0) -> Array:
    """The soft permutation `[b, n, n]` of a prediction: from its places, if it has them.

    Args:
      prediction: The output of the network.
      power: Weights are raised to it first, `[b, 1]` or a scalar.
    """
    if prediction.places is not None:
        return readout.permutation(prediction.places, power=power)
    log_first = jax.nn.log_softmax(prediction.pred_mask, axis=-1)
    return pointer_readout.permutation(prediction.pred, log_first, power=power)


def log_likelihood(
    params: hk.Params,
    config: ReasonerConfig,
    scores: Array,
    order: Array,
    noise_scales: Array | None,
    noise: str | None,
) -> Array:
    """Log-probability of an order: the sum over insertions, each given those before it.

    Args:
      params: Parameters, trained with `hints="sampled"`.
      config: The reasoner, of insertion sort: each step inserts one element among those before it,
        so steps and order determine one another.
      scores: `[b, n]` keys in units of the noise, n >= 2.
      order: `[b, n]` the elements in ascending order.
      noise_scales: `[b, n]` noise scales of the keys, if the network has such an input.
      noise: Law of the perturbation it was trained with.

    Returns:
      `[b]`.
    """
    n = scores.shape[-1]
    run = traces.traces_of_orders(config.algorithm, order).hints
    given = {
        name: jnp.moveaxis(jax.nn.one_hot(choice[:, :-1], n, dtype=scores.dtype), 1, 0)
        for name, choice in run.items()
    }
    said = network.transform(config).apply(
        _as_wide(params, scores),
        None,
        scores,
        _even_positions(scores),
        forced=given,
        noise_scales=noise_scales,
        noise=noise,
    )
    inserted = jnp.arange(1, n)
    log_weights = jax.nn.log_softmax(said.hints["pred_h"][inserted - 1, :, inserted], axis=-1)
    chosen = jnp.moveaxis(run["pred_h"][:, inserted, inserted], 1, 0)
    return jnp.take_along_axis(log_weights, chosen[..., None], axis=-1)[..., 0].sum(axis=0)


def _as_wide(params: hk.Params, scores: Array) -> hk.Params:
    return jax.tree.map(lambda leaf: leaf.astype(scores.dtype), params)


def _even_positions(scores: Array) -> Array:
    return jnp.broadcast_to(
        jnp.arange(scores.shape[-1], dtype=scores.dtype) / scores.shape[-1], scores.shape
    )
