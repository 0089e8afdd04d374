# SPDX-License-Identifier: Apache-2.0
"""Draws the figures of the documentation."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import arlsort
from docs import gallery
from docs.result_files import (
    ERRORS,
    IMAGES,
    LENGTHS,
    LONG,
    RESEARCH,
    RESULTS,
    SPEED_OF_OPERATORS,
    SPEED_OF_REASONER,
)
from experiments.benchmarks import plots as speed_plots
from experiments.common import storage
from experiments.neighbours import results as neighbours_results
from experiments.program_tasks import tables as program_tables
from experiments.research import contest_tables, lengths, plots

SCORES = np.array([3.0, 1.0, 2.0, 0.5, 2.4])
DRAWN = ("amortized", "odd_even", "neuralsort")


def draw_methods(folder: Path = IMAGES) -> None:
    """Draws the pictures of docs/temperature.md and docs/gallery.md."""
    folder.mkdir(exist_ok=True)
    for name in DRAWN:
        arlsort.plot.temperatures(SCORES, name).savefig(folder / f"temperatures_{name}.png")
    figure, axes = plt.subplots(1, len(DRAWN), figsize=(12, 3.5), layout="constrained")
    for ax, name in zip(axes, DRAWN, strict=True):
        arlsort.plot.values(SCORES, name, ax=ax).set_title(name)
        ax.label_outer()
    figure.savefig(folder / "values.png")
    arlsort.plot.network(SCORES).savefig(folder / "network.png")
    gallery.draw(folder)


def draw_results() -> None:
    """Draws what was measured, each figure beside its file."""
    plots.contests(contest_tables.read(RESEARCH), RESEARCH / "contests.png")
    long = [storage.read_json(path) for path in sorted(LONG.glob("*.json"))]
    plots.long_runs(long, LONG / "long_runs.png")
    for path in RESEARCH.glob("gradient_quality_*.json"):
        plots.calibration(storage.read_json(path), path.with_suffix(".png"))
    lengths.draw(storage.read_json(LENGTHS), LENGTHS.with_suffix(".png"))
    errors = storage.read_json(ERRORS)
    plots.errors(errors, ERRORS.with_name("error_analysis_values.png"))
    plots.pulls(errors["gradients"], ERRORS.with_name("error_analysis_gradients.png"))
    speed = storage.read_json(SPEED_OF_OPERATORS)
    speed_plots.speed(speed["records"], SPEED_OF_OPERATORS.with_suffix(".png"))
    program_tables.draw(RESULTS / "program_tasks")
    neighbours_results.draw_all(RESULTS / "neighbours")
    growth = storage.read_json(SPEED_OF_REASONER)["growth"]
    speed_plots.growth(growth, SPEED_OF_REASONER.with_suffix(".png"))
