# SPDX-License-Identifier: Apache-2.0
"""Pictures of both tasks, drawn from their reports alone."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
        ax.imshow(counts / counts.sum(axis=1, keepdims=True), vmin=0, vmax=1, cmap="Blues")
        ax.set(title=f"{name.replace('_', ' ')}, seed {run['seed']}", xlabel="output, matched")
        ax.set(ylabel="class", xticks=range(len(counts)), yticks=range(len(counts)))
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
        learned.plot(digits, means.mean(axis=0), label=name, **look)
        learned.fill_between(digits, means.min(axis=0), means.max(axis=0), alpha=0.2, lw=0)
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
        ax.plot(steps, values.mean(axis=0), label=name.replace("_", " "), **look)
        ax.fill_between(steps, values.min(axis=0), values.max(axis=0), alpha=0.2, lw=0)
    ax.set(xlabel="step", ylabel=f"{title}, on validation digits", ylim=(0, 1.02))
    ax.grid(alpha=0.3)
    ax.legend()
