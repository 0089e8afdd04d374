# SPDX-License-Identifier: Apache-2.0
"""How long runs would take, from a few hundred steps of each; writes no results."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from experiments.common import devices
from experiments.common.command_line import refused
from experiments.common.datasets import Split, Splits
from experiments.four_digits import training
from experiments.four_digits.config import Config, Method
from experiments.four_digits.training import Task

_BATCHES = 3  # of lists whose evaluation is timed


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a method would take at one n.

    Attributes:
      n: Numbers in a list.
      spec: The method.
      compiling: Seconds until the programs are there, once.
      step: Seconds of a training step.
      evaluation: Seconds of all evaluations of a run.
      run: Seconds of a run, without compilation.
      whole: Seconds of all seeds, with compilation.
      lists: Lists in a step.
    """

    n: int
    spec: str
    compiling: float
    step: float
    evaluation: float
    run: float
    whole: float
    lists: int


def check(steps: int, configs: Sequence[Config]) -> None:
    """Refuses a number of steps that cannot be timed; raises FlagError."""
    most = min(config.steps for config in configs)
    if not 2 <= steps <= most:
        raise refused("dry_run", steps, f"an integer from 2 to --steps, {most}")


def measure(
    config: Config, method: Method, splits: Splits, steps: int, mesh: Mesh | None = None
) -> Forecast:
    """Takes steps, of which the first dispatch is not counted, and forecasts from the others.

    Args:
      config: The settings.
      method: The method.
      splits: The data, on the devices.
      steps: How many steps, at least two; rounded down to whole dispatches.
      mesh: The devices that share the batches, if there are several.
    """
    task = Task.of(config, method.loss, mesh)
    keys = devices.replicate(training.make_keys(0), mesh)
    # Of a loop the compiled steps cost no more than one; what matters is that the device is busy.
    count = min(config.steps_per_dispatch, steps // 2)
    dispatches = steps // count
    began = time.perf_counter()
    state = jax.block_until_ready(training.init(task, splits.train, keys.init))
    compiling = time.perf_counter() - began

    def train(dispatches: int) -> None:
        nonlocal state
        for _ in range(dispatches):
            state = training.train(task, method.operator, splits.train, keys, state, count)
        jax.block_until_ready(state)

    def evaluate(split: Split, batches: int = 1) -> None:
        lists = batches * task.batch_size
        training.evaluate(task, state.params, split, keys.validation, lists)

    def close() -> None:
        kept = training.keep_best(state, 0.0)
        drawn = training.soft_permutation(task, method.operator, state.params, splits.test, keys)
        jax.block_until_ready((kept, drawn))

    first = _seconds(lambda: train(1))
    step = _seconds(lambda: train(dispatches - 1)) / (count * (dispatches - 1))
    compiling += max(0.0, first - count * step)
    first = _seconds(lambda: evaluate(splits.validation))
    batch = _seconds(lambda: evaluate(splits.validation, _BATCHES)) / _BATCHES
    compiling += max(0.0, first - batch)
    compiling += max(0.0, _seconds(lambda: evaluate(splits.test)) - batch)
    compiling += _seconds(close)  # which take no time but this
    evaluation = batch * evaluated_batches(config)
    run = step * config.steps + evaluation
    whole = compiling + config.seeds * run
    return Forecast(
        config.n, method.spec, compiling, step, evaluation, run, whole, config.batch_size
    )


def evaluated_batches(config: Config) -> int:
    """How many batches the evaluations of a run have, the test at its end among them."""
    times = -(-config.steps // config.eval_every)
    validation = -(-config.validation_lists // config.batch_size)
    return times * validation + -(-config.test_lists // config.batch_size)


def table(rows: Sequence[Forecast]) -> str:
    """Renders forecasts for a terminal."""
    titles = ("n", "method", "lists/s", "compiling", "a run", "of it evaluation", "all seeds")
    cells = [
        (
            str(row.n),
            row.spec,
            f"{row.lists / row.step:.0f}",
            *map(_time, (row.compiling, row.run, row.evaluation, row.whole)),
        )
        for row in rows
    ]
    cells.append(("", "all", *[""] * 4, _time(sum(row.whole for row in rows))))
    lines = [titles, *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i < 2 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _time(seconds: float) -> str:
    """Words a time as a person says it."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
