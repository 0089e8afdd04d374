# SPDX-License-Identifier: Apache-2.0
"""Training a network of orders: lists with their targets, a step, and the loop."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

from arlsort.amortized import lists
from arlsort.amortized.orders import network
from arlsort.amortized.orders.config import OrderConfig, OrderTraining
from arlsort.descent import TrainingState, begin, descend, follow
from arlsort.numerics import cauchy_orders

Array = jax.Array
Metrics = dict[str, Array]

_DENSITY = 3
_SMALL = 1e-3  # an order that is all but certain has hardly a gradient
_CHUNK = 200  # lists whose integrals are computed at a time


class Orders(NamedTuple):
    """Lists in an order, and their exact likelihood.

    Attributes:
      scores: `[b, n]` in the order, in units of the noise.
      noise_scales: `[b, n]`.
      log_increments: `[b, n - 1]`, the log-probability that each score is above the one before.
      by_scores: `[b, n]`, the derivatives of their sum by the scores in units of their noise.
      by_log_scales: `[b, n]`, the derivatives by the logarithms of the noise scales.
    """

    scores: Array
    noise_scales: Array
    log_increments: Array
    by_scores: Array
    by_log_scales: Array


def with_gradients(
    log_increments: Callable[[Array, Array], Array], scores: Array, noise_scales: Array
) -> Orders:
    """The values of a function of ordered scores and noise scales, with its gradients."""

    def total(scores: Array, logs: Array) -> tuple[Array, Array]:
        found = log_increments(scores, jnp.exp(logs))
        return jnp.sum(found), found

    of_total = jax.grad(total, (0, 1), has_aux=True)
    (by_scores, by_logs), found = of_total(scores, jnp.log(noise_scales))
    return Orders(scores, noise_scales, found, by_scores * noise_scales, by_logs)


def exact(scores: Array, noise_scales: Array) -> Orders:
    """The exact likelihood of scores `[b, n]` in an order, by integration."""

    def log_increments(a: Array, w: Array) -> Array:
        return cauchy_orders.log_increments(a, w, density=_DENSITY)[:, 1:]

    return with_gradients(log_increments, scores, noise_scales)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _draw(key: Array, n: int, count: int, training: OrderTraining) -> Orders:
    of_lists, of_width, of_choice, of_noise = jax.random.split(key, 4)
    x, scales = lists.sample(of_lists, n, training, count)
    factor = jnp.exp(jax.random.uniform(of_width, (count, 1)) * np.log(training.widest))
    wide = jax.random.uniform(of_choice, (count, 1)) < training.wide_share
    noise = jax.random.cauchy(of_noise, x.shape) * scales * jnp.where(wide, factor, 1.0)
    order = jnp.argsort(x + noise, axis=-1)
    return exact(*(jnp.take_along_axis(v, order, axis=-1) for v in (x, scales)))


def draw(key: Array, n: int, count: int, training: OrderTraining) -> Orders:
    """Draws lists of length n in an order, and integrates over their noise."""
    chunks = -(-count // _CHUNK)
    parts = [
        jax.device_get(_draw(jax.random.fold_in(key, i), n, _CHUNK, training))
        for i in range(chunks)
    ]
    whole = [np.concatenate(leaf) for leaf in zip(*parts, strict=True)]
    # Without orders so unlikely that float32 underflows.
    kept = np.all([np.isfinite(leaf).all(axis=-1) for leaf in whole], axis=0)
    return Orders(*(jnp.asarray(leaf[kept][:count]) for leaf in whole))


def init(config: OrderConfig, training: OrderTraining) -> TrainingState:
    """Fresh parameters and optimiser state from `training.seed`."""
    init = network.transform(config).init
    ones = jnp.ones((1, 2))
    return begin(init(jax.random.key(training.seed), ones, ones), training)


def loss(
    params: hk.Params, target: Orders, config: OrderConfig, training: OrderTraining
) -> tuple[Array, Metrics]:
    """Distance of the network from the exact likelihood of some orders.

    Returns:
      The loss and its parts: `values`, the squared error of the log-probability of each step;
      `scores` and `scales`, the squared errors of the gradients as a share of their squares.
    """
    apply = network.transform(config).apply
    found = with_gradients(
        lambda a, w: apply(params, None, a, w), target.scores, target.noise_scales
    )
    values = jnp.mean((found.log_increments - target.log_increments) ** 2)

    def apart(found: Array, truth: Array) -> Array:
        wrong, size = jnp.sum((found - truth) ** 2, axis=-1), jnp.sum(truth**2, axis=-1)
        return jnp.mean(wrong / (size + _SMALL))

    scores = apart(found.by_scores, target.by_scores)
    scales = apart(found.by_log_scales, target.by_log_scales)
    total = values + training.gradient_weight * (scores + scales)
    return total, {"values": values, "scores": scores, "scales": scales}


@functools.cache
def make_step(
    config: OrderConfig, training: OrderTraining
) -> Callable[[TrainingState, Orders], tuple[TrainingState, Metrics]]:
    """A jitted `step(state, lists)` that learns from some of the drawn lists.

    The random key of a step is folded from the seed and its number, so a resumed run repeats the
    same numbers.
    """

    def step(state: TrainingState, drawn: Orders) -> tuple[TrainingState, Metrics]:
        key = jax.random.fold_in(jax.random.key(training.seed), state.step)
        chosen = jax.random.randint(key, (training.batch_size,), 0, drawn.scores.shape[0])
        target = jax.tree.map(lambda leaf: leaf[chosen], drawn)
        of_loss = jax.value_and_grad(loss, has_aux=True)
        (_, metrics), grads = of_loss(state.params, target, config, training)
        metrics["grad_norm"] = optax.tree.norm(grads)
        return descend(state, grads, training), metrics

    return jax.jit(step, donate_argnums=0)


def train(
    config: OrderConfig,
    training: OrderTraining,
    *,
    state: TrainingState | None = None,
    watch: Callable[[TrainingState, Metrics], None] | None = None,
) -> TrainingState:
    """Trains a network of orders, all in JAX.

    Args:
      config: The network.
      training: How.
      state: Where to go on; by default from the beginning. Its buffers are taken over.
      watch: Called after each step, with a state that the next step takes over.

    Returns:
      The state after the last step; `average` are the parameters to keep.

    Example:
      >>> settings = OrderTraining(lengths=(3,), lists=4, batch_size=2, steps=3)
      >>> int(train(OrderConfig(state=2, width=4), settings).step)
      3
    """
    state = init(config, training) if state is None else state
    key = jax.random.fold_in(jax.random.key(training.seed), 2**31)  # beyond those of the steps
    drawn = {
        n: draw(jax.random.fold_in(key, n), n, training.lists, training)
        for n in sorted(set(training.lengths))
    }
    step = make_step(config, training)
    return follow(
        state, training.steps, lambda state, done: step(state, drawn[training.length(done)]), watch
    )
