# SPDX-License-Identifier: Apache-2.0
"""CLRS's score of a reasoner: trained on short lists, does it sort long ones?

Reasoners are trained on the batches of CLRS's samplers, clean keys and all hints, with several
seeds, once with the comparisons of all keys among their inputs and once, as CLRS has it, without.
They are tested on fresh batches, n = 64 by default, by `clrs.evaluate`. Comparisons say what a sort
would have to ask for: with them the order is to be read off, without them to be found. Training is
far shorter than CLRS's 10,000 steps of 32 lists at hidden size 128.

  python -m experiments.research.order_quality
  python -m experiments.research.order_quality --algorithms=insertion_sort --inputs=clrs \
    --steps=4000 --out=runs/order_quality_long.json

Needs dm-clrs. What is measured is written after each reasoner; those that the file has are not
trained again.
"""

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags, logging

from arlsort.reasoner import network, training
from arlsort.reasoner.config import ALGORITHMS, ReasonerConfig, TrainingConfig
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_choices,
    check_clrs,
    check_out,
    definers,
    read_lengths,
)
from experiments.common.reports import measure_once, open_report

RESULT = Path("runs/order_quality.json")
INPUTS = ("comparisons", "clrs")
SORTS = ("insertion_sort", "bubble_sort", "quicksort", "heapsort")

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("algorithms", list(SORTS), "The sorts to learn.")
define.list("inputs", list(INPUTS), "What the network sees: comparisons too, or what CLRS has.")
define.list("lengths", ["4", "7", "11", "16"], "Lengths of training, ascending, in turn.")
define.integer("n", 64, "Length of the test.")
define.integer("steps", 400, "Training steps.")
define.integer("hidden_size", 32, "Width of every hidden feature.")
define.integer("seeds", 5, "Reasoners of each kind.")
define.integer("test_lists", 32, "Lists of the test.")
define.integer("lists_per_pass", 4, "Of the test, that go through the network at a time.")
define.string("out", str(RESULT), "Where to write.")


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    check_choices(FLAGS, "algorithms", ALGORITHMS)
    check_choices(FLAGS, "inputs", INPUTS)
    for name in ("steps", "hidden_size", "seeds", "test_lists", "lists_per_pass"):
        check_at_least(FLAGS, name, 1)
    check_at_least(FLAGS, "n", 2)
    check_out(FLAGS)
    check_clrs("algorithms")
    numbers = {name: FLAGS[name].value for name in ("n", "steps", "hidden_size", "test_lists")}
    return {"lengths": read_lengths(FLAGS, "lengths"), **numbers}


def configs(
    settings: dict[str, Any], algorithm: str, seed: int
) -> tuple[ReasonerConfig, TrainingConfig]:
    """The network of a sort that sees these inputs, and its training on CLRS's batches."""
    comparisons = settings["inputs"] == "comparisons"
    reasoner = ReasonerConfig(
        algorithm, hidden_size=settings["hidden_size"], comparisons=comparisons
    )
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


def summary(records: list[dict[str, Any]]) -> str:
    """Mean and spread over seeds, for a terminal."""
    lines = [f"{'inputs':<12} {'algorithm':<16} {'n':>3}  micro-F1 %"]
    kinds = dict.fromkeys((r["inputs"], r["algorithm"], r["n"]) for r in records)
    for kind in kinds:
        own = [r["micro_f1"] for r in records if (r["inputs"], r["algorithm"], r["n"]) == kind]
        spread = f" ± {100 * np.std(own, ddof=1):.1f}" if len(own) > 1 else ""
        lines.append(f"{kind[0]:<12} {kind[1]:<16} {kind[2]:>3}  {100 * np.mean(own):.1f}{spread}")
    return "\n".join(lines)


def measure(config: dict[str, Any], inputs: str, algorithm: str, seed: int) -> dict[str, Any]:
    """Trains one reasoner and tests it."""
    reasoner, schedule = configs({**config, "inputs": inputs}, algorithm, seed)
    params = train(reasoner, schedule)
    score = make_score(
        *(reasoner, config["n"], config["test_lists"]),
        seed=2024 + seed,
        at_once=FLAGS.lists_per_pass,
    )
    return {
        "training": dataclasses.asdict(schedule),
        "n": config["n"],
        "micro_f1": score(params),
    }


def main() -> None:
    """Trains and tests each reasoner; writes after each."""
    with jax.numpy_rank_promotion("allow"):  # CLRS relies on it
        _run(settings())


def _run(config: dict[str, Any]) -> None:
    out = Path(FLAGS.out)
    report = open_report("order_quality", config, out)
    for inputs in FLAGS.inputs:
        for algorithm in FLAGS.algorithms:
            for seed in range(FLAGS.seeds):
                identity = {"inputs": inputs, "algorithm": algorithm, "seed": seed}
                record = measure_once(
                    report, out, identity, functools.partial(measure, config, **identity)
                )
                if record is not None:
                    print(record, flush=True)
    print(f"{summary(report['records'])}\n{out}")


SCRIPT = Script("order_quality", __doc__, FLAGS, main, (ImportError, OSError))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow comes with dm-clrs
    logging.set_verbosity(logging.WARNING)
    SCRIPT.run(sys.argv)
