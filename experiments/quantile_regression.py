# SPDX-License-Identifier: Apache-2.0
"""Learns to read four-digit numbers when only a quantile of each list is known.

Of two networks one ranks the pictures of a list and the other reads their values. The prediction is
the value at the quantile, by the soft order of the ranks; its squared error trains both. The table
has the mean squared error and R² on exact quantiles of lists of unseen pictures, beside those of a
constant and of a network that sees the whole list and knows no sort.

  python experiments/quantile_regression.py
  python experiments/quantile_regression.py --operators=neuralsort,lapsum --n=9 --quantile=0.25
  python experiments/quantile_regression.py --dataset=mnist --steps=20000 --seeds=3

An interrupted run goes on with --resume, to the numbers it would have had.
"""

import dataclasses
import functools
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from absl import flags

import arlsort
from arlsort import operators
from experiments.common import datasets, run_folders, storage
from experiments.common.checkpoints import Checkpoints
from experiments.common.command_line import (
    FlagError,
    Interrupted,
    Script,
    Stop,
    check_at_least,
    definers,
    refused,
)
from experiments.common.reports import git_commit, machine, markdown
from experiments.four_digits.reader import number_reader
from experiments.four_digits.sampling import DIGITS, draw
from experiments.neighbours.config import Method, read_specs

DEFAULT_FOLDER = Path("runs/quantile_regression")
DATASETS = ("digits", "mnist")
CONSTANT, PLAIN = "constant", "plain_network"
SCALE = 10.0**DIGITS
UNIT = 1e-4  # errors are printed in ten thousands, as published
DEFAULT_OPERATORS = (
    "amortized:normalize=false",
    "neuralsort:temperature=1",
    "neuralsort:temperature=1,stochastic=true,num_samples=5",
    "odd_even:temperature=0.1",
    "lapsum:temperature=0.3",
    "softsort:temperature=0.3",
)

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.enum("dataset", "digits", DATASETS, "Pictures of digits.")
define.boolean("download", False, "Let TFDS download the data set if it is not there.")
define.multi_string(
    "operators",
    list(DEFAULT_OPERATORS),
    f"What to compare, of {', '.join(operators.names())}, with hyperparameters if wanted. Each "
    "must sort rows by keys. May be repeated.",
)
define.boolean("baselines", True, "Whether to compare with what is no sort.")
define.integer("n", 5, "Numbers in a list.")
define.float("quantile", 0.5, "Which quantile is known; 0.5 is the median.")
define.integer("seeds", 1, "Runs of each method: seeds 0, 1, ...")
define.integer("steps", 2000, "Training steps.")
define.integer("batch_size", 32, "Lists in a step.")
define.float("learning_rate", 1e-3, "Of Adam.")
define.integer("eval_every", 200, "Steps between validations.")
define.integer("test_lists", 2000, "Lists to report on.")
define.string("out_dir", None, f"Where to write. (default: a new folder in {DEFAULT_FOLDER})")
define.boolean("resume", False, "Continue in --out_dir, or in the newest default folder.")


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run's numbers depend on, beside its method and seed."""

    dataset: str
    n: int
    quantile: float
    steps: int
    batch_size: int
    learning_rate: float
    eval_every: int
    test_lists: int


class State(NamedTuple):
    """What a run goes on from; `best` is a copy of the weights with the least validation error."""

    params: Any
    optimizer: optax.OptState
    step: jax.Array
    best: Any
    best_error: jax.Array


@dataclasses.dataclass(frozen=True)
class Task:
    """One method under one configuration; without an operator the plain network."""

    config: Config
    method: Method

    @functools.cached_property
    def reader(self) -> hk.Transformed:
        """Reads one number from a picture; both networks are such."""
        return number_reader((16, 32))

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
        """Adam, as published."""
        return optax.adam(self.config.learning_rate)

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

    @functools.cached_property
    def steps(self) -> Any:
        """A jitted function of a state, the data, a seed and how many steps: the state after."""

        def loss(params: Any, pictures: jax.Array, numbers: jax.Array, key: jax.Array) -> jax.Array:
            return ((self.predict(params, pictures, key) - self.targets(numbers)) ** 2).mean()

        def run(state: State, split: datasets.Split, seed: jax.Array, count: jax.Array) -> State:
            def one(_: int, state: State) -> State:
                key = jax.random.fold_in(jax.random.key(1), seed)
                drawn, noise = jax.random.split(jax.random.fold_in(key, state.step))
                batch = draw(drawn, split, self.config.batch_size, self.config.n)
                gradient = jax.grad(loss)(state.params, *batch, noise)
                updates, optimizer = self.optimizer.update(gradient, state.optimizer)
                params = optax.apply_updates(state.params, updates)
                return state._replace(params=params, optimizer=optimizer, step=state.step + 1)

            return jax.lax.fori_loop(0, count, one, state)

        return jax.jit(run)

    @functools.cached_property
    def _judged(self) -> Any:
        def run(params: Any, split: datasets.Split, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            pictures, numbers = draw(key, split, 100, self.config.n)
            return self.predict(params, pictures, key), self.targets(numbers)

        return jax.jit(run)

    def errors(self, params: Any, split: datasets.Split, seed: int) -> tuple[float, float, float]:
        """MSE and R² on lists that only the seed decides, and the MSE of their own mean."""
        parts = range(-(-self.config.test_lists // 100))
        keys = [jax.random.fold_in(jax.random.key(2 + seed), i) for i in parts]
        found = [self._judged(params, split, key) for key in keys]
        predicted, exact = (jnp.concatenate(list(part)) for part in zip(*found, strict=True))
        error = float(((predicted - exact) ** 2).mean())
        constant = float(exact.var())
        return SCALE**2 * error, 1 - error / constant, SCALE**2 * constant


def execute(task: Task, seed: int, folder: Path, splits: datasets.Splits, stop: Stop) -> dict:
    """Trains one run from where it is to the end; its result is the file in its folder."""
    path = folder / "result.json"
    if path.exists():
        earlier: dict = storage.read_json(path)
        return earlier
    folder.mkdir(parents=True, exist_ok=True)
    storage.write_json(folder / "run.json", identity(task, seed))
    on_device = jax.tree.map(jnp.asarray, splits)
    picture, _ = draw(jax.random.key(0), on_device.train, 1, task.config.n)
    state, checkpoints = task.start(picture, seed), Checkpoints(folder / "checkpoints")
    began = time.perf_counter()
    try:
        state = checkpoints.restore(state) or state
        while (step := int(state.step)) < task.config.steps:
            if stop.requested:
                raise Interrupted
            count = min(task.config.eval_every, task.config.steps - step)
            state = task.steps(state, on_device.train, jnp.asarray(seed), jnp.asarray(count))
            error = task.errors(state.params, on_device.validation, 0)[0]
            if error < float(state.best_error):
                best = jax.tree.map(jnp.copy, state.params)
                state = state._replace(best=best, best_error=jnp.asarray(error))
            checkpoints.save(int(state.step), state)
    finally:
        checkpoints.close()
    error, r2, constant = task.errors(state.best, on_device.test, 1)
    result = {"mse": error, "r2": r2, "constant_mse": constant}
    result["seconds"] = round(time.perf_counter() - began, 1)
    storage.write_json(path, result)
    jax.clear_caches()  # of programs that no other run has
    return result


def identity(task: Task, seed: int) -> dict[str, Any]:
    """All that the numbers of a run depend on."""
    return {**dataclasses.asdict(task.config), "method": task.method.spec, "seed": seed}


def check_identity(task: Task, seed: int, folder: Path) -> None:
    """Raises FlagError if the folder of a run has other settings."""
    path, now = folder / "run.json", identity(task, seed)
    if not path.exists():
        return
    difference = run_folders.difference(folder, storage.read_json(path), now)
    if difference is not None:
        raise FlagError(difference)


def settings() -> tuple[Config, list[Method]]:
    """Reads and checks the flags; raises FlagError if one is not allowed."""
    stated: dict[str, Any] = {f.name: FLAGS[f.name].value for f in dataclasses.fields(Config)}
    for name in ("n", "steps", "batch_size", "eval_every", "test_lists", "seeds"):
        check_at_least(FLAGS, name, 2 if name == "n" else 1)
    if not 0 <= FLAGS.quantile <= 1:
        raise refused("quantile", FLAGS.quantile, "a number in [0, 1]")
    if not FLAGS.learning_rate > 0:
        raise refused("learning_rate", FLAGS.learning_rate, "a number > 0")
    methods = [Method.of(spec) for spec in read_specs(FLAGS.operators)]
    for method in methods:
        if method.operator is None or not method.operator.has_permutation:
            raise refused("operators", method.spec, "operators with a permutation")
    if FLAGS.baselines:
        methods.append(Method(PLAIN, None))
    return Config(**stated), methods


def main() -> None:
    """Runs the comparison and reports."""
    config, methods = settings()
    folder = run_folders.choose(DEFAULT_FOLDER, FLAGS.out_dir, FLAGS.resume)
    splits = datasets.load(config.dataset, download=FLAGS.download)
    print(f"{config}\n{folder}")
    tasks = [Task(config, method) for method in methods]
    places = {task: folder / "runs" / re.sub(r"[^\w.=,-]", "+", task.method.spec) for task in tasks}
    for task, place in places.items():
        for seed in range(FLAGS.seeds):
            check_identity(task, seed, place / f"seed_{seed}")
    records = []
    with Stop().on_signals() as stop:
        for task, place in places.items():
            results = []
            for seed in range(FLAGS.seeds):
                found = execute(task, seed, place / f"seed_{seed}", splits, stop)
                print(f"{task.method.spec} seed {seed}: R² {found['r2']:.3f}, {found['seconds']} s")
                results.append(found)
            records.append({"method": task.method.spec, "results": results})
    report = {
        "experiment": "quantile_regression",
        "config": {**dataclasses.asdict(config), "seeds": FLAGS.seeds},
        "commit": git_commit(),
        "machine": machine(),
        "records": records,
    }
    storage.write_json(folder / "results.json", report)
    print(f"\n{table(report)}\n\n{folder / 'results.json'}")


def table(report: dict[str, Any]) -> str:
    """Renders mean squared errors, times 1e-4 as published, and R²; means over seeds."""
    rows = []
    constants = [r["constant_mse"] for one in report["records"] for r in one["results"]]
    if constants:
        rows.append([f"`{CONSTANT}`", f"{UNIT * statistics.mean(constants):.1f}", "0"])
    for one in report["records"]:
        errors, shares = ([r[name] for r in one["results"]] for name in ("mse", "r2"))
        error, share = UNIT * statistics.mean(errors), statistics.mean(shares)
        rows.append([f"`{one['method']}`", f"{error:.1f}", f"{share:.3f}"])
    return markdown(["method", "MSE × 1e-4", "R²"], rows)


ERRORS = (datasets.DataError, OSError, ValueError)
SCRIPT = Script("quantile_regression", __doc__, FLAGS, main, ERRORS)

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
