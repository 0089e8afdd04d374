# SPDX-License-Identifier: Apache-2.0
"""One run, that is one method and one seed: trained, judged, interrupted, resumed."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from experiments.common import run_folders, runs
from experiments.common.command_line import Stop, check_finite
from experiments.common.methods import Method
from experiments.neighbours.config import Config, identity
from experiments.neighbours.training import Data, State, Task


@dataclasses.dataclass(frozen=True)
class Run:
    """One method and one seed under one configuration, and the folder with what it leaves."""

    config: Config
    method: Method
    seed: int
    folder: Path

    @classmethod
    def at(cls, config: Config, method: Method, seed: int, out_dir: Path) -> "Run":
        """Names the folder of a run after all that tells it from others of a comparison."""
        name = re.sub(r"[^\w.=,-]", "+", method.spec)
        point = f"k={config.k},learning_rate={config.learning_rate:g}"
        return cls(config, method, seed, out_dir / "runs" / name / point / f"seed_{seed}")

    @property
    def result(self) -> dict[str, Any] | None:
        """What it found, if it is done."""
        return runs.result(self.folder)

    @property
    def identity(self) -> dict[str, Any]:
        """All that its numbers depend on."""
        return identity(self.config, self.method, self.seed)

    def check_identity(self) -> None:
        """Raises FlagError if the folder has a run with other settings."""
        run_folders.check(self.folder, self.identity)

    def execute(
        self, train: Data, validation: Data, test: Data, stop: Stop, classes: int = 10
    ) -> dict[str, Any]:
        """Trains from where it is to the end, and judges the best weights on the test data.

        Raises:
          FlagError: As `check_identity`.
          Diverged: If the loss is not finite at a validation.
          Interrupted: If it was asked to stop; what it did is saved.
        """
        task = Task(self.config, self.method, classes)

        def advance(state: State, count: int) -> State:
            state = task.steps(state, train, self.seed, count)
            name = f"{self.method.spec} seed {self.seed}"
            check_finite(task.last_loss(state), name, int(state.step))
            return state

        def validate(state: State) -> tuple[State, dict[str, float]]:
            state = task.validated(state, train, validation)
            return state, {"best_accuracy": float(state.best_accuracy)}

        def run() -> dict[str, Any]:
            state, log = runs.train(
                task.start(train, self.seed),
                self.folder,
                advance,
                validate,
                steps=self.config.steps,
                eval_every=self.config.eval_every,
                stop=stop,
            )
            result: dict[str, Any] = {
                "validation_accuracy": float(state.best_accuracy),
                "test_accuracy": task.accuracy(state.best, train, test),
                "seconds": round(log.seconds(), 1),
            }
            shown = task.shown(state.best, train, test, self.seed)
            return result if shown is None else {**result, "shown": shown}

        return runs.execute(self.folder, self.identity, run)
