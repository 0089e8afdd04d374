# SPDX-License-Identifier: Apache-2.0
"""What makes a reasoner a better average of its sort? One change at a time, equally many steps.

Reasoners of insertion sort are trained on mean traces, each with one setting that is not the
default, and their pointers and permutations are compared with the true means. To see whether one
teaches better, give its checkpoint in --folder to `quick_search.py`.

  python -m experiments.research.ablations
  python -m experiments.research.ablations --ablations=default --noise=gumbel \
    --folder=runs/ablations_gumbel --out=runs/ablations_gumbel.json
  python -m experiments.research.ablations --ablations=default,max,no_comparisons,no_places,clrs \
    --noise=gaussian --hidden_size=32 --steps=1500 --seed=1 --folder=runs/choices_1 \
    --out=runs/choices_1.json

Results are written after each reasoner; those in the file are not trained again.
"""

import functools
import os
import sys
import time
from pathlib import Path
from typing import Any

import jax
from absl import flags

from arlsort.reasoner import training
from arlsort.reasoner.config import CLRS_FIELDS, NOISES, ReasonerConfig, TrainingConfig
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_choices,
    definers,
)
from experiments.common.reports import measure_once, open_report
from experiments.research import reasoner_studies

ABLATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}),
    "1_copy": ({}, {"copies": 1}),
    "no_hints": ({}, {"hint_weight": 0.0}),
    "hints_times_10": ({}, {"hint_weight": 10.0}),
    "hidden_32": ({"hidden_size": 32}, {}),
    "64_copies": ({}, {"copies": 64}),
    "not_clipped": ({}, {"grad_clip": 1e9}),
    "no_comparisons": ({"comparisons": False}, {}),
    "max": ({"aggregator": "max"}, {}),
    "no_places": ({"places": False}, {}),
    "clrs": (dict(CLRS_FIELDS), {}),
    "place_weight_1": ({}, {"place_weight": 1.0}),
    "place_weight_4": ({}, {"place_weight": 4.0}),
    "hidden_128": ({"hidden_size": 128}, {}),
}
"""Changes to the network and to its training: of one setting, or to what CLRS's network has."""

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("ablations", list(ABLATIONS), "What to train.")
define.enum("noise", "cauchy", NOISES, "Law of the noise.")
define.list("lengths", ["3", "5", "9"], "Lengths of training, ascending, in turn.")
define.integer("steps", 3000, "Training steps.")
define.integer("seed", 0, "Of parameters and data.")
define.integer("hidden_size", ReasonerConfig().hidden_size, "Width, where it is not what changes.")
define.string("folder", "runs/ablations", "Where to leave the checkpoints.")
define.string("out", "runs/ablations.json", "Where to write.")


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    check_choices(FLAGS, "ablations", ABLATIONS)
    check_at_least(FLAGS, "hidden_size", 1)
    width = FLAGS["hidden_size"]
    optional = {} if width.value == width.default else {"hidden_size": width.value}
    return reasoner_studies.settings(FLAGS) | optional


def examine(ablation: str, config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Trains one reasoner, leaves its checkpoint and measures it."""
    network, changes = ABLATIONS[ablation]
    reasoner = ReasonerConfig("insertion_sort", **{"hidden_size": FLAGS.hidden_size} | network)
    schedule = TrainingConfig(**reasoner_studies.training_settings(config), **changes)
    began = time.perf_counter()
    params = jax.block_until_ready(training.train(reasoner, schedule).average)
    seconds = round(time.perf_counter() - began, 1)
    return {**reasoner_studies.keep(path, params, reasoner, schedule), "seconds": seconds}


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
