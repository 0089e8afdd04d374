# SPDX-License-Identifier: Apache-2.0
"""How much does an amortised sort depend on the seed of its training?

Trains one for each noise and seed, with the settings of the shipped weights, and compares it with
the exact mean permutation as `python -m arlsort evaluate` does. A checkpoint that is in --folder
already, as `gaussian_1.safetensors`, is measured and not trained again.

  python -m experiments.research.training_seeds
  python -m experiments.research.training_seeds --noises=cauchy --seeds=0,1 --steps=4000 \
    --folder=runs/short_seeds --out=runs/short_seeds.json

Results are written after each training.
"""

import dataclasses
import functools
import statistics
import sys
from pathlib import Path
from typing import Any

import jax
from absl import flags

from arlsort import accuracy
from arlsort.amortized import checkpoint, training
from arlsort.amortized.config import NOISES, TrainingConfig
from arlsort.operators.amortized import AmortizedSort
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_choices,
    check_once,
    check_out,
    definers,
    read_lengths,
    refused,
)
from experiments.common.reports import markdown, measure_once, open_report

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("noises", list(NOISES), "Laws of the noise.")
define.list("seeds", ["0", "1", "2"], "Seeds of training.")
define.list("lengths", ["5", "16", "32", "64"], "Lengths to measure at.")
define.integer("steps", 0, "Training steps; 0 for those of the shipped weights.")
define.string("folder", "runs/training_seeds", "Where the checkpoints are.")
define.string("out", "runs/training_seeds.json", "Where to write.")


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    check_choices(FLAGS, "noises", NOISES)
    check_at_least(FLAGS, "steps", 0)
    check_out(FLAGS)
    for seed in FLAGS.seeds:
        if not seed.isdecimal():
            raise refused("seeds", seed, "integers >= 0")
    check_once("seeds", map(int, FLAGS.seeds))
    return {"steps": FLAGS.steps, "lengths": read_lengths(FLAGS, "lengths")}


def schedule_of(noise: str, seed: int, steps: int) -> TrainingConfig:
    """How the shipped weights were trained, with another seed, and other steps if not 0."""
    shipped = checkpoint.shipped(noise).training
    return dataclasses.replace(shipped, seed=seed, steps=steps or shipped.steps)


def examine(noise: str, seed: int, config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Trains one if it is not there, and measures it."""
    network, schedule = checkpoint.shipped(noise).config, schedule_of(noise, seed, config["steps"])
    if not path.exists():
        params = jax.device_get(training.train(network, schedule).average)
        longest = max(schedule.lengths)
        checkpoint.save(path, params, network, schedule, validated_length=longest)
    loaded = checkpoint.load(path)
    found = loaded.training
    if loaded.config != network:
        raise refused("folder", f"{path} with {loaded.config}", network)
    if found != schedule:
        names = [field.name for field in dataclasses.fields(found)]
        named = [n for n in names if getattr(found, n) != getattr(schedule, n)]
        received = ", ".join(f"{name} {getattr(found, name)}" for name in named)
        allowed = ", ".join(f"{name} {getattr(schedule, name)}" for name in named)
        raise refused("folder", f"{path} with {received}", allowed)
    operator = AmortizedSort(checkpoint=str(path), allow_extrapolation=True)
    rows = accuracy.table(operator, config["lengths"], noise=noise)
    exact = {str(n): accuracy.exact_order(operator, n) for n in config["lengths"]}
    return {"steps": found.steps, "measured": rows, "exact_order": exact}


def table(report: dict[str, Any]) -> str:
    """Renders, of the worst list kind and temperature, the median and the extremes over seeds."""
    rows = []
    for noise in dict.fromkeys(record["noise"] for record in report["records"]):
        of_noise = [record for record in report["records"] if record["noise"] == noise]
        for n in report["config"]["lengths"]:
            cells = [
                _over_seeds(of_noise, n, name, max) for name in ("kl", "values", "worst_value")
            ]
            cells.append(_over_seeds(of_noise, n, "gradient", min))
            exact = [100 * record["exact_order"][str(n)] for record in of_noise]
            rows.append([noise, str(n), *cells, f"{min(exact):.1f} %"])
    titles = ["distance, nats", "value", "worst value", "least cosine", "least exact order"]
    return markdown(["noise", "n", *titles], rows)


def _over_seeds(records: list[dict[str, Any]], n: int, name: str, worst: Any) -> str:
    found = []
    for record in records:
        values = [row[name] for row in record["measured"] if row["n"] == n]
        if any(value is None for value in values):
            return "-"
        found.append(worst(values))
    digits = 4 if name == "kl" else 3
    median, least, largest = (
        f"{value:.{digits}f}" for value in (statistics.median(found), min(found), max(found))
    )
    return f"{median} ({least} to {largest})"


def main() -> None:
    """Trains, measures, writes after each training."""
    config, out = settings(), Path(FLAGS.out)
    report = open_report("training_seeds", config, out)
    for noise in FLAGS.noises:
        for seed in map(int, FLAGS.seeds):
            path = Path(FLAGS.folder) / f"{noise}_{seed}.safetensors"
            measure = functools.partial(examine, noise, seed, config, path)
            measure_once(report, out, {"noise": noise, "seed": seed}, measure)
            jax.clear_caches()  # a process can hold the programs of some trainings only
    print(f"{table(report)}\n\n{out}")


SCRIPT = Script("training_seeds", __doc__, FLAGS, main, (OSError, ValueError))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
