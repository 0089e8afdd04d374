# SPDX-License-Identifier: Apache-2.0
"""Compares methods, each at its own best settings: a search on validation lists, then a contest.

Every family has six candidates. One is trained once, with a seed that is not used again, and the
best EM5 on validation lists decides. The chosen ones are then trained with --seeds seeds, all on
the same lists.

  python -m experiments.research.contest --n=9
  python -m experiments.research.contest --n=5 --families=learned,cauchy --steps=1000 --seeds=5

After an interruption, repeat the command with the same --out_dir. --known names reports of earlier
contests with the same settings: the new report includes them, repeats none of their runs, and adds
seeds or families.

  python -m experiments.research.contest --n=9 --families=optimal --seeds=6 \
    --known=runs/contest/contest.json --out_dir=runs/contest_more

A run whose loss is not finite counts as zero in the search and is named in the report.
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import jax
from absl import flags

from experiments.common import datasets, storage
from experiments.common.command_line import (
    FlagError,
    Script,
    Stop,
    check_at_least,
    check_choices,
    check_once,
    definers,
)
from experiments.common.rates import SCHEDULES
from experiments.four_digits import results
from experiments.four_digits.config import (
    Config,
    Method,
    essence,
    read_channels,
    resolve,
)
from experiments.four_digits.runs import Run, RunError
from experiments.four_digits.sampling import RESOLUTIONS, picture_shape
from experiments.research.families import FAMILIES, ours
from experiments.research.paired_tests import paired

SEARCH_SEED = 1000

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("families", list(FAMILIES), "What to compare.")
define.enum("dataset", "mnist", datasets.DATASETS, "Pictures of digits.")
define.enum("resolution", "half", tuple(RESOLUTIONS), "half averages 2x2 pixels.")
define.integer("n", 9, "Numbers in a list.")
define.integer("steps", 5000, "Training steps of the contest.")
define.integer("search_steps", 2500, "Training steps of a candidate.")
define.integer("batch_size", 5, "Lists in a step.")
define.float("learning_rate", 2e-3, "Learning rate of Adam at first.")
define.enum("schedule", "cosine", SCHEDULES, "Of the learning rate; cosine ends at zero.")
define.list("channels", ["16", "32"], "Of the two convolutions.")
define.integer("validation_lists", 500, "Lists to choose by.")
define.integer("test_lists", 2000, "Lists to report on.")
define.integer("seeds", 3, "Runs of each chosen method.")
define.list("known", [], "Reports of earlier contests that the new one goes on from.")
define.string("out_dir", "runs/contest", "Where to write.")

SHARED = (
    *("dataset", "resolution", "n", "batch_size", "learning_rate", "schedule"),
    *("validation_lists", "test_lists"),
)


@dataclasses.dataclass(frozen=True)
class Known:
    """Results of earlier contests: searches by family, and by method and seed runs and failures."""

    families: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    runs: dict[tuple[str, int], dict[str, Any]] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, paths: list[str]) -> "Known":
        """Reads reports; raises FlagError if one is not of a contest with these settings."""
        known = cls()
        for path in paths:
            try:
                report = storage.read_json(Path(path))
            except (OSError, ValueError) as error:
                raise FlagError(f"--known: cannot read {path}: {error}") from None
            try:
                _check_settings(path, report)
            except (KeyError, TypeError):
                raise FlagError(f"--known: {path} is not the report of a contest") from None
            for name, found in report["search"]["families"].items():
                if known.families.setdefault(name, found)["chosen"] != found["chosen"]:
                    raise FlagError(f"--known: {path} chose another {name} than those before it")
            for run in report["runs"] + report["failed"]:
                run.setdefault("commit", report["commit"])
                run.setdefault("machine", report["machine"])
                known.runs.setdefault((run["operator"], run["seed"]), run)
        return known


def _check_settings(path: str, report: dict[str, Any]) -> None:
    """Refuses a report whose settings or weights are not those of this contest."""
    if report.get("experiment") != "contest":
        raise FlagError(f"--known: {path} is not the report of a contest")
    specs = [found["chosen"] for found in report["search"]["families"].values()]
    config, methods = configure(specs, FLAGS.steps, FLAGS.seeds)
    ours = {name: getattr(config, name) for name in (*SHARED, "steps", "eval_every")}
    ours |= {"channels": list(config.channels), "search_steps": FLAGS.search_steps}
    settings = report["config"] | {"search_steps": report["search"]["steps"]}
    for name, value in ours.items():
        if settings[name] != value:
            raise FlagError(f"--known: {path} has {name}={settings[name]}, this contest {value}")
    weights = {method.spec: method.weights for method in methods if method.weights}
    described = {method.spec: essence(method.identity) for method in methods}
    theirs = {spec: essence(identity) for spec, identity in report["methods"].items()}
    if report["weights"] != weights or theirs != described:
        raise FlagError(f"--known: {path} had other defaults or weights than this version has")


def configure(specs: list[str], steps: int, seeds: int) -> tuple[Config, tuple[Method, ...]]:
    """The settings of one part, complete and checked."""
    every = max(1, steps // 8)
    stated = {name: getattr(FLAGS, name) for name in SHARED}
    return resolve(
        {
            **stated,
            "operators": specs,
            "steps": steps,
            "seeds": seeds,
            "channels": read_channels(FLAGS.channels),
            "eval_every": every,
            "checkpoint_every": steps,
        }
    )


def execute(
    config: Config, method: Method, seed: int, folder: Path, splits: datasets.Splits, stop: Stop
) -> dict[str, Any]:
    """Runs a method, or reads its earlier result; a loss that is not finite is a result too."""
    run = Run.at(config, method, seed, folder)
    run.check_identity()
    if run.result is not None:
        return run.result
    try:
        return run.execute(splits, stop)
    except RunError as error:
        return {"operator": method.spec, "seed": seed, "failed": str(error)}


def search(
    names: list[str], known: Known, folder: Path, splits: datasets.Splits, stop: Stop
) -> dict[str, Any]:
    """The best candidate of each family, and how the others did; known families come first."""
    found: dict[str, Any] = dict(known.families)
    for name in names:
        if name in found:
            continue
        config, methods = configure(list(FAMILIES[name]), FLAGS.search_steps, 1)
        scores = {}
        if len(methods) > 1:
            for method in methods:
                run = execute(config, method, SEARCH_SEED, folder, splits, stop)
                scores[method.spec] = run.get("validation_em5", 0.0)
        chosen = max(scores, key=scores.__getitem__) if scores else methods[0].spec
        found[name] = {"chosen": chosen, "validation_em5": scores}
        print(f"{name}: {chosen}", flush=True)
    return found


def main() -> None:
    """Searches, compares, reports."""
    check_choices(FLAGS, "families", FAMILIES)
    for name in ("steps", "search_steps", "seeds"):
        check_at_least(FLAGS, name, 1)
    check_once("known", FLAGS.known)
    known = Known.read(FLAGS.known)
    out_dir = Path(FLAGS.out_dir)
    splits = jax.device_put(datasets.load(FLAGS.dataset, download=False))
    with Stop().on_signals() as stop:
        chosen = search(FLAGS.families, known, out_dir / "search", splits, stop)
        specs = [found["chosen"] for found in chosen.values()]
        asked = {chosen[name]["chosen"] for name in FLAGS.families}
        seeds = max([FLAGS.seeds, *(seed + 1 for _, seed in known.runs)])
        config, methods = configure(specs, FLAGS.steps, seeds)
        ran = [
            known.runs.get((method.spec, seed))
            or execute(config, method, seed, out_dir, splits, stop)
            for seed in range(seeds)
            for method in methods
            if (method.spec, seed) in known.runs or (method.spec in asked and seed < FLAGS.seeds)
        ]
    runs = [run for run in ran if "failed" not in run]
    picture = picture_shape(splits.train, config.resolution)
    report = results.collect(config, methods, picture, runs)
    best = chosen.get(ours(chosen) or "", {}).get("chosen")
    report |= {
        "experiment": "contest",
        "search": {"steps": FLAGS.search_steps, "seed": SEARCH_SEED, "families": chosen},
        "failed": [run for run in ran if "failed" in run],
        "paired": [paired(runs, best, spec) for spec in specs if best and spec != best],
    }
    storage.write_json(out_dir / "contest.json", report)
    print("\n" + results.table(report) + "\n")
    for row in report["paired"]:
        print(f"{best} - {row['other']}: {100 * row['mean']:.1f} points, p = {row['p']:.2g}")
    print(out_dir / "contest.json")


SCRIPT = Script("contest", __doc__, FLAGS, main, (OSError,))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    SCRIPT.run(sys.argv)
