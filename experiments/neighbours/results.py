# SPDX-License-Identifier: Apache-2.0
"""How reports of `classify_neighbours` are shown: their tables, and pictures of neighbours."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from arlsort import plot
from experiments.common import datasets, figures, methods, search, storage
from experiments.common.reports import markdown
from experiments.neighbours.config import SEARCH_K


def table(report: dict[str, Any]) -> str:
    """Renders test accuracies in percent, mean ± standard deviation over seeds."""
    rows = []
    for one in report["records"]:
        accuracies = [100 * result["test_accuracy"] for result in one["results"]]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
        k = "-" if one["k"] is None else str(one["k"])
        rate = f"{one['learning_rate']:g}" if "learning_rate" in one else "-"
        rows.append([f"`{one['method']}`", k, rate, f"{statistics.mean(accuracies):.2f}{spread}"])
    return markdown(["method", "k", "rate", "test accuracy, %"], rows)


def section(report: dict[str, Any]) -> str:
    """Renders a report for a page: its settings and its table."""
    config, (train, _, test) = report["config"], report["rows"]
    seeds = config["seeds"]
    conditions = (
        f"**{config['dataset']}**, {train:,} pictures to train on and {test:,} to test, "
        f"{config['network']} with {config['features']} features, {config['steps']:,} steps of "
        f"{config['queries']} queries and {config['candidates']} candidates, augmentation "
        f"{config['augmentation']}, {seeds} seed{'s' if seeds > 1 else ''}"
    )
    said = [f"{conditions}.", _chosen(report), methods.of_earlier_weights(report["records"])]
    return f"{' '.join(filter(None, said))}\n\n{table(report)}"


def _chosen(report: dict[str, Any]) -> str:
    """Says what was chosen on the validation data, and of which grids."""
    grids = report["config"]["search"]
    trained = "No temperature, rate or k of a trained method was searched"
    if grids:
        trained = f"Chosen on the validation data for trained methods: {search.chosen_of(grids)}"
    said = [trained]
    # Reports from before the grid was a setting do not name it.
    untrained = [record for record in report["records"] if "learning_rate" not in record]
    tried = {one["method"]: one.get("k_tried", SEARCH_K) for one in untrained}
    said += [
        f"for `{name}`: k in {search.written(ks)}" for name, ks in tried.items() if len(ks) > 1
    ]
    return "; ".join(said) + "."


def page(folder: Path, link: Callable[[Path], str]) -> str:
    """Renders all reports in a folder, each with its picture if there is one.

    Args:
      folder: Reports by the names of their data sets.
      link: How the page links to a file.
    """
    parts = []
    for path in sorted(folder.glob("*.json")):
        parts.append(f"{section(storage.read_json(path))}\n\n([numbers]({link(path)}))")
        picture = path.with_suffix(".png")
        if picture.exists():
            parts.append(f"![Queries of {path.stem} and their soft neighbours]({link(picture)})")
    return "\n\n".join(parts) or "No full run is committed yet."


def draw_all(folder: Path) -> None:
    """Draws the neighbours of every report in a folder, beside it."""
    for path in folder.glob("*.json"):
        draw(storage.read_json(path), path.with_suffix(".png"))


def draw(report: dict[str, Any], path: Path) -> Path | None:
    """Draws queries and their soft neighbours by the first method that shows some.

    Only of the embedded digits, whose pictures are always there.

    Returns:
      The path, or None if there is nothing to draw.
    """
    for record in report["records"]:
        shown = record["results"][0].get("shown")
        if shown is None or report["config"]["dataset"] != datasets.EMBEDDED:
            continue
        splits = datasets.load(datasets.EMBEDDED)
        known, asked = (part.images[..., 0] / 255 for part in (splits.train, splits.test))
        figure = Figure(figsize=(11, 1.2 * len(shown["weights"])), layout="constrained")
        rows = figure.subplots(len(shown["weights"]), 1, squeeze=False)[:, 0]
        for row, (ax, weights) in enumerate(zip(rows, shown["weights"], strict=True)):
            near = np.array(shown["candidates"][row])
            plot.neighbours(asked[row], known[near], np.array(weights), ax=ax)
        figure.suptitle(f"{record['method']}, k = {record['k']}")
        return figures.save(figure, path)
    return None
