# SPDX-License-Identifier: Apache-2.0
"""One run, that is one method and one seed: trained, judged, interrupted, resumed."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax

from experiments.common import run_folders, storage
from experiments.common.checkpoints import Checkpoints
from experiments.common.command_line import Interrupted, Stop, check_finite
from experiments.common.methods import Method
from experiments.common.metrics_log import MetricsLog
from experiments.neighbours.config import Config, identity
from experiments.neighbours.training import Data, Task


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
        path = self.folder / "result.json"
        found: dict[str, Any] | None = storage.read_json(path) if path.exists() else None
        return found

    def check_identity(self) -> None:
        """Raises FlagError if the folder has a run with other settings."""
        run_folders.check(self.folder, identity(self.config, self.method, self.seed))

    def execute(
        self, train: Data, validation: Data, test: Data, stop: Stop, classes: int = 10
    ) -> dict[str, Any]:
        """Trains from where it is to the end, and judges the best weights on the test data.

        Raises:
          FlagError: As `check_identity`.
          Diverged: If the loss is not finite at a validation.
          Interrupted: If it was asked to stop; what it did is saved.
        """
        self.check_identity()
        done = self.result
        if done is not None:
            return done
        self.folder.mkdir(parents=True, exist_ok=True)
        storage.write_json(self.folder / "run.json", identity(self.config, self.method, self.seed))
        task = Task(self.config, self.method, classes)
        checkpoints = Checkpoints(self.folder / "checkpoints")
        try:
            state = task.start(train, self.seed)
            state = checkpoints.restore(state) or state
            log = MetricsLog(self.folder / "metrics.jsonl", int(state.step))
            while (step := int(state.step)) < self.config.steps:
                if stop.requested:
                    raise Interrupted
                count = min(self.config.eval_every, self.config.steps - step)
                state = task.steps(state, train, self.seed, count)
                name = f"{self.method.spec} seed {self.seed}"
                check_finite(task.last_loss(state), name, int(state.step))
                state = task.validated(state, train, validation)
                log.add(step=int(state.step), best_accuracy=float(state.best_accuracy))
                checkpoints.save(int(state.step), state)
        finally:
            checkpoints.close()
        result: dict[str, Any] = {
            "validation_accuracy": float(state.best_accuracy),
            "test_accuracy": task.accuracy(state.best, train, test),
            "seconds": round(log.seconds(), 1),
        }
        shown = task.shown(state.best, train, test, self.seed)
        if shown is not None:
            result["shown"] = shown
        storage.write_json(self.folder / "result.json", result)
        jax.clear_caches()  # of programs that no other run has
        return result
