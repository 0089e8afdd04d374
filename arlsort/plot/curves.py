# SPDX-License-Identifier: Apache-2.0
"""Learning curves of an experiment."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.plot import common

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = {"em": "lists in exact order", "ew": "numbers in their place", "loss": "loss"}


def curves(
    results: Mapping[str, Any] | str | os.PathLike[str],
    *,
    metrics: Sequence[str] = tuple(METRICS),
    figure: "Figure | None" = None,
) -> "Figure":
    """Draws learning curves of an experiment: mean and range over seeds, a panel for each metric.

    Args:
      results: The results of `experiments/sort_numbers.py`, or the path of its `results.json`.
      metrics: Among `em`, `ew` (both on validation lists), `em5`, `train_em` and `loss`.
      figure: Where to draw; a new one without.

    Returns:
      The figure.

    Raises:
      ValueError: If the results have no runs, or not all of them have the metric.
      ImportError: Without matplotlib.

    Example:
      >>> curve = {"step": [1, 2], "loss": [0.5, 0.2]}
      >>> report = {"runs": [{"operator": "learned", "curve": curve}]}
      >>> len(curves(report, metrics=["loss"]).axes)
      1
    """
    common.some("metrics", metrics)
    report = results
    if not isinstance(report, Mapping):
        with open(report, encoding="utf-8") as file:
            report = json.load(file)
    runs = common.some("results, runs", report.get("runs", ()))
    known = sorted(set.intersection(*(set(run["curve"]) for run in runs)) - {"step"})
    for metric in metrics:
        if metric not in known:
            raise ValueError(checks.error_message("metrics", repr(metric), ", ".join(known)))
    if figure is None:
        figure = common.pyplot().figure(figsize=(4.4 * len(metrics), 4), layout="constrained")
    for ax, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        for operator in dict.fromkeys(run["operator"] for run in runs):
            own = [run["curve"] for run in runs if run["operator"] == operator]
            curve = np.array([each[metric] for each in own], float)
            mean_and_range(ax, own[0]["step"], curve, label=operator)
        ax.set(title=METRICS.get(metric, metric), xlabel="step")
        ax.grid(alpha=0.3)
        if metric != "loss":
            ax.set_ylim(0, 1)
    figure.axes[0].legend(fontsize="small")
    return figure


def mean_and_range(
    ax: "Axes", steps: ArrayLike | Sequence[float], curves: ArrayLike, **look: Any
) -> Any:
    """Draws the mean of curves `[seeds, steps]` as a line, and their range as a shade.

    Args:
      ax: Where to draw.
      steps: Where the points are, `[steps]`.
      curves: A curve of each seed.
      **look: What `Axes.plot` takes for the line.

    Returns:
      The line.

    Example:
      >>> from matplotlib.figure import Figure
      >>> line = mean_and_range(Figure().subplots(), [1, 2], [[0.0, 1.0], [1.0, 2.0]])
      >>> line.get_ydata().tolist()
      [0.5, 1.5]
    """
    points = np.asarray(curves)
    (line,) = ax.plot(steps, points.mean(axis=0), **{"marker": ".", **look})
    low, high = points.min(axis=0), points.max(axis=0)
    ax.fill_between(steps, low, high, color=line.get_color(), alpha=0.15)
    return line
