# SPDX-License-Identifier: Apache-2.0
"""Training an amortised sort: one jitted step that draws its own lists, and the loop around it."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from arlsort.amortized import lists, network
from arlsort.amortized.config import NetworkConfig, TrainingConfig
from arlsort.descent import TrainingState, begin, descend, follow
from arlsort.numerics.mean_permutation import mean_permutation

Array = jax.Array
Metrics = dict[str, Array]

_SMALLEST = 1e-30
_SMALL_CHANGE = 0.01  # a list that noise hardly touches has hardly a derivative


def init(config: NetworkConfig, training: TrainingConfig) -> TrainingState:
    """Fresh parameters and optimiser state from `training.seed`."""
    init = network.transform(config, training.noise).init
    params = init(jax.random.key(training.seed), jnp.zeros((2, 2)), jnp.ones(2))
    return begin(params, training)


class Targets(NamedTuple):
    """The targets of some lists.

    Attributes:
      scores: `[b, n]` in units of the noise.
      noise_scales: `[b, n]`.
      permutation: `[b, n, n]`, their mean permutation.
      direction: `[b, n]`, a change of the scores; None without the derivative.
      change: `[b, n, n]`, the derivative of the mean permutation in that direction.
    """

    scores: Array
    noise_scales: Array
    permutation: Array
    direction: Array | None = None
    change: Array | None = None


def targets(key: Array, n: int, training: TrainingConfig) -> Targets:
    """Draws lists of length n and integrates over their noise."""
    of_lists, of_direction = jax.random.split(key)
    scores, noise_scales = lists.sample(of_lists, n, training, training.lists(n))

    def permutation(scores: Array) -> Array:
        return mean_permutation(scores, training.noise, noise_scales, nodes=training.nodes)

    if n > training.longest_change:
        return Targets(scores, noise_scales, permutation(scores))
    direction = jax.random.normal(of_direction, scores.shape)
    found, change = jax.jvp(permutation, (scores,), (direction,))
    return Targets(scores, noise_scales, found, direction, change)


def loss(
    params: hk.Params, target: Targets, config: NetworkConfig, training: TrainingConfig
) -> tuple[Array, Metrics]:
    """Distance of the network's permutation from the mean permutation of noisy scores.

    Args:
      params: Parameters.
      target: Lists with their targets.
      config: The network.
      training: How it is trained.

    Returns:
      The loss and its parts: `kl`, the Kullback-Leibler distance in nats a position; `values`, the
      squared error of the soft values as a share of the range, summed over places; `change`, the
      squared error of the derivative as a share of its square.
    """
    apply = network.transform(config, training.noise).apply

    def permutation(scores: Array) -> Array:
        differences = scores[:, :, None] - scores[:, None, :]
        return apply(params, None, differences, target.noise_scales)

    change = jnp.zeros(())
    if target.direction is None or target.change is None:
        found = permutation(target.scores)
    else:
        found, moved = jax.jvp(permutation, (target.scores,), (target.direction,))
        wrong = jnp.sum((moved - target.change) ** 2, axis=(-2, -1))
        size = jnp.sum(target.change**2, axis=(-2, -1))
        change = jnp.mean(wrong / (size + _SMALL_CHANGE))
    entropy = jax.scipy.special.xlogy(target.permutation, target.permutation)
    apart = entropy - target.permutation * jnp.log(found + _SMALLEST)
    kl = jnp.mean(jnp.sum(apart, axis=-1))
    centred = target.scores - jnp.mean(target.scores, axis=-1, keepdims=True)
    span = jnp.max(centred, axis=-1) - jnp.min(centred, axis=-1)
    unit = centred / jnp.maximum(span, training.min_spread / 2)[:, None]  # of ties the span is 0
    error = jnp.einsum("bij,bj->bi", found - target.permutation, unit)
    values = jnp.mean(jnp.sum(error**2, axis=-1))
    total = kl + training.value_weight * values + training.change_weight * change
    return total, {"kl": kl, "values": values, "change": change}


@functools.cache
def make_step(
    config: NetworkConfig, training: TrainingConfig
) -> Callable[[TrainingState, int], tuple[TrainingState, Metrics]]:
    """A jitted `step(state, n)` that draws lists of length n and learns from them.

    The random key of a step is folded from the seed and its number, so a resumed run repeats the
    same numbers.
    """

    def step(state: TrainingState, n: int) -> tuple[TrainingState, Metrics]:
        key = jax.random.fold_in(jax.random.key(training.seed), state.step)
        of_loss = jax.value_and_grad(loss, has_aux=True)
        target = targets(key, n, training)
        (_, metrics), grads = of_loss(state.params, target, config, training)
        metrics["grad_norm"] = optax.tree.norm(grads)
        return descend(state, grads, training), metrics

    return jax.jit(step, donate_argnums=0, static_argnums=1)


def train(
    config: NetworkConfig,
    training: TrainingConfig,
    *,
    state: TrainingState | None = None,
    watch: Callable[[TrainingState, Metrics], None] | None = None,
) -> TrainingState:
    """Trains an amortised sort, all in JAX.

    Args:
      config: The network.
      training: How.
      state: Where to go on; by default from the beginning. Its buffers are taken over.
      watch: Called after each step, with a state that the next step takes over.

    Returns:
      The state after the last step; `average` are the parameters to keep.

    Example:
      >>> settings = TrainingConfig(lengths=(2,), batch_size=2, steps=3)
      >>> int(train(NetworkConfig(levels=2, width=4), settings).step)
      3
    """
    state = init(config, training) if state is None else state
    step = make_step(config, training)
    return follow(
        state, training.steps, lambda state, done: step(state, training.length(done)), watch
    )
