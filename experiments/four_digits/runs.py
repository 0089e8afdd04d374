# SPDX-License-Identifier: Apache-2.0
"""One run, that is one operator and one seed: trained, measured, interrupted, resumed."""

import dataclasses
import math
import re
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from experiments.common import devices, memory, metrics_log, run_folders, runs, storage
from experiments.common.checkpoints import Checkpoints
from experiments.common.command_line import Interrupted, Stop
from experiments.common.datasets import Splits
from experiments.common.metrics_log import MetricsLog
from experiments.four_digits import training
from experiments.four_digits.config import Config, Method
from experiments.four_digits.training import Keys, Task, TrainState

# Settings that decide which runs there are, or how often they are saved, but no number in one.
_OUTSIDE = (
    *("protocol", "operators", "loss", "seeds", "download"),
    *("checkpoint_every", "checkpoint_seconds"),
)


class RunError(Exception):
    """The run cannot go on; the message is one line."""


@dataclasses.dataclass
class Run:
    """One run: an operator, a seed, and the folder of its files.

    Its devices are not part of its identity, so you may continue it on others.
    """

    config: Config
    method: Method
    seed: int
    folder: Path
    mesh: Mesh | None = None

    @classmethod
    def at(
        cls, config: Config, method: Method, seed: int, out_dir: Path, mesh: Mesh | None = None
    ) -> "Run":
        """Names the folder of a run after its operator and seed."""
        name = re.sub(r"[^\w.=,-]", "+", method.spec)
        return cls(config, method, seed, out_dir / "runs" / name / f"seed_{seed}", mesh)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything its numbers depend on."""
        settings = dataclasses.asdict(self.config)
        kept = {name: value for name, value in settings.items() if name not in _OUTSIDE}
        # A list is what JSON makes of a tuple.
        kept["channels"] = list(self.config.channels)
        method = {"method": self.method.identity, "weights": self.method.weights}
        return {**kept, **method, "seed": self.seed}

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

    @property
    def stopped(self) -> dict[str, Any] | None:
        """How far the run came, or None if it has ended or was never measured."""
        records = storage.read_lines(self.folder / "metrics.jsonl")
        if self.result is not None or not records:
            return None
        return {
            "operator": self.method.spec,
            "seed": self.seed,
            "seconds": round(records[-1]["seconds"], 1),
            "curve": metrics_log.curve(records),
        }

    def execute(self, splits: Splits, stop: Stop) -> dict[str, Any]:
        """Trains to the end, from the last checkpoint if there is one, and measures.

        Args:
          splits: The data, on the devices.
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
        task = Task.of(self.config, self.method.loss, self.mesh)
        keys = devices.replicate(training.make_keys(self.seed), self.mesh)
        checkpoints = Checkpoints(self.folder / "checkpoints")
        try:
            start = training.init(task, splits.train, keys.init)
            state = checkpoints.restore(start)
            log = MetricsLog(self.folder / "metrics.jsonl", 0 if state is None else int(state.step))
            state = self._train(task, splits, keys, state or start, checkpoints, log, stop)
            result = self._measure(task, splits, keys, start, state, log)
        finally:
            checkpoints.close()
        storage.write_json(self.folder / "result.json", result)
        return result

    def _train(
        self,
        task: Task,
        splits: Splits,
        keys: Keys,
        state: TrainState,
        checkpoints: Checkpoints,
        log: MetricsLog,
        stop: Stop,
    ) -> TrainState:
        config, step = self.config, int(state.step)
        saved, saved_at = step, time.monotonic()
        with tqdm(
            total=config.steps,
            initial=step,
            desc=f"{self.method.spec} n={config.n} seed {self.seed}",
            unit="step",
            disable=not devices.first(),
        ) as bar:
            while step < config.steps:
                due = min((step // config.eval_every + 1) * config.eval_every, config.steps)
                # The cuts depend on the step alone, not on where a resumed run began.
                count = config.steps_per_dispatch if due - step >= config.steps_per_dispatch else 1
                running = state.running
                state = training.train(task, self.method.operator, splits.train, keys, state, count)
                # While the devices work at these steps the bar waits for those before, so that they
                # find the next ones there when they are done.
                if step % config.eval_every:
                    self._show(bar, step, running)
                step += count
                bar.update(count)
                if step == due:
                    loss, em = self._show(bar, step, state.running)
                    state = self._evaluate(task, splits, keys, state, log, loss, em)
                stopping = devices.agreed(stop.requested)
                late = time.monotonic() - saved_at >= config.checkpoint_seconds
                whole = step - saved >= config.checkpoint_every or step == config.steps
                if whole or stopping or devices.agreed(late):
                    checkpoints.save(step, state)
                    saved, saved_at = step, time.monotonic()
                if stopping:
                    raise Interrupted
        return state

    def _show(self, bar: Any, step: int, running: jax.Array) -> tuple[float, float]:
        """Gives mean loss and training EM since the last evaluation, and shows them."""
        since = (step - 1) % self.config.eval_every + 1
        # Not taken apart on the device, which would do that after the steps that it is at.
        loss, em = (float(x) / since for x in np.asarray(running))
        bar.set_postfix(loss=f"{loss:.3f}", EM=f"{em:.3f}")
        return loss, em

    def _evaluate(
        self,
        task: Task,
        splits: Splits,
        keys: Keys,
        state: TrainState,
        log: MetricsLog,
        loss: float,
        em: float,
    ) -> TrainState:
        if not math.isfinite(loss):
            raise RunError(
                f"{self.method.spec} seed {self.seed}: the loss was not finite before step "
                f"{int(state.step)}; try a smaller --learning_rate or a larger temperature"
            )
        lists = self.config.validation_lists
        found = training.evaluate(task, state.params, splits.validation, keys.validation, lists)
        log.add(step=int(state.step), loss=loss, train_em=em, **found)
        return training.keep_best(state, found["em5"])

    def _measure(
        self,
        task: Task,
        splits: Splits,
        keys: Keys,
        start: TrainState,
        end: TrainState,
        log: MetricsLog,
    ) -> dict[str, Any]:
        test = training.evaluate(
            task, end.best_params, splits.test, keys.test, self.config.test_lists
        )
        result: dict[str, Any] = {
            "operator": self.method.spec,
            "method": self.method.identity,
            "seed": self.seed,
            "test": test,
            "validation_em5": float(end.best_em5),
            "best_step": int(end.best_step),
            "seconds": round(log.seconds(), 1),
            "curve": log.curve(),
        }
        drawn = result["permutation"] = {}
        for name, params in (("before", start.params), ("after", end.best_params)):
            numbers, weights = jax.device_get(
                training.soft_permutation(task, self.method.operator, params, splits.test, keys)
            )
            drawn |= {"numbers": numbers.tolist(), name: weights.round(4).tolist()}
        return result
