# SPDX-License-Identifier: Apache-2.0
"""Pictures of a comparison, drawn from its results alone."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from arlsort import plot
from experiments.common import figures


def curves(report: dict[str, Any], path: Path) -> Path:
    """Draws validation EM and EW and the training loss over steps: mean and range over seeds."""
    figure = plot.curves(report, figure=Figure(figsize=(13, 4), layout="constrained"))
    config = report["config"]
    figure.suptitle(
        f"{config['dataset']}, n = {config['n']}, {len(report['seeds'])} seed(s): mean and range"
    )
    return figures.save(figure, path)


def permutations(report: dict[str, Any], path: Path) -> Path:
    """Draws the soft permutation of one test list before and after training, for each operator.

    Columns are in the true order, so that a network that reads well gives the identity.
    """
    runs = [run for run in report["runs"] if run["seed"] == report["seeds"][0]]
    figure = Figure(figsize=(2.8 * len(runs) + 1, 7), layout="compressed")
    axes = figure.subplots(2, len(runs), squeeze=False)
    for column, run in enumerate(runs):
        drawn = run["permutation"]
        for ax, moment in zip(axes[:, column], ("before", "after"), strict=True):
            name = run["operator"].replace(":", ":\n")
            columns = [f"{number:04d}" for number in drawn["numbers"]]
            plot.heat_map(drawn[moment], ax=ax, columns=columns, title=f"{name}\n{moment} training")
            ax.label_outer()
    figure.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.5, label="weight")
    return figures.save(figure, path)
