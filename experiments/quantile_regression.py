# SPDX-License-Identifier: Apache-2.0
"""Learns to read four-digit numbers when only a quantile of each list is known.

Of two networks one ranks the pictures of a list and the other reads their values. The prediction is
the value at the quantile, by the soft order of the ranks; its squared error trains both. The table
has the mean squared error and R² on exact quantiles of lists of unseen pictures, beside those of a
constant and of a network that sees the whole list without a sort.

  python experiments/quantile_regression.py
  python experiments/quantile_regression.py --operators=neuralsort,lapsum --n=9 --quantile=0.25
  python experiments/quantile_regression.py --dataset=mnist --steps=20000 --seeds=3

Add --resume to continue an interrupted run to the same numbers.
"""

import dataclasses
import math
import re
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax.numpy as jnp
from absl import flags

from arlsort import operators, sort_by
from experiments.common import datasets, run_folders, search, storage
from experiments.common.command_line import (
    Script,
    Stop,
    check_at_least,
    definers,
    refused,
)
from experiments.common.methods import Method, check_methods, read_specs
from experiments.common.rates import SCHEDULES
from experiments.common.reports import git_commit, machine, print_settings
from experiments.four_digits.convolution import PRECISIONS
from experiments.four_digits.sampling import RESOLUTIONS
from experiments.quantiles import results
from experiments.quantiles.training import PLAIN, Config, Task, check_identity, execute

DEFAULT_FOLDER = Path("runs/quantile_regression")
DATASETS = ("digits", "mnist")
DEFAULT_OPERATORS = (  # among the best of searches on digits, which differ little
    "amortized:temperature=1,normalize=false",
    "neuralsort:temperature=1",
    "neuralsort:temperature=1,stochastic=true,num_samples=5",
    "odd_even:temperature=1",
    "lapsum:temperature=0.1",
    "softsort:temperature=4",
)
SEARCH = {search.TEMPERATURES: (0.1, 0.3, 1.0, 4.0), search.RATES: (1e-3, 2e-3)}

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.enum("dataset", Config.dataset, DATASETS, "Pictures of digits.")
define.boolean("download", False, "Let TFDS download the data set if it is not there.")
define.multi_string(
    "operators",
    list(DEFAULT_OPERATORS),
    f"What to compare, of {', '.join(operators.names())}, with hyperparameters if wanted. Each "
    "must sort rows by keys. May be repeated.",
)
define.boolean("baselines", True, "Whether to compare with methods without a sort.")
search.define_flags(define, SEARCH)
define.integer("n", Config.n, "Numbers in a list.")
define.float("quantile", Config.quantile, "Which quantile is known; 0.5 is the median.")
define.integer("seeds", 1, "Runs of each method: seeds 0, 1, ...")
define.integer("steps", Config.steps, "Training steps.")
define.integer("batch_size", Config.batch_size, "Lists in a step.")
define.float("learning_rate", Config.learning_rate, "Learning rate of Adam.")
define.enum("schedule", Config.schedule, SCHEDULES, "Whether the rate falls to zero.")
define.enum("resolution", Config.resolution, list(RESOLUTIONS), "Resolution of the pictures.")
define.enum(
    "precision",
    Config.precision,
    list(PRECISIONS),
    "Of the factors in convolutions; sums and all else are float32.",
)
define.integer("eval_every", Config.eval_every, "Steps between validations.")
define.integer("test_lists", Config.test_lists, "Lists to report on.")
define.string("out_dir", None, f"Where to write. (default: a new folder in {DEFAULT_FOLDER})")
define.boolean("resume", False, "Continue in --out_dir, or in the newest default folder.")


def settings() -> tuple[Config, list[Method], dict[str, list[float]] | None]:
    """Reads and checks the flags, with what to search; raises FlagError if one is not allowed."""
    stated: dict[str, Any] = {f.name: FLAGS[f.name].value for f in dataclasses.fields(Config)}
    for name in ("n", "steps", "batch_size", "eval_every", "test_lists", "seeds"):
        check_at_least(FLAGS, name, 2 if name == "n" else 1)
    if not 0 <= FLAGS.quantile <= 1:
        raise refused("quantile", FLAGS.quantile, "a number in [0, 1]")
    if not 0 < FLAGS.learning_rate < math.inf:
        raise refused("learning_rate", FLAGS.learning_rate, "a finite number > 0")
    methods = [Method.of(spec) for spec in read_specs(FLAGS.operators)]
    for method in methods:
        if method.operator is None or not method.operator.has_permutation:
            raise refused("operators", method.spec, "operators with a permutation")
    lists = jnp.zeros((FLAGS.batch_size, FLAGS.n))
    check_methods(methods, lambda one: sort_by(lists, lists, one))
    if FLAGS.baselines:
        methods.append(Method(PLAIN, None))
    if not methods:
        raise refused("operators", "none without --baselines", "at least one")
    if FLAGS.download and FLAGS.dataset == datasets.EMBEDDED:
        raise refused("download", "true", f"a data set to download; {FLAGS.dataset} is embedded")
    return Config(**stated), methods, search.read(FLAGS)


def main() -> None:
    """Runs the comparison and reports."""
    git_commit()  # is found once, and this is still the code that runs
    config, methods, grids = settings()
    folder = run_folders.choose(DEFAULT_FOLDER, FLAGS.out_dir, FLAGS.resume)
    splits = datasets.load(config.dataset, download=FLAGS.download)
    print_settings(dataclasses.asdict(config), folder)
    for method in methods:
        for seed in range(FLAGS.seeds):
            check_identity(Task(config, method), seed, place(folder, config, method, seed))
    records: list[dict[str, Any]] = []
    with Stop().on_signals() as stop:

        def run(point: search.Point, seed: int) -> dict[str, Any]:
            found = execute(Task(*point), seed, place(folder, *point, seed), splits, stop)
            config, method = point
            print(
                f"{method.spec} rate={config.learning_rate:g} seed {seed}: "
                f"R² {found['r2']:.3f}, {found['seconds']} s"
            )
            return found

        for method in methods:
            chosen = config, method
            if grids is not None:
                points = search.heated(chosen, grids)
                chosen = search.best(points, lambda point: -run(point, 0)["validation_mse"])
            found = [run(chosen, seed) for seed in range(FLAGS.seeds)]
            at, method = chosen
            rate = at.learning_rate
            known = {"method": method.spec, "weights": method.weights}
            records.append({**known, "learning_rate": rate, "results": found})
    report = {
        "experiment": "quantile_regression",
        "config": {**dataclasses.asdict(config), "seeds": FLAGS.seeds, "search": grids},
        "commit": git_commit(),
        "machine": machine(),
        "records": records,
    }
    storage.write_json(folder / "results.json", report)
    print(f"\n{results.table(report)}\n\n{folder / 'results.json'}")


def place(folder: Path, config: Config, method: Method, seed: int) -> Path:
    """The folder of a run, named after all that tells it from others of a comparison."""
    name = re.sub(r"[^\w.=,-]", "+", method.spec)
    return folder / "runs" / name / f"learning_rate={config.learning_rate:g}" / f"seed_{seed}"


ERRORS = (datasets.DataError, OSError, ValueError)
SCRIPT = Script("quantile_regression", __doc__, FLAGS, main, ERRORS)

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
