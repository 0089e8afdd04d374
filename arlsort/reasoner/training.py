# SPDX-License-Identifier: Apache-2.0
"""Training a reasoner: one jitted step that also draws its own data.

``TrainingState`` is everything a run is: parameters, their running average, optimiser state, step.
The random key of step s is folded from the seed and s, so a resumed run repeats the same numbers.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

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
    whole = _Whole(batch.keys.shape[0], losses.recorded_steps(batch))
    return _loss_of_part(
        params, _Part(batch, _noise(key, batch, training)), whole, config, training
    )


def gradients(
    params: hk.Params,
    key: Array | None,
    batch: Batch,
    config: ReasonerConfig,
    training: TrainingConfig,
) -> tuple[hk.Params, Metrics]:
    """Gradient of the loss of one batch, and its metrics.

    The lists go through the network in parts of up to ``training.pairs_per_pass`` pairs of
    elements, whose gradients are added up: memory is that of a part, and on a CPU what it works on
    stays in the cache. The parts' losses are shares of the whole batch's, so the sum is exact.
    """
    lists, n = batch.keys.shape
    size = training.lists_per_pass(lists, n)
    whole = _Whole(lists, losses.recorded_steps(batch))
    part = _Part(batch, _noise(key, batch, training))
    gradient = jax.grad(_loss_of_part, has_aux=True)
    if size == lists:
        return gradient(params, part, whole, config, training)

    def add(total: tuple[hk.Params, Metrics], part: _Part) -> tuple[tuple, None]:
        return jax.tree.map(jnp.add, total, gradient(params, part, whole, config, training)), None

    full = lists - lists % size
    total, _ = jax.lax.scan(
        add, _zeros(gradient, params, part, whole, config, training), (_cut(part, 0, full, size))
    )
    if full < lists:
        rest = jax.tree.map(lambda leaf: leaf[0], _cut(part, full, lists, lists - full))
        total, _ = add(total, rest)
    return total


def _zeros(gradient: Callable, *arguments: Any) -> Any:
    shapes = jax.eval_shape(lambda: gradient(*arguments))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


class _Part(NamedTuple):
    """Some lists of a batch, with the noise on their output pointers."""

    batch: Batch
    noise: Array | None


class _Whole(NamedTuple):
    """What the means of a whole batch are over."""

    lists: int
    steps: Array


def _noise(key: Array | None, batch: Batch, training: TrainingConfig) -> Array | None:
    """CLRS's noise on the output pointers, where the batch is CLRS's and there is a key."""
    if training.hints != "clrs" or key is None:
        return None
    steps = max(1, batch.hints["pred_h"].shape[0] - 1)
    return network.clrs_output_noise(key, batch.lengths, steps, batch.keys.shape[1])


def _cut(part: _Part, start: int, stop: int, size: int) -> _Part:
    """Cuts the lists from start to stop into parts of ``size``, on a new leading axis."""

    def by_list(v: Array) -> Array:
        return v[start:stop].reshape(-1, size, *v.shape[1:])

    def by_step(v: Array) -> Array:  # [T, b, ...]
        parts = v[:, start:stop].reshape(v.shape[0], -1, size, *v.shape[2:])
        return jnp.moveaxis(parts, 1, 0)

    batch = part.batch
    untimed = {name: by_list(leaf) for name, leaf in batch._asdict().items() if name != "hints"}
    parts = Batch(hints=jax.tree.map(by_step, batch.hints), **untimed)
    return _Part(parts, None if part.noise is None else by_list(part.noise))


def _loss_of_part(
    params: hk.Params,
    part: _Part,
    whole: _Whole,
    config: ReasonerConfig,
    training: TrainingConfig,
) -> tuple[Array, Metrics]:
    batch = part.batch
    clean = training.hints == "clrs"
    # Also where the hints of an algorithm of fixed length are padded, as clrs_bridge.to_batch may.
    states = config.spec.num_hints(batch.keys.shape[1])
    num_hints = batch.hints["pred_h"].shape[0]
    ragged = clean and (config.spec.varying_length or num_hints != states)
    prediction = network.transform(config).apply(
        params,
        None,
        batch.keys,
        batch.pos,
        lengths=batch.lengths if ragged else None,
        num_hints=num_hints,
        start={name: hint[0] for name, hint in batch.hints.items()} if clean else None,
        noise=None if clean else training.noise,
        output_noise=part.noise,
        remat=training.remat,
        pair_dtype=training.pair_dtype,
    )
    outputs = losses.output_losses(batch, prediction, whole.lists)
    hints = losses.hint_losses(batch, prediction, whole.steps)
    total = losses.add_up(outputs) + training.hint_weight * losses.add_up(hints)
    agree = jnp.argmax(prediction.pred, -1) == jnp.argmax(batch.pred, -1)
    surprise = jax.scipy.special.xlogy(batch.pred, batch.pred) - batch.pred * prediction.pred
    elements = whole.lists * batch.keys.shape[1]
    metrics = {
        "loss": total,
        "accuracy": jnp.sum(agree) / elements,
        "divergence": jnp.sum(surprise) / elements,
        **outputs,
        **{f"hint_{k}": v for k, v in hints.items()},
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
    grads, metrics = gradients(state.params, key, batch, config, training)
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


@functools.cache
def make_perturbed_step(
    config: ReasonerConfig, training: TrainingConfig
) -> Callable[[TrainingState, int], tuple[TrainingState, Metrics]]:
    """A jitted ``step(state, n)`` that draws a batch of lists of length n and learns from it."""

    @functools.partial(jax.jit, static_argnums=1, donate_argnums=0)
    def step(state: TrainingState, n: int) -> tuple[TrainingState, Metrics]:
        batch = sample_batch(step_key(training, state.step), config.algorithm, n, training)
        return update(state, None, batch, config, training)

    return step


@functools.cache
def make_clrs_step(
    config: ReasonerConfig, training: TrainingConfig
) -> Callable[[TrainingState, Batch], tuple[TrainingState, Metrics]]:
    """A jitted ``step(state, batch)`` for batches of CLRS's samplers."""

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: TrainingState, batch: Batch) -> tuple[TrainingState, Metrics]:
        return update(state, step_key(training, state.step), batch, config, training)

    return step
