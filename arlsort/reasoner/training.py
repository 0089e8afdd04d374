# SPDX-License-Identifier: Apache-2.0
"""Training a reasoner: one jitted step that also draws its own data.

``TrainingState`` is everything a run is: parameters, their running average, optimiser state, step.
The random key of step s is folded from the seed and s, so a resumed run repeats the same numbers.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from arlsort.reasoner import losses, network
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from arlsort.reasoner.hints import Batch, sample_batch

Array = jax.Array
Metrics = dict[str, Array]


class TrainingState(NamedTuple):
    """A training run at one moment; a pytree of arrays.

    Attributes:
      params: the parameters being optimised.
      average: their exponential moving average, bias-corrected by a growing decay.
      opt_state: optimiser state.
      step: number of steps taken.
    """

    params: hk.Params
    average: hk.Params
    opt_state: optax.OptState
    step: Array


def optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Adam after clipping by global norm, warm-up and cosine decay to zero."""
    warmup = min(config.warmup_steps, config.steps // 2)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, warmup, max(config.steps, warmup + 1)
    )
    return optax.chain(optax.clip_by_global_norm(config.grad_clip), optax.adam(schedule))


def init(config: ReasonerConfig, training: TrainingConfig) -> TrainingState:
    """Fresh parameters and optimiser state from ``training.seed``."""
    keys = jnp.zeros((1, 2))
    params = network.transform(config).init(jax.random.key(training.seed), keys, keys)
    average = jax.tree.map(jnp.copy, params)  # its own buffers, since a step donates both
    return TrainingState(
        params, average, optimizer(training).init(params), jnp.zeros((), jnp.int32)
    )


def _noise(training: TrainingConfig) -> str | None:
    return training.noise if training.hints == "perturbed" else None


def loss_and_metrics(
    params: hk.Params,
    key: Array | None,
    batch: Batch,
    config: ReasonerConfig,
    training: TrainingConfig,
) -> tuple[Array, Metrics]:
    """Total loss of one batch and what there is to watch.

    ``accuracy`` is the share of elements whose likeliest predecessor is the target's;
    ``divergence`` the mean Kullback-Leibler distance in nats of the output pointers from theirs.
    """
    clean = training.hints == "clrs"
    prediction = network.transform(config).apply(
        params,
        key if clean else None,
        batch.keys,
        batch.pos,
        lengths=batch.lengths,
        num_hints=batch.pointers.shape[0],
        start=(batch.pointers[0], {name: m[0] for name, m in batch.masks.items()})
        if clean
        else None,
        noise=_noise(training),
        clrs_training=clean,
    )
    total = losses.total_loss(batch, prediction, training.hint_weight)
    agree = jnp.argmax(prediction.pred, -1) == jnp.argmax(batch.pred, -1)
    surprise = jnp.sum(jax.scipy.special.xlogy(batch.pred, batch.pred), -1)
    metrics = {
        "loss": total,
        "accuracy": jnp.mean(agree),
        "divergence": jnp.mean(surprise - jnp.sum(batch.pred * prediction.pred, -1)),
        **losses.output_losses(batch, prediction),
        **{f"hint_{k}": v for k, v in losses.hint_losses(batch, prediction).items()},
    }
    return total, metrics


def update(
    state: TrainingState,
    key: Array | None,
    batch: Batch,
    config: ReasonerConfig,
    training: TrainingConfig,
) -> tuple[TrainingState, Metrics]:
    """One optimiser step on a given batch."""
    grads, metrics = jax.grad(loss_and_metrics, has_aux=True)(
        state.params, key, batch, config, training
    )
    updates, opt_state = optimizer(training).update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    step = state.step + 1
    decay = jnp.minimum(training.ema_decay, step / (step + 9.0))
    average = optax.incremental_update(params, state.average, 1 - decay)
    metrics["grad_norm"] = optax.global_norm(grads)
    return TrainingState(params, average, opt_state, step), metrics


def step_key(training: TrainingConfig, step: Array | int) -> Array:
    """The random key of a step: a function of the seed and the step alone."""
    return jax.random.fold_in(jax.random.key(training.seed), step)


def make_perturbed_step(
    config: ReasonerConfig, training: TrainingConfig
) -> Callable[[TrainingState, int], tuple[TrainingState, Metrics]]:
    """A jitted ``step(state, n)`` that draws a batch of lists of length n and learns from it."""

    @functools.partial(jax.jit, static_argnums=1, donate_argnums=0)
    def step(state: TrainingState, n: int) -> tuple[TrainingState, Metrics]:
        batch = sample_batch(step_key(training, state.step), config.algorithm, n, training)
        return update(state, None, batch, config, training)

    return step


def make_clrs_step(
    config: ReasonerConfig, training: TrainingConfig
) -> Callable[[TrainingState, Batch], tuple[TrainingState, Metrics]]:
    """A jitted ``step(state, batch)`` for batches of CLRS's samplers."""

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: TrainingState, batch: Batch) -> tuple[TrainingState, Metrics]:
        return update(state, step_key(training, state.step), batch, config, training)

    return step
