# SPDX-License-Identifier: Apache-2.0
"""What the scripts of both tasks share: flags, running all seeds, and the report."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.common import datasets, run_folders, storage
from experiments.common.command_line import (
    Interrupted,
    Stop,
    check_at_least,
    definers,
    refused,
)
from experiments.common.reports import git_commit, machine, print_settings
from experiments.program_tasks import tables
from experiments.program_tasks.runs import Pace, Run, Task

COUNTS = (
    *("seeds", "networks", "steps", "batch_size", "eval_every", "checkpoint_every"),
    *("validation_examples", "test_examples"),
)
NOT_SETTINGS = ("out_dir", "resume")

NO_MORE_THAN_STEPS = ("eval_every", "checkpoint_every")  # else they would change nothing


def define_flags(values: flags.FlagValues, defaults: Mapping[str, Any], examples: str) -> None:
    """Defines the flags of both tasks.

    Args:
      values: Those of the script.
      defaults: By the names of the flags.
      examples: What a batch has, in the plural.
    """
    define = definers(values)

    def integer(name: str, text: str) -> None:
        define.integer(name, defaults[name], text)

    define.enum("dataset", datasets.EMBEDDED, datasets.DATASETS, "Pictures of digits.")
    define.boolean("download", False, "Let TFDS download the data set if it is not there.")
    integer("seeds", "Runs of each row of the table: seeds 0, 1, ...")
    integer("networks", "Trained side by side; the one with the smallest training loss is kept.")
    integer("steps", "Training steps.")
    integer("batch_size", f"{examples.capitalize()} in a step.")
    define.float(
        "learning_rate", defaults["learning_rate"], "First learning rate of Adam; ends at zero."
    )
    define.list("channels", defaults["channels"], "Of the two convolutions.")
    define.float("temperature", defaults["temperature"], "Of the relaxed program.")
    integer("eval_every", "Steps between validations.")
    integer("validation_examples", f"{examples.capitalize()} to draw the curve from.")
    integer("test_examples", f"{examples.capitalize()} to report on.")
    integer("checkpoint_every", "Steps between saves.")
    define.string("out_dir", None, "Where to write. (default: a new folder in runs/)")
    define.boolean("resume", False, "Continue in --out_dir, or in the newest default folder.")


def settings(values: flags.FlagValues, own: Sequence[str]) -> dict[str, Any]:
    """Reads and checks the flags of both tasks.

    Args:
      values: Those of the script.
      own: The names of the flags that only this script has, which it checks itself.

    Returns:
      All settings, by name.

    Raises:
      FlagError: If one is not allowed, or would change nothing.
    """
    for name in COUNTS:
        check_at_least(values, name, 1)
    for name in ("learning_rate", "temperature"):
        number: float = getattr(values, name)
        if not 0 < number < math.inf:
            raise refused(name, number, "a finite number > 0")
    most: int = values.steps
    for name in NO_MORE_THAN_STEPS:
        if getattr(values, name) > most:
            if values[name].present:
                raise refused(name, getattr(values, name), f"at most --steps, {most}")
            values[name].value = most
    if values.download and values.dataset == datasets.EMBEDDED:
        raise refused(
            "download", "true", f"a data set to download; {datasets.EMBEDDED} is embedded"
        )
    names = (*own, "dataset", "download", *COUNTS, "learning_rate", "temperature")
    found = {name: values[name].value for name in names}
    return {**found, "channels": _channels(values.channels)}


def _channels(texts: Sequence[str]) -> tuple[int, ...]:
    if len(texts) != 2 or not all(text.isdecimal() and int(text) > 0 for text in texts):
        raise refused("channels", ",".join(texts), "two integers >= 1, as 6,16")
    return tuple(int(text) for text in texts)


def compare(
    experiment: str, config: Mapping[str, Any], tasks: Mapping[str, Task], values: flags.FlagValues
) -> tuple[dict[str, Any], Path]:
    """Trains every task with every seed, and collects the results.

    Args:
      experiment: The name of the script.
      config: As `settings` gives it.
      tasks: What to learn, by the name of its row in the table.
      values: The flags, for where to write.

    Returns:
      The report, and the folder where it is to be written.

    Raises:
      FlagError: If the folder may not be written to.
      Interrupted: If asked to stop.
    """
    out = run_folders.choose(Path("runs") / experiment, values.out_dir, values.resume)
    print_settings(config, out)
    pace = Pace(**{name: config[name] for name in Pace.__dataclass_fields__})
    runs = [
        Run.at(name, task, config["dataset"], pace, seed, out)
        for seed in range(config["seeds"])
        for name, task in tasks.items()
    ]
    for run in runs:
        run.check_identity()
    splits = datasets.load(config["dataset"], download=config["download"])
    with Stop().on_signals() as stop:
        for run in runs:
            if run.result is not None:
                print(f"{run.name} seed {run.seed}: done before")
            elif stop.requested:
                raise Interrupted
            else:
                run.execute(splits, stop)
    found = [run.result or {} for run in runs]
    return collect(experiment, config, found), out


def collect(
    experiment: str, config: Mapping[str, Any], runs: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Puts everything that a reader needs to trust the numbers beside them."""
    return {
        "experiment": experiment,
        "config": {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()},
        "seeds": list(range(config["seeds"])),
        "commit": git_commit(),
        "machine": machine(),
        "summary": summarise(runs),
        "runs": list(runs),
    }


def summarise(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives mean and sample standard deviation of each metric over the seeds of each row."""
    rows = []
    for name in dict.fromkeys(run["name"] for run in runs):
        own = [run for run in runs if run["name"] == name]
        row: dict[str, Any] = {"name": name, "seeds": len(own)}
        for moment in ("before", "test"):
            metrics = [metric for metric, v in own[0][moment].items() if isinstance(v, float)]
            row[moment] = {m: _spread([run[moment][m] for run in own]) for m in metrics}
        row["seconds"] = _spread([run["seconds"] for run in own])["mean"]
        rows.append(row)
    return rows


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return {"mean": mean, "sd": math.sqrt(squares / (len(values) - 1)) if values[1:] else None}


def report(collected: dict[str, Any], out: Path, picture: str) -> None:
    """Writes the files of a comparison and prints its table.

    Args:
      collected: As `compare` gives it.
      out: Where to write.
      picture: The name of the picture's file.
    """
    storage.write_json(out / "results.json", collected)
    drawn = tables.VIEWS[collected["experiment"]].draw(collected, out / picture)
    print(f"\n{tables.table(collected)}\n\n{out / 'results.json'}\n{drawn}")
