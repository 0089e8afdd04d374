# SPDX-License-Identifier: Apache-2.0
"""What makes a reasoner a better average of its sort? One change at a time, equally many steps.

Reasoners of insertion sort are trained on mean traces, each with one setting that is not the
default, and their pointers and permutations are compared with the true means. Whether one teaches
better is for `quick_search.py`, which takes the checkpoints that are left in --folder.

  python -m experiments.research.ablations
  python -m experiments.research.ablations --ablations=default --noise=gumbel \
    --folder=runs/ablations_gumbel --out=runs/ablations_gumbel.json

What is measured is written after each reasoner; those that the file has are not trained again.
"""

import dataclasses
import functools
import os
import sys
import time
from pathlib import Path
from typing import Any

import haiku as hk
import jax
from absl import flags

from arlsort.operators.learned import LearnedSort
from arlsort.reasoner import checkpoint, evaluation, training
from arlsort.reasoner.config import NOISES, ReasonerConfig, TrainingConfig
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_choices,
    check_out,
    definers,
    read_lengths,
)
from experiments.common.reports import measure_once, open_report
from experiments.research import readouts

ABLATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}),
    "1_copy": ({}, {"copies": 1}),
    "no_hints": ({}, {"hint_weight": 0.0}),
    "hints_times_10": ({}, {"hint_weight": 10.0}),
    "hidden_32": ({"hidden_size": 32}, {}),
    "64_copies": ({}, {"copies": 64}),
    "not_clipped": ({}, {"grad_clip": 1e9}),
    "comparisons": ({"comparisons": True}, {}),
    "hidden_128": ({"hidden_size": 128}, {}),
}
"""Changes to the network and to its training."""
SPREADS = (1.0, 10.0, 100.0, 1000.0)

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("ablations", list(ABLATIONS), "What to train.")
define.enum("noise", "cauchy", NOISES, "Law of the noise.")
define.list("lengths", ["3", "5", "9"], "Lengths of training, ascending, in turn.")
define.integer("steps", 3000, "Training steps.")
define.integer("seed", 0, "Of parameters and data.")
define.string("folder", "runs/ablations", "Where to leave the checkpoints.")
define.string("out", "runs/ablations.json", "Where to write.")


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    check_choices(FLAGS, "ablations", ABLATIONS)
    return study_settings(FLAGS)


def study_settings(values: flags.FlagValues) -> dict[str, Any]:
    """What a study of reasoners on mean traces is asked for, and how it measures them.

    Raises:
      FlagError: If a flag is not allowed.
    """
    check_at_least(values, "steps", 1)
    check_at_least(values, "seed", 0)
    check_out(values)
    names = ("noise", "steps", "seed")
    return {
        "lengths": read_lengths(values, "lengths"),
        **{name: values[name].value for name in names},
        "measured": readouts.settings(SPREADS),
    }


def training_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that are of training."""
    known = {field.name for field in dataclasses.fields(TrainingConfig)}
    return {name: value for name, value in config.items() if name in known}


def examine(ablation: str, config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Trains one reasoner, leaves its checkpoint and measures it."""
    network, changes = ABLATIONS[ablation]
    reasoner = ReasonerConfig("insertion_sort", **network)
    schedule = TrainingConfig(**training_settings(config), **changes)
    began = time.perf_counter()
    params = jax.block_until_ready(training.train(reasoner, schedule).average)
    seconds = round(time.perf_counter() - began, 1)
    return {**keep(path, params, reasoner, schedule), "seconds": seconds}


def keep(
    path: Path, params: hk.Params, reasoner: ReasonerConfig, schedule: TrainingConfig
) -> dict[str, Any]:
    """Leaves the checkpoint of a reasoner; gives its scores and its distances from the means."""
    measured = evaluation.measure(params, reasoner, schedule)
    checkpoint.save(path, params, reasoner, schedule, **measured._asdict())
    operator = LearnedSort(
        reasoner.algorithm,
        checkpoint=str(path),
        temperature=1.0,
        normalize=False,
        allow_extrapolation=True,
    )
    distances = [
        readouts.compare(operator, schedule.noise, n, spread)
        for n in schedule.lengths
        for spread in SPREADS
    ]
    return {"scores": measured.scores, "distances": distances}


def main() -> None:
    """Trains, measures, writes after each reasoner."""
    config, out = settings(), Path(FLAGS.out)
    report = open_report("ablations", config, out)
    for ablation in FLAGS.ablations:
        path = Path(FLAGS.folder) / f"{ablation}.safetensors"
        measure = functools.partial(examine, ablation, config, path)
        record = measure_once(report, out, {"ablation": ablation}, measure)
        if record is not None:
            print(f"{ablation}: {record['seconds']} s", flush=True)
    print(out)


SCRIPT = Script("ablations", __doc__, FLAGS, main, (OSError,))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    SCRIPT.run(sys.argv)
