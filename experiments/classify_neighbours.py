# SPDX-License-Identifier: Apache-2.0
"""Classifies pictures by their nearest neighbours, in an embedding that was trained for it.

A convolutional network is trained so that the soft k nearest neighbours of a picture share its
class, through each operator in turn. The table has its accuracy on all test pictures, by exact
neighbours, beside that of neighbours of pixels, of 50 principal components, and of the same network
with a trained linear head.

  python experiments/classify_neighbours.py
  python experiments/classify_neighbours.py --operators=lapsum,neuralsort:temperature=1 --seeds=1
  python experiments/classify_neighbours.py --dataset=mnist --operators=lapsum --search

With --search, the validation data choose temperature, learning rate and k from grids. Without it
all methods have the same rate and k. Add --resume to continue an interrupted run to the same
numbers.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax.numpy as jnp
from absl import flags

from arlsort import operators, soft_neighbours
from experiments.common import datasets, run_folders, search, storage
from experiments.common.command_line import (
    Interrupted,
    Script,
    Stop,
    check_at_least,
    check_choices,
    definers,
    refused,
)
from experiments.common.methods import Method, check_methods, read_specs
from experiments.common.rates import SCHEDULES
from experiments.common.reports import git_commit, machine, print_settings
from experiments.neighbours import augmentation, baselines, networks, results, training
from experiments.neighbours.config import DEFAULT_OPERATORS, HEAD, SEARCH, Config
from experiments.neighbours.runs import Run

BASELINES = (HEAD.spec, baselines.PIXELS, baselines.PRINCIPAL)
DEFAULT_FOLDER = Path("runs/classify_neighbours")

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.enum("dataset", Config.dataset, datasets.PICTURES, "Pictures, by TFDS's names.")
define.boolean("download", False, "Let TFDS download the data set if it is not there.")
define.multi_string(
    "operators",
    list(DEFAULT_OPERATORS),
    f"What to compare, of {', '.join(operators.names())}, with hyperparameters if wanted: "
    "lapsum:temperature=2,softsort. May be repeated.",
)
define.list("baselines", list(BASELINES), "Methods without a sort, to compare with; may be empty.")
define.integer("seeds", 3, "Runs of each method: seeds 0, 1, ...")
search.define_flags(define, SEARCH)
define.integer("k", Config.k, "Neighbours.")
define.float("learning_rate", Config.learning_rate, "Learning rate of SGD.")
define.enum("schedule", Config.schedule, SCHEDULES, "Whether the rate falls to zero.")
define.float("momentum", Config.momentum, "Momentum of SGD.")
define.float("weight_decay", Config.weight_decay, "Weight decay of SGD.")
define.integer("steps", Config.steps, "Training steps.")
define.integer("queries", Config.queries, "Pictures in a step that look for neighbours.")
define.integer("candidates", Config.candidates, "Pictures in a step that may be neighbours.")
define.enum("network", Config.network, networks.NETWORKS, "The network that embeds the pictures.")
define.integer("features", Config.features, "Width of the embedding; published 500, ResNet 512.")
define.enum(
    "augmentation",
    Config.augmentation,
    augmentation.AUGMENTATIONS,
    "Changes of training pictures: shifts by up to an eighth, and mirror images.",
)
define.integer("eval_every", Config.eval_every, "Steps between validations.")
define.string("out_dir", None, f"Where to write. (default: a new folder in {DEFAULT_FOLDER})")
define.boolean("resume", False, "Continue in --out_dir, or in the newest default folder.")


def settings() -> tuple[Config, list[Method], dict[str, list[float]] | None]:
    """Reads and checks the flags: a configuration, methods, and what to search.

    Raises:
      FlagError: If one is not allowed.
    """
    names = {field.name for field in dataclasses.fields(Config)}
    stated: dict[str, Any] = {name: FLAGS[name].value for name in names}
    config = Config(**stated)
    config.check()
    check_at_least(FLAGS, "seeds", 1)
    specs = read_specs(FLAGS.operators)
    methods = [HEAD if spec == HEAD.spec else Method.of(spec) for spec in specs]
    if not methods:
        raise refused("operators", "none", "at least one")
    check_choices(FLAGS, "baselines", BASELINES)
    if HEAD.spec in FLAGS.baselines:
        methods.append(HEAD)
    shapes = (config.queries, config.features), (config.candidates, config.features)
    queries, candidates = map(jnp.zeros, shapes)
    check_methods(methods, lambda one: soft_neighbours(queries, candidates, config.k, one))
    if FLAGS.download and config.dataset == datasets.EMBEDDED:
        raise refused("download", "true", f"a data set to download; {config.dataset} is embedded")
    return config, methods, search.read(FLAGS, config.candidates)


def main() -> None:
    """Runs the comparison and reports."""
    git_commit()  # is found once, and this is still the code that runs
    config, methods, grids = settings()
    folder = run_folders.choose(DEFAULT_FOLDER, FLAGS.out_dir, FLAGS.resume)
    splits = datasets.load(config.dataset, download=FLAGS.download)
    train, validation, test = (training.Data.of(split) for split in splits)
    classes = datasets.classes(config.dataset)
    training.check_classes(train, classes)
    if config.queries + config.candidates > len(train.labels):
        raise refused("queries", config.queries, f"with candidates at most {len(train.labels)}")
    print_settings(dataclasses.asdict(config), folder)
    planned = [
        Run.at(config, method, seed, folder) for method in methods for seed in range(FLAGS.seeds)
    ]
    for run in planned:
        run.check_identity()
    records: list[dict[str, Any]] = []
    with Stop().on_signals() as stop:

        def execute(run: Run) -> dict[str, Any]:
            if stop.requested:
                raise Interrupted
            result = run.execute(train, validation, test, stop, classes)
            print(
                f"{run.method.spec} k={run.config.k} rate={run.config.learning_rate:g} seed "
                f"{run.seed}: {100 * result['test_accuracy']:.2f} %, {result['seconds']} s"
            )
            return result

        for method in methods:
            chosen = config, method
            if grids is not None:

                def score(point: search.Point) -> float:
                    accuracy: float = execute(Run.at(*point, 0, folder))["validation_accuracy"]
                    return accuracy

                chosen = search.best(search.heated(chosen, grids), score)
                chosen = search.best(search.counted(chosen, grids), score)
            found = [execute(Run.at(*chosen, seed, folder)) for seed in range(FLAGS.seeds)]
            records.append(record(*chosen, found))
    numbers = [config.k] if grids is None else [int(k) for k in grids[search.NUMBERS]]
    for name in FLAGS.baselines:
        if name != HEAD.spec:
            one = baselines.run(name, splits, numbers)
            records.append({"method": name, "k": one["k"], "k_tried": numbers, "results": [one]})
    report = {
        "experiment": "classify_neighbours",
        "config": {**dataclasses.asdict(config), "seeds": FLAGS.seeds, "search": grids},
        "rows": [len(split.labels) for split in splits],
        "commit": git_commit(),
        "machine": machine(),
        "records": records,
    }
    storage.write_json(folder / "results.json", report)
    print(f"\n{results.table(report)}\n\n{folder / 'results.json'}")


def record(config: Config, method: Method, found: list[dict[str, Any]]) -> dict[str, Any]:
    """What is reported of a method."""
    return {
        "method": method.spec,
        "weights": method.weights,
        "k": None if method.operator is None else config.k,
        "learning_rate": config.learning_rate,
        "results": found,
    }


ERRORS = (datasets.DataError, OSError, ValueError)
SCRIPT = Script("classify_neighbours", __doc__, FLAGS, main, ERRORS)

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
