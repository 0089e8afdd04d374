# SPDX-License-Identifier: Apache-2.0
"""One run, that is one task and one seed: trained, measured, interrupted, resumed.

Everything random is made from the seed and the number of the step, so a run is the same whether it
was interrupted or not.
"""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from tqdm import tqdm

from experiments.common import memory, rates, run_folders, runs, storage
from experiments.common.checkpoints import Checkpoints
from experiments.common.command_line import Interrupted, Stop
from experiments.common.datasets import Split, Splits
from experiments.common.metrics_log import MetricsLog

# Steps of a task in one dispatch: they are written out, as a CPU runs convolutions in loops slowly.
DISPATCH = 2


class RunError(Exception):
    """The run cannot go on; the message is one line."""


class Task(Protocol):
    """What is learned, and from what; a frozen dataclass of plain values, compiled in."""

    @property
    def steps(self) -> int:
        """Training steps."""

    @property
    def networks(self) -> int:
        """Networks that are trained side by side; the one with the smallest loss is kept."""

    @property
    def learning_rate(self) -> float:
        """Of Adam, at first; it falls to zero as a cosine."""

    def select(self, splits: Splits) -> Splits:
        """Keeps the digits that the task uses."""

    def init(self, key: jax.Array, split: Split) -> hk.Params:
        """Makes the network's first parameters."""

    @property
    def batch_size(self) -> int:
        """Examples in a step."""

    def draw(self, key: jax.Array, split: Split, count: int) -> Any:
        """Draws examples."""

    def loss(self, params: hk.Params, batch: Any) -> jax.Array:
        """Computes the loss of a network on examples, a scalar."""

    def measure(
        self, params: hk.Params, key: jax.Array, split: Split, examples: int
    ) -> dict[str, Any]:
        """Says how well a network does on digits it has not seen; floats are metrics."""


class TrainState(NamedTuple):
    """A network at one moment; a pytree of arrays.

    Attributes:
      step: Steps taken.
      params: Its parameters.
      opt_state: State of Adam.
      running: Sum of the loss since the last evaluation.
      recent: Mean loss between the last two evaluations.
    """

    step: jax.Array
    params: hk.Params
    opt_state: optax.OptState
    running: jax.Array
    recent: jax.Array


States = list[TrainState]
"""The networks of a run."""


def best(states: States) -> TrainState:
    """The network with the smallest recent loss; of equal ones the first."""
    return min(states, key=lambda state: float(state.recent))


class Keys(NamedTuple):
    """Where the randomness of one seed comes from."""

    init: jax.Array
    train: jax.Array
    validation: jax.Array
    test: jax.Array


def make_keys(seed: int) -> Keys:
    """Derives the keys of a seed."""
    return Keys(*jax.random.split(jax.random.key(seed), len(Keys._fields)))


def _optimizer(task: Task) -> optax.GradientTransformation:
    return optax.adam(rates.scheduled(task.learning_rate, rates.COSINE, task.steps))


@functools.partial(jax.jit, static_argnames="task")
def init(task: Task, split: Split, key: jax.Array) -> TrainState:
    """Makes the state before the first step."""
    params = task.init(key, split)
    none = jnp.zeros(())
    return TrainState(jnp.zeros((), jnp.int32), params, _optimizer(task).init(params), none, none)


@functools.partial(jax.jit, static_argnames=("task", "steps"))
def train(task: Task, split: Split, key: jax.Array, state: TrainState, steps: int) -> TrainState:
    """Takes several steps in one dispatch."""
    for _ in range(steps):
        examples = task.draw(jax.random.fold_in(key, state.step), split, task.batch_size)
        value, gradient = jax.value_and_grad(task.loss)(state.params, examples)
        updates, opt_state = _optimizer(task).update(gradient, state.opt_state, state.params)
        state = state._replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            running=state.running + value,
        )
    return state


@dataclasses.dataclass(frozen=True)
class Pace:
    """How often a run looks up, and how well it looks.

    Attributes:
      eval_every: Steps between measurements on validation digits.
      checkpoint_every: Steps between saves.
      validation_examples: Examples to draw the curve from.
      test_examples: Examples to report on.
    """

    eval_every: int
    checkpoint_every: int
    validation_examples: int
    test_examples: int


@dataclasses.dataclass
class Run:
    """One run: a task, a seed, and the folder of its files."""

    name: str
    task: Task
    dataset: str
    pace: Pace
    seed: int
    folder: Path

    @classmethod
    def at(cls, name: str, task: Task, dataset: str, pace: Pace, seed: int, out: Path) -> "Run":
        """Names the folder of a run after its task and seed."""
        return cls(name, task, dataset, pace, seed, out / "runs" / name / f"seed_{seed}")

    @property
    def identity(self) -> dict[str, Any]:
        """Everything its numbers depend on, as JSON can hold it."""
        pace = dataclasses.asdict(self.pace)
        del pace["checkpoint_every"]
        settings = dataclasses.asdict(self.task)  # type: ignore[call-overload]
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
        return {**plain, **pace, "dataset": self.dataset, "seed": self.seed}

    def check_identity(self) -> None:
        """Refuses to continue a run under other settings.

        Raises:
          FlagError: If the folder holds a run whose settings are not these.
        """
        run_folders.check(self.folder, self.identity)

    @property
    def result(self) -> dict[str, Any] | None:
        """What the run found, or None if it has not ended."""
        return runs.result(self.folder)

    def execute(self, splits: Splits, stop: Stop) -> dict[str, Any]:
        """Trains to the end, from the last checkpoint if there is one, and measures.

        Args:
          splits: The data; the task keeps what it uses.
          stop: Asked after each dispatch.

        Returns:
          The result, also written to `result.json`.

        Raises:
          Interrupted: If asked to stop; a checkpoint has been written.
          RunError: If the loss is not finite.
        """
        self.check_identity()
        memory.keep_freed()
        storage.write_json(self.folder / "run.json", self.identity)
        splits = jax.device_put(self.task.select(splits))
        keys = make_keys(self.seed)
        checkpoints = Checkpoints(self.folder / "checkpoints")
        try:
            each = jax.random.split(keys.init, self.task.networks)
            start = [init(self.task, splits.train, key) for key in each]
            states = checkpoints.restore(start)
            done = 0 if states is None else int(states[0].step)
            log = MetricsLog(self.folder / "metrics.jsonl", done)
            states = self._train(splits, keys, states or start, checkpoints, log, stop)
        finally:
            checkpoints.close()
        examples = self.pace.test_examples
        result = {
            "name": self.name,
            "seed": self.seed,
            "before": self.task.measure(best(start).params, keys.test, splits.test, examples),
            "test": self.task.measure(best(states).params, keys.test, splits.test, examples),
            "seconds": round(log.seconds(), 1),
            "curve": log.curve(),
        }
        storage.write_json(self.folder / "result.json", result)
        return result

    def _train(
        self,
        splits: Splits,
        keys: Keys,
        states: States,
        checkpoints: Checkpoints,
        log: MetricsLog,
        stop: Stop,
    ) -> States:
        steps, every = self.task.steps, self.pace.eval_every
        step = saved = int(states[0].step)
        label = f"{self.name} seed {self.seed}"
        with tqdm(total=steps, initial=step, desc=label, unit="step") as bar:
            while step < steps:
                due = min((step // every + 1) * every, steps)
                # The cuts depend on the step alone, not on where a resumed run began.
                count = DISPATCH if due - step >= DISPATCH else 1
                states = [
                    train(self.task, splits.train, keys.train, state, count) for state in states
                ]
                step += count
                bar.update(count)
                if step == due:
                    states = self._evaluate(splits, keys, states, log, bar)
                if step - saved >= self.pace.checkpoint_every or step == steps or stop.requested:
                    checkpoints.save(step, states)
                    saved = step
                if stop.requested:
                    raise Interrupted
        return states

    def _evaluate(
        self, splits: Splits, keys: Keys, states: States, log: MetricsLog, bar: tqdm
    ) -> States:
        step, every = int(states[0].step), self.pace.eval_every
        since = step - (step - 1) // every * every
        states = [_closed(state, since) for state in states]
        if not all(math.isfinite(state.recent) for state in states):
            raise RunError(
                f"{self.name} seed {self.seed}: the loss was not finite before step {step}; try a "
                "smaller --learning_rate or a larger --temperature"
            )
        kept, examples = best(states), self.pace.validation_examples
        found = self.task.measure(kept.params, keys.validation, splits.validation, examples)
        metrics = {name: value for name, value in found.items() if isinstance(value, float)}
        log.add(step=step, loss=float(kept.recent), **metrics)
        shown = {"loss": f"{kept.recent:.3g}", **{k: f"{v:.3f}" for k, v in metrics.items()}}
        bar.set_postfix(shown)
        return states


@jax.jit
def _closed(state: TrainState, steps: int) -> TrainState:
    """Closes an evaluation: the loss of so many steps becomes the recent one."""
    return state._replace(running=jnp.zeros_like(state.running), recent=state.running / steps)
