# SPDX-License-Identifier: Apache-2.0
"""Reasoners trained on CLRS's own batches, and scored by CLRS's own measure."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from arlsort.reasoner import network, training
from arlsort.reasoner.config import CLRS_FIELDS, ReasonerConfig, TrainingConfig

INPUTS: dict[str, dict[str, Any]] = {
    "comparisons": {"comparisons": True},
    "clrs": {},
    "places": {"comparisons": True, "places": True, "aggregator": "mean_max"},
    "places_alone": {"places": True, "aggregator": "mean_max"},
}
"""What a network has beyond CLRS's: comparisons of keys, pointers to places, means of messages."""


def configs(
    settings: dict[str, Any], algorithm: str, seed: int
) -> tuple[ReasonerConfig, TrainingConfig]:
    """The network of a sort that has these inputs, and its training on CLRS's batches."""
    fields = {**CLRS_FIELDS, **INPUTS[settings["inputs"]]}
    reasoner = ReasonerConfig(algorithm, hidden_size=settings["hidden_size"], **fields)
    schedule = TrainingConfig(
        lengths=tuple(settings["lengths"]),
        hints="clrs",
        steps=settings["steps"],
        seed=seed,
    )
    return reasoner, schedule


def train(
    config: ReasonerConfig,
    schedule: TrainingConfig,
    watch: Callable[[training.TrainingState], None] = lambda state: None,
    *,
    steps: int | None = None,
    random_pos: bool = True,
) -> Any:
    """Trains a reasoner on CLRS's batches, watched after each step; returns averaged parameters.

    Args:
      config: The network.
      schedule: How it is trained.
      watch: Called after each step.
      steps: Stop after so many; None for all of the schedule.
      random_pos: Whether positions are random, as CLRS has them, or evenly spaced.
    """
    from arlsort.reasoner import clrs_bridge

    step = training.make_clrs_step(config, schedule)
    state = training.init(config, schedule)
    made = clrs_bridge.batches(config.algorithm, schedule, random_pos=random_pos)
    with contextlib.closing(made) as batches:
        for _ in range(schedule.steps if steps is None else steps):
            state, _ = step(state, next(batches))
            watch(state)
    return state.average


def make_score(
    config: ReasonerConfig, n: int, lists: int, seed: int, at_once: int | None = None
) -> Callable[[Any], float]:
    """The score, micro-F1, of parameters on a batch of CLRS's sampler, compiled once.

    Args:
      config: The network.
      n: Length of the lists.
      lists: How many.
      seed: Of the lists.
      at_once: How many go through the network at a time; None for all.
    """
    from arlsort.reasoner import clrs_bridge

    _, feedback = clrs_bridge.feedback(config.algorithm, n, lists, seed, random_pos=False)
    batch = clrs_bridge.to_batch(feedback)
    most = batch.hints["pred_h"].shape[0]

    @jax.jit
    def predict(params: Any, keys: jax.Array, pos: jax.Array, lengths: jax.Array) -> Any:
        found = network.transform(config).apply(
            params, None, keys, pos, lengths=lengths, num_hints=most
        )
        return {"pred": found.pred, "pred_mask": found.pred_mask}

    size = min(at_once or lists, lists)
    inputs = [np.asarray(x) for x in (batch.keys, batch.pos, batch.lengths)]

    def score(params: Any) -> float:
        parts = []
        for start in range(0, lists, size):
            stop = min(start + size, lists)
            rows = [np.resize(part[start:stop], (size, *part.shape[1:])) for part in inputs]
            said = predict(params, *rows)
            parts.append(jax.tree.map(lambda leaf, k=stop - start: leaf[:k], said))
        return evaluate(feedback, jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts))

    return score


def evaluate(feedback: Any, said: dict[str, np.ndarray]) -> float:
    """The score that `clrs.evaluate` gives to weights of the outputs, each at its largest."""
    import clrs  # type: ignore[import-untyped]

    chosen = {
        probe.name: clrs.DataPoint(
            probe.name,
            probe.location,
            probe.type_,
            np.eye(probe.data.shape[-1])[said[probe.name].argmax(axis=-1)],
        )
        for probe in feedback.outputs
    }
    return float(clrs.evaluate(feedback.outputs, chosen)["score"])
