# SPDX-License-Identifier: Apache-2.0
"""A run in a folder: what it found is there, or it goes on from where it was."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from experiments.common import memory, run_folders, storage
from experiments.common.checkpoints import Checkpoints
from experiments.common.command_line import Interrupted, Stop
from experiments.common.metrics_log import MetricsLog


def result(folder: Path) -> dict[str, Any] | None:
    """What the run of a folder found, if it is done."""
    path = folder / "result.json"
    found: dict[str, Any] | None = storage.read_json(path) if path.exists() else None
    return found


def execute(
    folder: Path, identity: Mapping[str, Any], run: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Completes the run of a folder, unless its result is there.

    Args:
      folder: Of the run.
      identity: All that its numbers depend on, as JSON can hold it.
      run: Trains, and gives the result.

    Raises:
      FlagError: If the folder has a run of another identity.
    """
    run_folders.check(folder, identity)
    done = result(folder)
    if done is not None:
        return done
    storage.write_json(folder / "run.json", identity)
    found = run()
    storage.write_json(folder / "result.json", found)
    jax.clear_caches()  # of programs that no other run has
    return found


def train(
    state: Any,
    folder: Path,
    advance: Callable[[Any, int], Any],
    validate: Callable[[Any], tuple[Any, dict[str, float]]],
    *,
    steps: int,
    eval_every: int,
    stop: Stop,
) -> tuple[Any, MetricsLog]:
    """Trains to the end, from the last checkpoint of a folder if it has one.

    Args:
      state: Before the first step; has a `step`.
      folder: Of the run.
      advance: Takes so many steps from a state.
      validate: Judges a state. Gives what to go on from, with the best weights, and metrics.
      steps: Steps in all.
      eval_every: Steps between validations, each of which is logged and saved.
      stop: Asked before each part.

    Returns:
      The state after the last step, and the log.

    Raises:
      Interrupted: If it was asked to stop; what it did is saved.
    """
    memory.keep_freed()
    checkpoints = Checkpoints(folder / "checkpoints")
    try:
        state = checkpoints.restore(state) or state
        log = MetricsLog(folder / "metrics.jsonl", int(state.step))
        while (step := int(state.step)) < steps:
            if stop.requested:
                raise Interrupted
            state, metrics = validate(advance(state, min(eval_every, steps - step)))
            log.add(step=int(state.step), **metrics)
            checkpoints.save(int(state.step), state)
        return jax.block_until_ready(state), log
    finally:
        checkpoints.close()
