# SPDX-License-Identifier: Apache-2.0
"""Learns what handwritten digits cost when only the cheapest paths through grids are known.

Each cell of a grid costs the digit drawn in it, and a path leads from the top left to the bottom
right over any of eight neighbours. A network gives each picture a cost; the loss compares the
relaxed cheapest path with the true one. The Warcraft maps of the published experiment cannot be
shipped: there one picture shows all 12×12 cells, here every cell is a picture of its own.

  python experiments/cheapest_paths.py
  python experiments/cheapest_paths.py --side=8 --tconorms=yager --seeds=1
  python experiments/cheapest_paths.py --dataset=mnist --steps=2000

Add --resume to continue an interrupted run to the same numbers.
"""

import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import flags, logging

from experiments.common import datasets
from experiments.common.command_line import Script, check_at_least, check_choices, definers, refused
from experiments.program_tasks import comparison
from experiments.program_tasks.grids import TCONORMS, GridTask
from experiments.program_tasks.runs import RunError

DEFAULTS = {
    "seeds": 3,
    "networks": 1,
    "steps": 1000,
    "batch_size": 32,
    "learning_rate": 3e-3,
    "channels": ["6", "16"],
    "temperature": 0.1,
    "eval_every": 100,
    "checkpoint_every": 200,
    "validation_examples": 256,
    "test_examples": 2048,
}
FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.integer("side", 5, "Cells along each side of a grid.")
define.list("tconorms", list(TCONORMS), "How the marks of a path are joined; a row for each.")
comparison.define_flags(FLAGS, DEFAULTS, "grids")


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    check_at_least(FLAGS, "side", 2)
    check_choices(FLAGS, "tconorms", TCONORMS)
    if not FLAGS.tconorms:
        raise refused("tconorms", "none", "one or more, each once")
    return {**comparison.settings(FLAGS, ("side",)), "tconorms": FLAGS.tconorms}


def tasks(config: dict[str, Any]) -> dict[str, GridTask]:
    """What is learned, by its name."""
    names = [name for name in GridTask.__dataclass_fields__ if name != "tconorm"]
    shared = {name: config[name] for name in names}
    return {name: GridTask(tconorm=name, **shared) for name in config["tconorms"]}


def main() -> None:
    """Runs the comparison and reports."""
    config = settings()
    collected, out = comparison.compare("cheapest_paths", config, tasks(config), FLAGS)
    comparison.report(collected, out, "costs.png")


SCRIPT = Script("cheapest_paths", __doc__, FLAGS, main, (datasets.DataError, RunError))

if __name__ == "__main__":
    logging.set_verbosity(logging.WARNING)  # orbax tells of each step of each checkpoint
    SCRIPT.run(sys.argv)
