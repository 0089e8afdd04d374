# SPDX-License-Identifier: Apache-2.0
"""Pictures of both tasks, drawn from their reports alone."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arlsort import plot
from experiments.common import figures


def confusions(report: dict[str, Any], path: Path) -> Path:
    """Draws accuracy over steps, and for each row the confusion of its first seed."""
    names = [row["name"] for row in report["summary"]]
    figure = Figure(figsize=(4 + 3.4 * len(names), 3.8), layout="tight")
    curve, *squares = figure.subplots(
        1, 1 + len(names), width_ratios=[1.2, *(1 for _ in names)], squeeze=False
    )[0]
    _curves(curve, report, "accuracy", "matched accuracy")
    for ax, name in zip(squares, names, strict=True):
        run = next(run for run in report["runs"] if run["name"] == name)
        counts = np.array(run["test"]["confusion"], float)
        title = f"{name.replace('_', ' ')}, seed {run['seed']}"
        plot.heat_map(counts / counts.sum(axis=1, keepdims=True), ax=ax, title=title)
        ax.set(xlabel="output, matched", ylabel="class")
    return figures.save(figure, path)


def costs(report: dict[str, Any], path: Path) -> Path:
    """Draws the share of cheapest paths over steps, and learned costs over digits."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    curve, learned = figure.subplots(1, 2)
    _curves(curve, report, "exact", "share of cheapest paths")
    names = [row["name"] for row in report["summary"]]
    for name, look in figures.looks(names).items():
        each = [run["test"]["costs"] for run in report["runs"] if run["name"] == name]
        means = np.array(each)[..., 0]  # [seeds, digits]
        digits = np.arange(means.shape[1])
        plot.mean_and_range(learned, digits, means, label=name, **look)
    true = digits / digits.mean()
    learned.plot(digits, true, color="black", linestyle=":", label="true")
    learned.set(xlabel="digit", ylabel="cost, of the mean cost", xticks=digits)
    learned.legend()
    return figures.save(figure, path)


def _curves(ax: Axes, report: dict[str, Any], metric: str, title: str) -> None:
    """Draws a validation metric over steps: mean and range over seeds."""
    names = [row["name"] for row in report["summary"]]
    for name, look in figures.looks(names).items():
        own = [run["curve"] for run in report["runs"] if run["name"] == name]
        steps, values = own[0]["step"], np.array([curve[metric] for curve in own])
        plot.mean_and_range(ax, steps, values, label=name.replace("_", " "), **look)
    ax.set(xlabel="step", ylabel=f"{title}, on validation digits", ylim=(0, 1.02))
    ax.grid(alpha=0.3)
    ax.legend()
