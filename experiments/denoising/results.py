# SPDX-License-Identifier: Apache-2.0
"""The table and the pictures of a comparison."""

import statistics
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from arlsort import plot
from experiments.common import figures
from experiments.common.reports import markdown
from experiments.denoising.config import DEFAULTS
from experiments.denoising.data import NOISE

TITLES = {
    "none": "as it is",
    "total_variation": "total variation",
    "optnet": "OptNet, from scratch",
    "optnet_tv": "OptNet, from total variation",
    "dense": "dense network",
    "dense_norm": "dense network, normalised",
    "convolution": "1-D convolutional network",
}


# Train and test errors that Amos and Kolter, OptNet, ICML 2017, give for their series of steps. The
# weight of total variation was chosen by the test series there.
PUBLISHED = {
    "total_variation": "16.3 / 16.5",
    "optnet": "52.9 / 53.3",
    "optnet_tv": "13.8 / 14.4",
    "dense_norm": "18.5 / 29.8",
}


def _records(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    names = dict.fromkeys(record["method"] for record in report["records"])
    return {name: [r for r in report["records"] if r["method"] == name] for name in names}


def table(report: dict[str, Any]) -> str:
    """Renders mean squared errors, mean ± standard deviation over the seeds."""
    head, rows = ["method", "train MSE", "test MSE", "seeds"], []
    published = _like_published(report["config"])
    for name, records in _records(report).items():
        cells = [_cell([record["mse"][part] for record in records]) for part in ("train", "test")]
        beside = [PUBLISHED.get(name, "-")] if published else []
        rows.append([TITLES[name], *cells, str(len(records)), *beside])
    return markdown([*head, *(["published, train / test"] if published else [])], rows)


def _like_published(config: dict[str, Any]) -> bool:
    """Whether the series are those of the published protocol, but for the numbers drawn."""
    own = DEFAULTS["published"]
    names = ("dataset", "length", "train", "validation", "test")
    return all(config.get(name) == getattr(own, name) for name in names)


def section(report: dict[str, Any]) -> str:
    """Renders a comparison as Markdown: its settings and its table."""
    config = report["config"]
    sizes = f", {config['train']:,} to learn from" if "train" in config else ""
    lines = [
        f"**{config['dataset']}**, series of {config['length']} elements{sizes}, noise of "
        f"deviation {NOISE:g}, {config['epochs']} epochs of batches of {config['batch_size']}. "
        "Each method keeps what is best on validation series.",
        table(report),
    ]
    return "\n\n".join(lines)


def _cell(values: list[float]) -> str:
    mean = f"{statistics.fmean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"


def draw_series(report: dict[str, Any], path: Path) -> Path:
    """Draws test series before and after, a row for each method."""
    shown = {
        name: records[0]["shown"]
        for name, records in _records(report).items()
        if "shown" in records[0] and name != "none"
    }
    first = next(iter(shown.values()), None)
    columns = len(first["noisy"]) if first else 1
    figure = Figure(figsize=(4 * columns, 1.8 * max(len(shown), 1)), layout="constrained")
    axes = figure.subplots(max(len(shown), 1), columns, squeeze=False, sharex=True)
    for row, (name, series) in zip(axes, shown.items(), strict=False):
        row[0].set_ylabel(TITLES[name], fontsize=7)
        for ax, noisy, clean, denoised in zip(row, *series.values(), strict=True):
            plot.series(noisy, clean=clean, denoised=denoised, ax=ax)
    axes[0, 0].legend(fontsize=7)
    return figures.save(figure, path)


def draw_matrices(report: dict[str, Any], path: Path) -> Path:
    """Draws the difference matrices that were learned."""
    found = {
        name: np.array(records[0]["matrix"])
        for name, records in _records(report).items()
        if "matrix" in records[0]
    }
    figure = Figure(figsize=(5 * max(len(found), 1), 4.5), layout="constrained")
    axes = figure.subplots(1, max(len(found), 1), squeeze=False)[0]
    for ax, (name, matrix) in zip(axes, found.items(), strict=False):
        bound = np.abs(matrix).max()
        image = ax.imshow(matrix, cmap="RdBu", vmin=-bound, vmax=bound)
        ax.set_title(TITLES[name])
        figure.colorbar(image, ax=ax)
    return figures.save(figure, path)
