# SPDX-License-Identifier: Apache-2.0
"""CLRS's score of a reasoner: trained on short lists, does it sort long ones?

Reasoners are trained on the batches of CLRS's samplers, clean keys and all hints, with several
seeds: with and without the comparisons of all keys among their inputs, with and without pointers
to places. CLRS has neither. They are tested on fresh batches, n = 64 by default, by
`clrs.evaluate`. Comparisons say what a sort would have to ask for: with them the order is to be
read off, without them to be found. Training is far shorter than CLRS's 10,000 steps of 32 lists at
hidden size 128.

  python -m experiments.research.order_quality
  python -m experiments.research.order_quality --algorithms=insertion_sort --inputs=clrs \
    --steps=4000 --out=runs/order_quality_long.json

Needs dm-clrs. Results are written after each reasoner; those in the file are not trained again.
"""

import dataclasses
import functools
import os
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags, logging

from arlsort.reasoner.config import ALGORITHMS
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
from experiments.research.clrs_scores import INPUTS, configs, make_score, train

RESULT = Path("runs/order_quality.json")
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
                    jax.clear_caches()  # a process can hold the programs of a dozen reasoners
    print(f"{summary(report['records'])}\n{out}")


SCRIPT = Script("order_quality", __doc__, FLAGS, main, (ImportError, OSError))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow comes with dm-clrs
    logging.set_verbosity(logging.WARNING)
    SCRIPT.run(sys.argv)
