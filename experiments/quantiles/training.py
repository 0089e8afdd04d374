# SPDX-License-Identifier: Apache-2.0
"""Trains two networks, one that ranks and one that reads, by a quantile of each list."""

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

import arlsort
from experiments.common import datasets, rates, run_folders, runs, stepping
from experiments.common.command_line import Stop, check_finite
from experiments.common.methods import Method
from experiments.four_digits.reader import number_reader
from experiments.four_digits.sampling import DIGITS, draw

SCALE = 10.0**DIGITS
PLAIN = "plain_network"
"""The baseline: it sees the whole list, and has no sort."""

_AT_ONCE = 100  # lists that are judged together


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run's numbers depend on, beside its method and seed."""

    dataset: str = "digits"
    n: int = 5
    quantile: float = 0.5
    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 2e-3
    schedule: str = rates.COSINE
    resolution: str = "full"
    precision: str = "float32"
    eval_every: int = 250
    test_lists: int = 2000


class State(NamedTuple):
    """The state of a run; `best` is a copy of the weights with the least validation error."""

    params: Any
    optimizer: optax.OptState
    step: jax.Array
    best: Any
    best_error: jax.Array


@dataclasses.dataclass(frozen=True)
class Task(stepping.Stepping):
    """One method under one configuration; without an operator the plain network."""

    config: Config
    method: Method

    @functools.cached_property
    def reader(self) -> hk.Transformed:
        """Reads one number from a picture; both networks are such."""
        return number_reader((16, 32), precision=self.config.precision)

    @functools.cached_property
    def plain(self) -> hk.Transformed:
        """Reads a list of numbers as features and makes one of them."""

        def forward(read: jax.Array) -> jax.Array:
            return hk.nets.MLP([64, 64, 1])(read)[..., 0]

        return hk.without_apply_rng(hk.transform(forward))

    def start(self, picture: jax.Array, seed: int) -> State:
        """The state before the first step; the picture is any."""
        first, second = jax.random.split(jax.random.key(seed))
        params = {"value": self.reader.init(first, picture)}
        if self.method.operator is None:
            params["list"] = self.plain.init(second, jnp.zeros((1, self.config.n)))
        else:
            params["rank"] = self.reader.init(second, picture)
        optimizer = self.optimizer.init(params)
        copy = jax.tree.map(jnp.copy, params)
        return State(params, optimizer, jnp.zeros((), jnp.int32), copy, jnp.asarray(jnp.inf))

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """Adam; the rate falls to zero, unless the schedule is constant as published."""
        config = self.config
        return optax.adam(rates.scheduled(config.learning_rate, config.schedule, config.steps))

    def predict(self, params: Any, pictures: jax.Array, key: jax.Array) -> jax.Array:
        """The quantile of each list `[lists, n, ...]` as a share of the largest number."""
        values = self.reader.apply(params["value"], pictures).scores
        operator = self.method.operator
        if operator is None:
            return self.plain.apply(params["list"], values)
        if operator.needs_key:
            operator = dataclasses.replace(operator, key=key)  # type: ignore[call-arg]
        scores = self.reader.apply(params["rank"], pictures).scores
        ordered = arlsort.sort_by(scores, values, operator)
        place = self.config.quantile * (self.config.n - 1)
        low, high = int(place), min(int(place) + 1, self.config.n - 1)
        return ordered[:, low] + (place - low) * (ordered[:, high] - ordered[:, low])

    def targets(self, numbers: jax.Array) -> jax.Array:
        """The exact quantiles, as a share of the largest number."""
        return jnp.quantile(numbers / SCALE, self.config.quantile, axis=-1)

    def loss(
        self, params: Any, pictures: jax.Array, numbers: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Mean squared error."""
        return ((self.predict(params, pictures, key) - self.targets(numbers)) ** 2).mean()

    def _step(self, state: State, split: datasets.Split, key: jax.Array) -> State:
        drawn, noise = jax.random.split(jax.random.fold_in(key, state.step))
        batch = draw(drawn, split, self.config.batch_size, self.config.n, self.config.resolution)
        gradient = jax.grad(self.loss)(state.params, *batch, noise)
        updates, optimizer = self.optimizer.update(gradient, state.optimizer)
        params = optax.apply_updates(state.params, updates)
        return state._replace(params=params, optimizer=optimizer, step=state.step + 1)

    @functools.cached_property
    def _judged(self) -> Any:
        def run(params: Any, split: datasets.Split, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            pictures, numbers = draw(key, split, _AT_ONCE, self.config.n, self.config.resolution)
            noise = jax.random.fold_in(key, 1)
            return self.predict(params, pictures, noise), self.targets(numbers)

        return jax.jit(run)

    def errors(self, params: Any, split: datasets.Split, seed: int) -> tuple[float, float, float]:
        """MSE and R² on lists that only the seed decides, and the MSE of their own mean."""
        lists = self.config.test_lists
        parts = range(-(-lists // _AT_ONCE))
        keys = [jax.random.fold_in(jax.random.key(2 + seed), i) for i in parts]
        found = [self._judged(params, split, key) for key in keys]
        predicted, exact = (jnp.concatenate(list(x))[:lists] for x in zip(*found, strict=True))
        error = float(((predicted - exact) ** 2).mean())
        constant = float(exact.var())
        return SCALE**2 * error, 1 - error / constant, SCALE**2 * constant


def execute(task: Task, seed: int, folder: Path, splits: datasets.Splits, stop: Stop) -> dict:
    """Trains one run from where it is to the end; its result is the file in its folder.

    Raises:
      FlagError: As `check_identity`.
      Diverged: If a validation error is not finite.
      Interrupted: If it was asked to stop; what it did is saved.
    """

    def run() -> dict[str, Any]:
        train, validation, test = jax.tree.map(jnp.asarray, splits)
        picture, _ = draw(jax.random.key(0), train, 1, task.config.n, task.config.resolution)

        def validate(state: State) -> tuple[State, dict[str, float]]:
            error = task.errors(state.params, validation, 0)[0]
            check_finite(error, f"{task.method.spec} seed {seed}", int(state.step))
            if error < float(state.best_error):
                copy = jax.tree.map(jnp.copy, state.params)
                state = state._replace(best=copy, best_error=jnp.asarray(error))
            return state, {"validation_mse": error}

        state, log = runs.train(
            task.start(picture, seed),
            folder,
            lambda state, count: task.steps(state, train, seed, count),
            validate,
            steps=task.config.steps,
            eval_every=task.config.eval_every,
            stop=stop,
        )
        error, r2, constant = task.errors(state.best, test, 1)
        return {
            "validation_mse": float(state.best_error),
            "mse": error,
            "r2": r2,
            "constant_mse": constant,
            "seconds": round(log.seconds(), 1),
        }

    return runs.execute(folder, identity(task, seed), run)


def identity(task: Task, seed: int) -> dict[str, Any]:
    """All that the numbers of a run depend on."""
    return {**dataclasses.asdict(task.config), **task.method.identity, "seed": seed}


def check_identity(task: Task, seed: int, folder: Path) -> None:
    """Raises FlagError if the folder of a run has other settings."""
    run_folders.check(folder, identity(task, seed))
