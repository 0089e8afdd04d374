# SPDX-License-Identifier: Apache-2.0
"""Learns to read four-digit numbers from pictures when only the order of lists is known.

Each operator in turn is the differentiable sort between a small convolutional network and the true
order; the table at the end shows how well the network orders pictures it has never seen.

  python experiments/sort_numbers.py
  python experiments/sort_numbers.py --operators=learned,odd_even:distribution=optimal --n=9
  python experiments/sort_numbers.py --operators=learned@trace,odd_even@rows,loss:plackett_luce
  python experiments/sort_numbers.py --dataset=mnist --protocol=published --seeds=5
  python experiments/sort_numbers.py --protocol=published --n=5,9,15 --dry_run=200

Each batch is shared among --devices; docs/devices.md has more. Add --resume to continue an
interrupted run to the same numbers. Until then results.json holds the finished runs and, under
`stopped`, the curve of the unfinished one.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import flags, logging
from jax.sharding import Mesh

from arlsort import operators
from experiments.common import datasets, devices, run_folders
from experiments.common.command_line import Interrupted, Script, Stop, definers, refused
from experiments.common.rates import SCHEDULES
from experiments.four_digits import forecast, losses, plots, results
from experiments.four_digits.config import (
    OPERATORS,
    PROTOCOLS,
    QUICK,
    Config,
    Method,
    read_channels,
    read_lengths,
    resolve,
)
from experiments.four_digits.convolution import PRECISIONS
from experiments.four_digits.runs import Run, RunError
from experiments.four_digits.sampling import RESOLUTIONS, picture_shape

FLAGS = flags.FlagValues()
define = definers(FLAGS)
DEFAULT_FOLDER = Path("runs/sort_numbers")


def _help(name: str, text: str) -> str:
    return f"{text} (default: {QUICK[name]})"


# No default is given to absl, so that a protocol can tell what was asked for.
define.enum("protocol", None, PROTOCOLS, "quick: minutes; published: all as in the paper.")
define.enum("dataset", None, datasets.DATASETS, _help("dataset", "Pictures of digits."))
define.boolean("download", None, "Let TFDS download the data set if it is not there.")
define.enum(
    "resolution", None, tuple(RESOLUTIONS), _help("resolution", "half averages 2x2 pixels.")
)
define.list("n", None, _help("n", "Numbers in a list, or several, one after the other: 5,9,15."))
define.multi_string(
    "operators",
    None,
    f"What to compare, of {', '.join(operators.names())}, each with hyperparameters if wanted: "
    f"learned,odd_even:distribution=logistic,temperature=0.1; and with a loss of its own after an "
    f"@: learned@trace. A loss that needs no operator stands alone: loss:plackett_luce/0.1. May be "
    f"repeated. "
    f"(default: {' '.join(OPERATORS)})",
)
define.string(
    "loss",
    None,
    _help("loss", f"Of operators that name none: {', '.join((losses.AUTO, *losses.TABLE))}."),
)
define.integer("seeds", None, _help("seeds", "Runs of each operator: seeds 0, 1, ..."))
define.integer("steps", None, _help("steps", "Training steps."))
define.integer("batch_size", None, _help("batch_size", "Lists in a step."))
define.float("learning_rate", None, _help("learning_rate", "Learning rate of Adam."))
define.enum(
    "schedule",
    None,
    SCHEDULES,
    _help("schedule", "Of the learning rate: constant, or cosine, which ends at zero."),
)
define.list("channels", None, "Channels of both convolutions. (default: 32,64; digits: 16,32)")
define.integer("eval_every", None, _help("eval_every", "Steps between validations."))
define.integer("validation_lists", None, _help("validation_lists", "Lists to choose by."))
define.integer("test_lists", None, _help("test_lists", "Lists to report on."))
define.integer("steps_per_dispatch", None, "Steps in one program. (default: by device)")
define.integer("checkpoint_every", None, "Steps between saves. (default: only the time counts)")
define.float(
    "checkpoint_seconds", None, _help("checkpoint_seconds", "Seconds after which a run is saved.")
)
define.enum(
    "precision",
    None,
    PRECISIONS,
    _help("precision", "Of the factors in convolutions; sums and all else are float32."),
)
define.integer(
    "dry_run",
    None,
    "Take so many steps of each method, say how long the whole would take, and write no results.",
)
define.string("out_dir", None, f"Where to write. (default: a new folder in {DEFAULT_FOLDER})")
define.boolean("resume", False, "Continue in --out_dir, or in the newest default folder.")
devices.define_flags(FLAGS)

_DRY = "nothing beside --dry_run, which writes no results"
SETTINGS = tuple(Config.__dataclass_fields__)


def main() -> None:
    """Runs a comparison for each n and reports."""
    devices.start(FLAGS.distributed)
    comparisons = [resolve(settings) for settings in given()]
    mesh = devices.choose_mesh(FLAGS.devices, comparisons[0][0].batch_size)
    if FLAGS.dry_run is not None:
        predict(comparisons, mesh)
        return
    out_dir = Path(
        devices.decide(
            lambda: str(choose_out_dir(FLAGS.out_dir, FLAGS.resume)), devices.settings(FLAGS)
        )
    )
    several = len(comparisons)
    folders = [run_folders.part(out_dir, f"n_{config.n}", several) for config, _ in comparisons]
    planned = []
    for (config, methods), folder in zip(comparisons, folders, strict=True):
        if devices.first():
            announce(config, methods, mesh, folder)
        seeds = range(config.seeds)
        runs = [Run.at(config, m, seed, folder, mesh) for seed in seeds for m in methods]
        for run in runs:
            run.check_identity()
        planned.append(runs)
    splits = load(comparisons[0][0], mesh)
    for (config, methods), folder, runs in zip(comparisons, folders, planned, strict=True):
        picture = picture_shape(splits.train, config.resolution)
        try:
            compare(runs, splits)
        except Interrupted:
            if devices.first() and any(run.result is not None for run in runs):
                written = results.write(collect(config, methods, picture, runs, mesh), folder)
                print(f"{written}: results of the finished runs")
            raise
        if devices.first():
            report(collect(config, methods, picture, runs, mesh), folder)


def collect(
    config: Config,
    methods: Sequence[Method],
    picture: Sequence[int],
    runs: Sequence[Run],
    mesh: Mesh | None,
) -> dict[str, Any]:
    """Gives what `results.json` holds of runs that have ended, and of runs that were stopped."""
    found = [result for run in runs if (result := run.result) is not None]
    stopped = [curve for run in runs if (curve := run.stopped) is not None]
    return results.collect(config, methods, picture, found, mesh, stopped)


def load(config: Config, mesh: Mesh | None) -> datasets.Splits:
    """Loads the data, on the devices."""
    return devices.replicate(datasets.load(config.dataset, download=config.download), mesh)


def compare(runs: Sequence[Run], splits: datasets.Splits) -> None:
    """Executes the runs that have not ended before."""
    with Stop().on_signals() as stop:
        for run in runs:
            if run.result is not None:
                print(f"{run.method.spec} seed {run.seed}: done before")
            elif devices.agreed(stop.requested):
                raise Interrupted
            else:
                run.execute(splits, stop)


def predict(
    comparisons: Sequence[tuple[Config, Sequence[Method]]], mesh: Mesh | None = None
) -> None:
    """Takes the steps of a dry run and prints how long everything would take."""
    for name in ("out_dir", "resume"):
        if FLAGS[name].value:
            raise refused(name, FLAGS[name].value, _DRY)
    forecast.check(FLAGS.dry_run, [config for config, _ in comparisons])
    splits = load(comparisons[0][0], mesh)
    rows = [
        forecast.measure(config, method, splits, FLAGS.dry_run, mesh)
        for config, methods in comparisons
        for method in methods
    ]
    if devices.first():
        print(f"{forecast.table(rows)}\n\n{devices.describe(mesh)}")


def report(collected: dict[str, Any], out_dir: Path) -> None:
    """Writes the files of a comparison and prints its table."""
    written = [
        results.write(collected, out_dir),
        plots.curves(collected, out_dir / "curves.png"),
        plots.permutations(collected, out_dir / "permutations.png"),
    ]
    print("\n" + results.table(collected) + "\n")
    print("\n".join(str(path) for path in written))


def given() -> list[dict[str, object]]:
    """Collects the settings that the command line states, for each n."""
    stated = {name: FLAGS[name].value for name in SETTINGS}
    if stated["channels"] is not None:
        stated["channels"] = read_channels(stated["channels"])
    if stated["n"] is None:
        return [stated]
    return [{**stated, "n": n} for n in read_lengths(stated["n"])]


def choose_out_dir(wanted: str | None, resume: bool) -> Path:
    """Finds the folder to write to; raises FlagError as `run_folders.choose`."""
    return run_folders.choose(DEFAULT_FOLDER, wanted, resume)


def announce(config: Config, methods: Sequence[Method], mesh: Mesh | None, out_dir: Path) -> None:
    """Prints the resolved configuration."""
    for name in SETTINGS:
        if name not in ("operators", "loss"):
            print(f"{name:18} {getattr(config, name)}")
    for method in methods:
        print(f"{'operator':18} {method.spec}: {method.describe()}")
    print(f"{'commit':18} {results.git_commit()}")
    print(f"{'devices':18} {devices.describe(mesh)}")
    print(f"{'out_dir':18} {out_dir}", flush=True)


ERRORS = (datasets.DataError, RunError, OSError)
SCRIPT = Script("sort_numbers", __doc__, FLAGS, main, ERRORS)

if __name__ == "__main__":
    logging.set_verbosity(logging.WARNING)  # orbax tells of each step of each checkpoint
    SCRIPT.run(sys.argv)
