# SPDX-License-Identifier: Apache-2.0
"""How reports of `quantile_regression` are shown."""

import dataclasses
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.common import methods, search, storage
from experiments.common.reports import markdown, stated
from experiments.quantiles.training import PLAIN, Config

CONSTANT = "constant"
UNIT = 1e-4  # errors are printed in ten thousands, as published


def table(report: dict[str, Any]) -> str:
    """Renders mean squared errors, times 1e-4 as published, and R²; means over seeds."""
    rows = []
    constants = [r["constant_mse"] for one in report["records"] for r in one["results"]]
    if constants:
        rows.append([f"`{CONSTANT}`", "-", f"{UNIT * statistics.mean(constants):.1f}", "0"])
    for one in report["records"]:
        errors, shares = ([r[name] for r in one["results"]] for name in ("mse", "r2"))
        error, share = UNIT * statistics.mean(errors), statistics.mean(shares)
        rate = f"{one['learning_rate']:g}"
        rows.append([f"`{one['method']}`", rate, f"{error:.1f}", f"{share:.3f}"])
    return markdown(["method", "rate", "MSE × 1e-4", "R²"], rows)


def section(report: dict[str, Any]) -> str:
    """Renders a report for a page: its settings and its table."""
    config = report["config"]
    precision = f"{config['precision']}, " if "precision" in config else ""
    seeds = config["seeds"]
    conditions = (
        f"**{config['dataset']}, n = {config['n']}**, quantile {config['quantile']:g}, "
        f"{config['resolution']} resolution, {config['steps']:,} steps of {config['batch_size']} "
        f"lists, {precision}{config['test_lists']:,} test lists, "
        f"{seeds} seed{'s' if seeds > 1 else ''}."
    )
    said = [conditions, methods.of_earlier_weights(report["records"])]
    if config["search"]:
        chosen = search.chosen_of(config["search"])
        said.insert(1, f"Chosen on the validation data: {chosen}.")
    text = " ".join(filter(None, said))
    return f"{text}\n\n{table(report)}\n\n```bash\n{command(report)}\n```"


def command(report: dict[str, Any]) -> str:
    """The command line that gave a report."""
    config, grids = report["config"], report["config"]["search"]
    specs = [one["method"] for one in report["records"] if one["method"] != PLAIN]
    words = ["python experiments/quantile_regression.py"]
    if grids:
        specs = [methods.without_temperature(spec) for spec in specs]
        words.append("--search")
        words += [f"--{name}={','.join(f'{x:g}' for x in grid)}" for name, grid in grids.items()]
    words.append(f"--operators={','.join(specs)}")
    if len(specs) == len(report["records"]):
        words.append("--nobaselines")
    defaults = {**dataclasses.asdict(Config()), "seeds": 1}
    if grids:
        del defaults["learning_rate"]  # which is searched
    return " ".join([*words, *stated(config, defaults)])


def page(folder: Path, link: Callable[[Path], str]) -> str:
    """Renders all reports in a folder; `link` says how the page links to a file."""
    parts = [
        f"{section(storage.read_json(path))}\n\n([numbers]({link(path)}))"
        for path in sorted(folder.glob("*.json"))
    ]
    return "\n\n".join(parts) or "No full run is committed yet."
