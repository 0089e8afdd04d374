# SPDX-License-Identifier: Apache-2.0
"""How a learned sort is trained: the optimiser, and the average of the parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import haiku as hk
import jax
import jax.numpy as jnp
import optax

Array = jax.Array
Metrics = dict[str, Array]


class Schedule(Protocol):
    """The settings of the optimiser in a configuration of training."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def warmup_steps(self) -> int: ...
    @property
    def grad_clip(self) -> float: ...
    @property
    def ema_decay(self) -> float: ...


class TrainingState(NamedTuple):
    """A training run at one moment; a pytree of arrays.

    Attributes:
      params: The parameters being optimised.
      average: Their exponential moving average, bias-corrected by a growing decay.
      opt_state: Optimiser state.
      step: Number of steps taken.
    """

    params: hk.Params
    average: hk.Params
    opt_state: optax.OptState
    step: Array


def optimizer(config: Schedule) -> optax.GradientTransformation:
    """Adam after clipping by global norm, warm-up and cosine decay to zero."""
    warmup = min(config.warmup_steps, config.steps // 2)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, warmup, max(config.steps, warmup + 1)
    )
    return optax.chain(optax.clip_by_global_norm(config.grad_clip), optax.adam(schedule))


def begin(params: hk.Params, config: Schedule) -> TrainingState:
    """The state before the first step."""
    average = jax.tree.map(jnp.copy, params)  # its own buffers, since a step donates both
    return TrainingState(params, average, optimizer(config).init(params), jnp.zeros((), jnp.int32))


def descend(state: TrainingState, grads: Any, training: Schedule) -> TrainingState:
    """One optimiser step by given gradients; parameters may be any pytree."""
    updates, opt_state = optimizer(training).update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    step = state.step + 1
    decay = jnp.minimum(training.ema_decay, step / (step + 9.0))
    average = optax.incremental_update(params, state.average, 1 - decay)
    return TrainingState(params, average, opt_state, step)


def follow(
    state: TrainingState,
    steps: int,
    step: Callable[[TrainingState, int], tuple[TrainingState, Metrics]],
    watch: Callable[[TrainingState, Metrics], None] | None,
) -> TrainingState:
    """Takes the remaining steps of a training.

    Args:
      state: Where to go on.
      steps: How many steps there are in all.
      step: Takes one, given the state and how many were taken; its buffers are taken over.
      watch: Called after each step, with a state that the next step takes over.

    Returns:
      The state after the last step.
    """
    for done in range(int(state.step), steps):
        state, metrics = step(state, done)
        if watch is not None:
            watch(state, metrics)
    return state
