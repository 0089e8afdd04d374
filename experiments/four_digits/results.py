# SPDX-License-Identifier: Apache-2.0
"""The outcome of a comparison: one JSON file, and the table read from it."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from experiments.common import identities, storage
from experiments.common.command_line import FlagError
from experiments.common.reports import git_commit, machine
from experiments.four_digits.config import (
    PUBLISHED,
    PUBLISHED_DATASETS,
    Config,
    Method,
    essence,
    read_method,
)

METRICS = ("em", "ew", "em5")

TITLES = {
    "digits": "scikit-learn's digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "svhn_cropped": "SVHN",
}

# In the order a reader wants them; what the title says already is left out.
REDUCTIONS = (
    *("resolution", "steps", "batch_size", "learning_rate", "schedule", "channels"),
    "test_lists",
)


def of_earlier_weights(report: Mapping[str, Any]) -> str:
    """Says which methods of a report had other weights than those that are shipped now.

    Args:
      report: As `collect` makes it.

    Returns:
      A sentence; empty if there are none.
    """
    return identities.of_earlier_weights(
        (spec, weights, read_method(spec, report["config"]["loss"]).weights)
        for spec, weights in report.get("weights", {}).items()
    )


def collect(
    config: Config,
    methods: Sequence[Method],
    picture: Sequence[int],
    runs: Sequence[dict[str, Any]],
    mesh: Mesh | None = None,
    stopped: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Puts everything that a reader needs to trust the numbers beside them.

    Args:
      config: The settings.
      methods: What was compared.
      picture: Height, width and channels of the picture of a number.
      runs: The results of the runs that have ended.
      mesh: The devices that shared the batches, if there were several.
      stopped: How far those came that have not.

    Returns:
      What `results.json` holds.
    """
    return {
        "experiment": "sort_numbers",
        "config": dataclasses.asdict(config),
        "methods": {method.spec: method.identity for method in methods},
        "weights": {method.spec: method.weights for method in methods if method.weights},
        "seeds": list(range(config.seeds)),
        "picture": list(picture),
        "commit": git_commit(),
        "machine": machine(mesh),
        "summary": summarise(runs),
        "runs": list(runs),
        **({"stopped": list(stopped)} if stopped else {}),
    }


def summarise(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives mean and sample standard deviation over the seeds of each operator."""
    rows = []
    for operator in dict.fromkeys(run["operator"] for run in runs):
        own = [run for run in runs if run["operator"] == operator]
        row: dict[str, Any] = {"operator": operator, "seeds": len(own)}
        for metric in METRICS:
            values = [run["test"][metric] for run in own]
            mean = math.fsum(values) / len(values)
            spread = math.fsum((value - mean) ** 2 for value in values)
            deviation = math.sqrt(spread / (len(values) - 1)) if len(values) > 1 else None
            row[metric] = {"mean": mean, "sd": deviation}
        row["seconds"] = math.fsum(run["seconds"] for run in own) / len(own)
        rows.append(row)
    return rows


def check_means_the_same(report: dict[str, Any], methods: Sequence[Method], out: Path) -> None:
    """Refuses to add to a report whose methods have other defaults or weights than now.

    Raises:
      FlagError: If a record of the report has the name of a method and describes another.
    """
    meant = {method.spec: method for method in methods}
    for record in report["records"]:
        method, earlier = meant.get(record["method"]), record.get("identity")
        if method is None:
            continue
        if earlier is None:
            was = "of an earlier version"
        elif essence(earlier) != essence(method.identity):
            was = json.dumps(earlier)
        elif record.get("weights") != method.weights:
            was = "of earlier weights" if record.get("weights") else "of unknown weights"
        else:
            continue
        raise FlagError(f"--out: in {out} {record['method']} was {was}; name another file")


def write(report: dict[str, Any], out_dir: Path) -> Path:
    """Writes `results.json`."""
    path = out_dir / "results.json"
    storage.write_json(path, report)
    return path


def cell(value: dict[str, float | None]) -> str:
    """Writes a metric in percent: `41.3 ± 1.2`, or `41.3` for a single seed."""
    mean = f"{100 * value['mean']:.1f}"  # type: ignore[operator]
    return mean if value["sd"] is None else f"{mean} ± {100 * value['sd']:.1f}"


def table(report: dict[str, Any]) -> str:
    """Renders the summary for a terminal."""
    rows = [("operator", "EM %", "EW %", "EM5 %", "seeds", "s/seed")]
    for row in report["summary"]:
        cells = (cell(row[metric]) for metric in METRICS)
        rows.append((row["operator"], *cells, str(row["seeds"]), f"{row['seconds']:.0f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        row[0].ljust(widths[0])
        + "".join(f"  {text.rjust(width)}" for text, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def section(report: dict[str, Any], source: str, *, of_paper: bool = True) -> str:
    """Renders a comparison as Markdown: its settings, where its numbers are, and its table.

    Args:
      report: What `results.json` holds.
      source: A link to it.
      of_paper: Whether to list the differences from the published experiment.
    """
    config = report["config"]
    height, width, _ = report["picture"]
    seeds = len(report["seeds"])
    machine = report["machine"]
    cores = f" with {machine['cpus']} cores" if machine["backend"] == "cpu" else ""
    lines = [
        f"**{TITLES[config['dataset']]}**, lists of n = {config['n']} numbers of four digits "
        f"({height}×{width} pixels), {config['steps']:,} steps of {config['batch_size']} lists, "
        f"{config['test_lists']:,} test lists, {seeds} seed{'s' if seeds > 1 else ''}, "
        f"{machine['device']}{cores}. {_reduction(config) if of_paper else ''}"
        f"({source})",
        "",
        "| operator | EM | EW | EM5 |",
        "| --- | --- | --- | --- |",
    ]
    for row in report["summary"]:
        cells = " | ".join(cell(row[metric]) for metric in METRICS)
        lines.append(f"| `{row['operator']}` | {cells} |")
    return "\n".join(lines)


def _reduction(config: dict[str, Any]) -> str:
    """Lists how a run on a published data set differs from the published experiment."""
    if config["dataset"] not in PUBLISHED_DATASETS:
        return ""
    differences = [
        f"{name} {_plain(config[name])} instead of {_plain(PUBLISHED[name])}"
        for name in REDUCTIONS
        if name in config and _plain(config[name]) != _plain(PUBLISHED[name])
    ]
    if not differences:
        return "The published protocol. "
    return f"Reduced from the published protocol: {'; '.join(differences)}. "


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "/".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
