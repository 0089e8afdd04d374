# SPDX-License-Identifier: Apache-2.0
"""Training a reasoner: one jitted step that also draws its own data, and the loop around it.

`TrainingState` is everything a run is: parameters, their running average, optimiser state, step.
The random key of step s is folded from the seed and s, so a resumed run repeats the same numbers.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from arlsort.checks import error_message
from arlsort.descent import TrainingState, begin, descend, follow
from arlsort.reasoner import network
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from arlsort.reasoner.gradients import Metrics, gradients
from arlsort.reasoner.hints import Batch, sample_batch

Array = jax.Array


def init(config: ReasonerConfig, training: TrainingConfig) -> TrainingState:
    """Fresh parameters and optimiser state from `training.seed`."""
    keys = jnp.zeros((1, 2))
    params = network.transform(config).init(jax.random.key(training.seed), keys, keys)
    return begin(params, training)


def update(
    state: TrainingState,
    key: Array | None,
    batch: Batch,
    config: ReasonerConfig,
    training: TrainingConfig,
    mesh: Mesh | None = None,
) -> tuple[TrainingState, Metrics]:
    """One optimiser step on a given batch."""
    grads, metrics = gradients(state.params, key, batch, config, training, mesh)
    metrics["grad_norm"] = optax.global_norm(grads)
    return descend(state, grads, training), metrics


def step_key(training: TrainingConfig, step: Array | int) -> Array:
    """The random key of a step: a function of the seed and the step alone."""
    return jax.random.fold_in(jax.random.key(training.seed), step)


def _jit(step: Callable, mesh: Mesh | None, **options: Any) -> Callable:
    """Compiles a step; state and metrics are replicated on each device."""
    whole = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    return jax.jit(step, donate_argnums=0, out_shardings=whole, **options)


@functools.cache
def make_step(
    config: ReasonerConfig, training: TrainingConfig, mesh: Mesh | None = None
) -> Callable[[TrainingState, int], tuple[TrainingState, Metrics]]:
    """A jitted `step(state, n)` that draws a batch of lists of length n and learns from it.

    With a mesh the lists of the batch are shared among its devices: the same batch, and the same
    numbers up to the order of summation. The state must be on all of them.
    """

    def step(state: TrainingState, n: int) -> tuple[TrainingState, Metrics]:
        batch = sample_batch(step_key(training, state.step), config.algorithm, n, training)
        return update(state, None, batch, config, training, mesh)

    return _jit(step, mesh, static_argnums=1)


@functools.cache
def make_clrs_step(
    config: ReasonerConfig, training: TrainingConfig, mesh: Mesh | None = None
) -> Callable[[TrainingState, Batch], tuple[TrainingState, Metrics]]:
    """A jitted `step(state, batch)` for batches of CLRS's samplers.

    With a mesh the lists are shared among its devices; state and batch must be on all of them.
    """

    def step(state: TrainingState, batch: Batch) -> tuple[TrainingState, Metrics]:
        return update(state, step_key(training, state.step), batch, config, training, mesh)

    return _jit(step, mesh)


def train(
    config: ReasonerConfig,
    training: TrainingConfig,
    *,
    state: TrainingState | None = None,
    watch: Callable[[TrainingState, Metrics], None] | None = None,
) -> TrainingState:
    """Trains a reasoner on perturbed traces, all in JAX.

    `experiments/train_reasoner.py` does the same with progress, checkpoints and several devices.

    Args:
      config: The network.
      training: How; its `hints` must not be `"clrs"`.
      state: Where to go on; by default from the beginning. Its buffers are taken over.
      watch: Called after each step, with a state that the next step takes over.

    Returns:
      The state after the last step; `average` are the parameters to keep.

    Raises:
      ValueError: if the hints are CLRS's, whose batches come from dm-clrs.

    Example:
      >>> from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
      >>> settings = TrainingConfig(lengths=(2,), batch_size=2, steps=3, copies=2)
      >>> int(train(ReasonerConfig(hidden_size=4), settings).step)
      3
    """
    if training.hints == "clrs":
        raise ValueError(error_message("hints", repr(training.hints), "perturbed, sampled"))
    state = init(config, training) if state is None else state
    step = make_step(config, training)
    return follow(
        state, training.steps, lambda state, done: step(state, training.length(done)), watch
    )
