# SPDX-License-Identifier: Apache-2.0
"""Does a reasoner stay accurate on longer lists while it trains, and what steadies it?

Reasoners of one sort are trained on CLRS's batches of short lists. Every --every steps both the
weights as they are and their running average are scored by `clrs.evaluate` on longer lists, of two
lengths: --n_choice, which a checkpoint could be chosen by, and --n. One part of the runs has the
default training; others do not clip gradients, keep the learning rate, or train at evenly spaced
positions instead of random ones.

  python -m experiments.research.stability
  python -m experiments.research.stability --inputs=comparisons --algorithm=bubble_sort

Needs dm-clrs. Results are written after each run; those in the file are not computed again. The
swing of a run is the mean absolute change of its score at --n from one measurement to the next, in
the second half of training.
"""

import dataclasses
import functools
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags, logging

from arlsort.reasoner.config import ALGORITHMS
from arlsort.reasoner.training import TrainingState
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_choices,
    check_clrs,
    check_out,
    definers,
    read_lengths,
    refused,
)
from experiments.common.reports import measure_once, open_report
from experiments.research import clrs_scores

WEIGHTS = ("last", "average")


class Kind(NamedTuple):
    """The settings of one kind of run.

    Attributes:
      changes: To the training.
      random_pos: Whether positions are random.
    """

    changes: dict[str, Any]
    random_pos: bool = True


KINDS = {
    "default": Kind({}),
    "not clipped": Kind({"grad_clip": 1e9}),
    "constant rate": Kind({"steps": 10**8}),  # the cosine of so many has not begun to fall
    "even positions": Kind({}, random_pos=False),
}

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.enum("algorithm", "insertion_sort", tuple(ALGORITHMS), "The sort to learn.")
define.enum("inputs", "clrs", list(clrs_scores.INPUTS), "What the network sees.")
define.list("kinds", list(KINDS), "What to train.")
define.list("lengths", ["4", "5", "7", "8"], "Lengths of training, ascending, in turn.")
define.integer("n_choice", 16, "Length of lists that a checkpoint could be chosen by.")
define.integer("n", 32, "Length of the test.")
define.integer("steps", 1600, "Training steps.")
define.integer("every", 100, "Steps between measurements.")
define.integer("hidden_size", 32, "Width of every hidden feature.")
define.integer("seeds", 3, "Reasoners of each kind.")
define.integer("test_lists", 32, "Lists of a measurement.")
define.string("out", "runs/stability.json", "Where to write.")


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    check_choices(FLAGS, "kinds", KINDS)
    for name in ("steps", "every", "hidden_size", "seeds", "test_lists"):
        check_at_least(FLAGS, name, 1)
    for name in ("n", "n_choice"):
        check_at_least(FLAGS, name, 2)
    if FLAGS.steps < 2 * FLAGS.every:
        allowed = f"at least two measurements, --steps={2 * FLAGS.every}"
        raise refused("steps", FLAGS.steps, allowed)
    check_out(FLAGS)
    check_clrs("algorithm")
    names = ("algorithm", "inputs", "n_choice", "n", "steps", "every", "hidden_size", "test_lists")
    return {
        "lengths": read_lengths(FLAGS, "lengths"),
        **{name: FLAGS[name].value for name in (*names, "seeds")},
    }


def curves(config: dict[str, Any], kind: Kind, seed: int) -> dict[str, Any]:
    """The scores of one run over its steps, by weights and length."""
    reasoner, schedule = clrs_scores.configs(config, config["algorithm"], seed)
    schedule = dataclasses.replace(schedule, **kind.changes)
    tests = {
        name: clrs_scores.make_score(reasoner, config[name], config["test_lists"], seed=2024 + seed)
        for name in ("n_choice", "n")
    }
    found: dict[str, Any] = {w: {name: [] for name in tests} for w in WEIGHTS} | {"step": []}

    def watch(state: TrainingState) -> None:
        if int(state.step) % config["every"]:
            return
        found["step"].append(int(state.step))
        for weights, params in zip(WEIGHTS, (state.params, state.average), strict=True):
            for name, score in tests.items():
                found[weights][name].append(score(params))

    clrs_scores.train(reasoner, schedule, watch, steps=config["steps"], random_pos=kind.random_pos)
    return found | {"training": dataclasses.asdict(schedule)}


def swing(scores: list[float]) -> float:
    """The mean absolute change from one measurement to the next, in the second half."""
    late = np.asarray(scores[(len(scores) - 1) // 2 :])
    return float(np.abs(np.diff(late)).mean())


def summary(report: dict[str, Any]) -> list[dict[str, Any]]:
    """For each kind of run: the last score, the swing, and the score of the checkpoint chosen."""
    rows = []
    for kind in dict.fromkeys(r["kind"] for r in report["records"]):
        own = [r for r in report["records"] if r["kind"] == kind]
        for weights in WEIGHTS:
            each = [r[weights] for r in own]
            rows.append(
                {
                    "kind": kind,
                    "weights": weights,
                    "last": [scores["n"][-1] for scores in each],
                    "chosen": [s["n"][int(np.argmax(s["n_choice"]))] for s in each],
                    "swing": [swing(scores["n"]) for scores in each],
                }
            )
    return rows


def main() -> None:
    """Trains, measures, writes after each run."""
    with jax.numpy_rank_promotion("allow"):  # CLRS relies on it
        _run(settings())


def _run(config: dict[str, Any]) -> None:
    out = Path(FLAGS.out)
    report = open_report("stability", config, out)
    for kind in FLAGS.kinds:
        for seed in range(config["seeds"]):
            measure = functools.partial(curves, config, KINDS[kind], seed)
            measure_once(report, out, {"kind": kind, "seed": seed}, measure)
    for row in summary(report):
        cells = (f"{name} {100 * np.mean(row[name]):.1f}" for name in ("last", "chosen", "swing"))
        print(f"{row['kind']:14} {row['weights']:8} {'  '.join(cells)}")
    print(out)


SCRIPT = Script("stability", __doc__, FLAGS, main, (ImportError, OSError))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow comes with dm-clrs
    logging.set_verbosity(logging.WARNING)
    SCRIPT.run(sys.argv)
