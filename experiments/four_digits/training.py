# SPDX-License-Identifier: Apache-2.0
"""Sorting supervision: a network learns to score pictures from the order of lists alone.

Everything random is made from the seed and the number of the step, so a run is the same whether it
was interrupted or not, and all operators see the same initial network and the same lists.
"""

import dataclasses
import functools
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from arlsort.operators.base import Operator
from arlsort.operators.hard import Hard
from experiments.common import devices, rates
from experiments.common.datasets import Split
from experiments.four_digits.config import Config
from experiments.four_digits.losses import order_loss, parse, with_key
from experiments.four_digits.metrics import accuracy
from experiments.four_digits.reader import Reading, number_reader
from experiments.four_digits.sampling import draw


class TrainState(NamedTuple):
    """A run at one moment; a pytree of arrays.

    Attributes:
      step: Steps taken.
      params: Parameters of the network.
      opt_state: State of Adam.
      running: Sums of loss and training EM since the last evaluation, `[2]`.
      best_params: The parameters with the best EM5 on the validation lists so far.
      best_em5: That EM5; -1 before the first evaluation.
      best_step: The step of that evaluation.
    """

    step: jax.Array
    params: hk.Params
    opt_state: optax.OptState
    running: jax.Array
    best_params: hk.Params
    best_em5: jax.Array
    best_step: jax.Array


class Keys(NamedTuple):
    """Where the randomness of one seed comes from."""

    init: jax.Array
    train: jax.Array
    validation: jax.Array
    test: jax.Array
    sampling: jax.Array


@dataclasses.dataclass(frozen=True)
class Task:
    """What is compiled in: everything but operator, data and seed.

    Attributes:
      loss: As `losses.parse` reads it.
      n: Numbers in a list.
      batch_size: Lists in a step.
      learning_rate: Of Adam.
      schedule: "constant", or "cosine", by which the rate falls to zero over all the steps.
      steps: All the steps.
      channels: Of the two convolutions.
      resolution: Of the pictures.
      precision: Of the convolutions.
      mesh: The devices that share a batch, if there are several.
    """

    loss: str
    n: int
    batch_size: int
    learning_rate: float
    schedule: str
    steps: int
    channels: tuple[int, ...]
    resolution: str
    precision: str
    mesh: Mesh | None = None

    @classmethod
    def of(cls, config: Config, loss: str, mesh: Mesh | None = None) -> "Task":
        """Takes from the settings what the task needs."""
        fields = {field.name for field in dataclasses.fields(cls)} - {"loss", "mesh"}
        return cls(loss=loss, mesh=mesh, **{name: getattr(config, name) for name in fields})

    def draw(self, key: jax.Array, split: Split) -> tuple[jax.Array, jax.Array]:
        """Draws a batch of pictures and numbers, the same for any number of devices."""
        drawn = draw(key, split, self.batch_size, self.n, self.resolution)
        return devices.shared(drawn, self.mesh)

    @property
    def reader(self) -> hk.Transformed:
        """The network."""
        return number_reader(self.channels, parse(self.loss).noise_scales, self.precision)

    def read(self, params: hk.Params, pictures: jax.Array) -> Reading:
        """What the network reads in pictures; each device reads its own."""
        if self.mesh is None:
            return self.reader.apply(params, pictures)
        # Left to itself the compiler would gather what `convolution` cuts the batch into.
        lists = PartitionSpec(devices.AXIS)
        read = jax.shard_map(
            self.reader.apply,
            mesh=self.mesh,
            in_specs=(PartitionSpec(), lists),
            out_specs=lists,
            check_vma=False,  # which does not see custom gradients
        )
        return read(params, pictures)

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """Adam, at a constant rate as published or at one that falls to zero."""
        return optax.adam(rates.scheduled(self.learning_rate, self.schedule, self.steps))


def make_keys(seed: int) -> Keys:
    """Derives the keys of a seed; the operator plays no part."""
    return Keys(*jax.random.split(jax.random.key(seed), len(Keys._fields)))


@functools.partial(jax.jit, static_argnames="task")
def init(task: Task, split: Split, key: jax.Array) -> TrainState:
    """Makes the state before the first step."""
    pictures, _ = task.draw(key, split)
    params = task.reader.init(key, pictures)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=task.optimizer.init(params),
        running=jnp.zeros(2),
        best_params=params,
        best_em5=-jnp.ones(()),
        best_step=jnp.zeros((), jnp.int32),
    )
    return devices.whole(state, task.mesh)


@functools.partial(jax.jit, static_argnames=("task", "steps"))
def train(
    task: Task, operator: Operator | None, split: Split, keys: Keys, state: TrainState, steps: int
) -> TrainState:
    """Takes several steps in one dispatch.

    On a CPU the steps are written out one after the other, because XLA runs a convolution inside
    a loop there at a twentieth of its speed (and a scan of length one is still a loop); elsewhere
    they are a loop.
    """
    if jax.default_backend() == "cpu":
        for _ in range(steps):
            state = _step(task, operator, split, keys, state)
        return state

    def step(state: TrainState, _: None) -> tuple[TrainState, None]:
        return _step(task, operator, split, keys, state), None

    return lax.scan(step, state, None, length=steps)[0]


def _step(
    task: Task, operator: Operator | None, split: Split, keys: Keys, state: TrainState
) -> TrainState:
    pictures, numbers = task.draw(jax.random.fold_in(keys.train, state.step), split)
    noise = jax.random.fold_in(keys.sampling, state.step)

    def loss(params: hk.Params) -> tuple[jax.Array, jax.Array]:
        read = task.read(params, pictures)
        value = order_loss(task.loss, operator, read.scores, numbers, noise, read.noise_scales)
        return value, read.scores

    (value, scores), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    updates, opt_state = task.optimizer.update(gradient, state.opt_state, state.params)
    state = state._replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        opt_state=opt_state,
        running=state.running + jnp.stack([value, accuracy(scores, numbers)["em"].mean()]),
    )
    return devices.whole(state, task.mesh)


def evaluate(
    task: Task, params: hk.Params, split: Split, key: jax.Array, lists: int
) -> dict[str, float]:
    """Measures mean EM, EW and EM5 on freshly drawn lists, the same for the same key.

    Args:
      task: The task; its batch size is that of the dispatches.
      params: Parameters of the network.
      split: The digits to draw from.
      key: Randomness.
      lists: How many lists.

    Returns:
      `em`, `ew` and `em5`, from 0 to 1.
    """
    batches = -(-lists // task.batch_size)
    parts = [_measure(task, params, split, jax.random.fold_in(key, i)) for i in range(batches)]
    return {
        name: float(np.concatenate([part[name] for part in parts])[:lists].mean(dtype=np.float64))
        for name in parts[0]
    }


@functools.partial(jax.jit, static_argnames="task")
def _measure(task: Task, params: hk.Params, split: Split, key: jax.Array) -> dict[str, jax.Array]:
    pictures, numbers = task.draw(key, split)
    return devices.whole(accuracy(task.read(params, pictures).scores, numbers), task.mesh)


@jax.jit
def keep_best(state: TrainState, em5: float) -> TrainState:
    """Closes an evaluation: keeps the parameters if EM5 improved, starts new running sums."""
    state = state._replace(running=jnp.zeros_like(state.running))
    reached = jnp.asarray(em5, jnp.float32)
    better = state._replace(best_params=state.params, best_em5=reached, best_step=state.step)
    improved = reached > state.best_em5
    return jax.tree.map(lambda new, old: jnp.where(improved, new, old), better, state)


@functools.partial(jax.jit, static_argnames="task")
def soft_permutation(
    task: Task, operator: Operator | None, params: hk.Params, split: Split, keys: Keys
) -> tuple[jax.Array, jax.Array]:
    """Gives the soft permutation of one test list, its columns in the true order.

    Without an operator it is the exact one.

    Returns:
      The numbers in ascending order `[n]`, and `P[n, n]`, the identity if all is right.
    """
    one = dataclasses.replace(task, batch_size=1, mesh=None)  # a single list cannot be shared
    pictures, numbers = one.draw(keys.test, split)
    scores = task.reader.apply(params, pictures).scores[0]
    order = jnp.argsort(numbers[0])
    sorter = Hard() if operator is None else with_key(operator, keys.sampling)
    permutation = sorter.permutation(scores)
    return devices.whole((numbers[0, order], permutation[:, order]), task.mesh)
