# SPDX-License-Identifier: Apache-2.0
"""Learns the classes of handwritten digits when only edit distances of strings are known.

A network gives each picture of a string class probabilities. The loss compares the relaxed
Levenshtein distance of two such strings with the true one. A network that merges two classes is
stuck, so several train side by side, and the one with the smallest loss is kept. Accuracy is that
of the best matching of its outputs to the classes, on unseen digits.

  python experiments/compare_strings.py
  python experiments/compare_strings.py --classes=4,10 --pairs=independent --seeds=1
  python experiments/compare_strings.py --dataset=mnist --steps=3000

Add --resume to continue an interrupted run to the same numbers.
"""

import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import flags, logging

from experiments.common import datasets
from experiments.common.command_line import Script, check_at_least, definers, read_lengths, refused
from experiments.program_tasks import comparison
from experiments.program_tasks.runs import RunError
from experiments.program_tasks.strings import PAIRS, StringTask

DEFAULTS = {
    "seeds": 3,
    "networks": 4,
    "steps": 600,
    "batch_size": 64,
    "learning_rate": 1e-2,
    "channels": ["6", "16"],
    "temperature": 0.1,
    "eval_every": 100,
    "checkpoint_every": 200,
    "validation_examples": 256,
    "test_examples": 2048,
}
MOST_CLASSES = 10
FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("classes", ["2", "4", "10"], "Numbers of classes, digits from 0; a row for each.")
define.integer("length", 4, "Digits in a string.")
define.enum(
    "pairs", PAIRS[0], PAIRS, "Whether the second string is the first one edited, or independent."
)
comparison.define_flags(FLAGS, DEFAULTS, "pairs")


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    check_at_least(FLAGS, "length", 1)
    found = comparison.settings(FLAGS, ("length", "pairs"))
    classes = read_lengths(FLAGS, "classes")
    if not classes or classes[-1] > MOST_CLASSES:
        raise refused("classes", ",".join(FLAGS.classes), f"integers from 2 to {MOST_CLASSES}")
    return {"classes": classes, **found}


def tasks(config: dict[str, Any]) -> dict[str, StringTask]:
    """The tasks, by their names."""
    names = [name for name in StringTask.__dataclass_fields__ if name != "classes"]
    shared = {name: config[name] for name in names}
    return {f"{k}_classes": StringTask(classes=k, **shared) for k in config["classes"]}


def main() -> None:
    """Runs the comparison and reports."""
    config = settings()
    collected, out = comparison.compare("compare_strings", config, tasks(config), FLAGS)
    comparison.report(collected, out, "confusions.png")


SCRIPT = Script("compare_strings", __doc__, FLAGS, main, (datasets.DataError, RunError))

if __name__ == "__main__":
    logging.set_verbosity(logging.WARNING)  # orbax tells of each step of each checkpoint
    SCRIPT.run(sys.argv)
