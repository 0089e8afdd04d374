# SPDX-License-Identifier: Apache-2.0
"""Pictures of the studies, drawn from their results alone."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from arlsort import plot
from experiments.common import figures
from experiments.research.contest_tables import rows
from experiments.research.families import CONTROLS, TITLES
from experiments.research.long_runs import LISTS, count_of, curves, title

SEEN = 30


def contests(reports: Mapping[int, dict[str, Any]], path: Path) -> Path:
    """Draws validation EM over steps, a panel for each n: mean and range over seeds.

    Args:
      reports: What `experiments.research.contest` found, by n.
      path: Where to write.
    """
    figure = Figure(figsize=(3.6 * len(reports), 4.6), layout="constrained")
    axes = figure.subplots(1, len(reports), squeeze=False)[0]
    colours = {name: colormaps["tab20"](i) for i, name in enumerate(TITLES)}
    labels: dict[str, Any] = {}
    for ax, (n, report) in zip(axes, reports.items(), strict=True):
        for name, row in rows(report).items():
            own = [run["curve"] for run in report["runs"] if run["operator"] == row["operator"]]
            values = 100 * np.array([curve["em"] for curve in own])
            kind = ":" if name in CONTROLS else "-"
            line = plot.mean_and_range(
                ax, own[0]["step"], values, linestyle=kind, color=colours[name]
            )
            labels.setdefault(TITLES[name], line)
        ax.set(title=f"n = {n}", xlabel="step", ylim=(0, None))
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("EM on validation lists, %")
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=6, fontsize=9)
    return figures.save(figure, path)


def long_runs(reports: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draws validation EM over the lists seen, on a logarithmic axis, a panel for each comparison.

    Args:
      reports: As `experiments.research.long_runs` reads them.
      path: Where to write.
    """
    figure = Figure(figsize=(5.2 * len(reports), 4.8), layout="constrained")
    axes = figure.subplots(1, len(reports), squeeze=False)[0]
    titles = dict.fromkeys(title(name) for report in reports for name in curves(report))
    looks = {said: colormaps["tab10"](i % 10) for i, said in enumerate(titles)}
    labels: dict[str, Any] = {}
    for ax, report in zip(axes, reports, strict=True):
        drawn: set[int] = set()
        for name, runs in curves(report).items():
            counts = sorted(set.intersection(*map(set, runs)))
            values = 100 * np.array([[run[count] for count in counts] for run in runs])
            line = plot.mean_and_range(ax, counts, values, color=looks[title(name)])
            labels.setdefault(title(name), line)
            drawn |= set(counts)
        config = report["config"]
        height, width, _ = report["picture"]
        ax.set(title=f"n = {config['n']}, {height}×{width} pixels", xlabel="lists seen")
        ax.set_xscale("log")
        ticks = [count for count in LISTS if min(drawn) <= count <= max(drawn)]
        ax.set_xticks(ticks, map(count_of, ticks))
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("EM on validation lists, %")
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=2, fontsize=9)
    return figures.save(figure, path)


def calibration(report: dict[str, Any], path: Path) -> Path:
    """Draws how often an element is at a position, over its weight there, a panel for each n.

    A bin of fewer than `SEEN` weights is left out: what is in it is chance.

    Args:
      report: What `experiments.research.gradient_quality` found.
      path: Where to write.
    """
    records = [r for r in report["records"] if "calibration" in r]
    lengths = sorted({r["n"] for r in records})
    figure = Figure(figsize=(4.2 * len(lengths), 5.6), layout="constrained")
    axes = figure.subplots(1, len(lengths), squeeze=False)[0]
    looks = figures.looks(r["method"] for r in records)
    labels: dict[str, Any] = {}
    for ax, n in zip(axes, lengths, strict=True):
        ax.plot([0, 1], [0, 1], color="black", linewidth=0.8)
        for r in (r for r in records if r["n"] == n):
            found = r["calibration"]
            filled = [i for i, count in enumerate(found["count"]) if count >= SEEN]
            (line,) = ax.plot(
                [found["weight"][i] for i in filled],
                [found["share"][i] for i in filled],
                **looks[r["method"]],
            )
            labels.setdefault(r["method"], line)
        ax.set(title=f"n = {n}", xlabel="weight in P", ylabel="how often it is there")
        ax.grid(alpha=0.3)
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=3, fontsize=8)
    return figures.save(figure, path)


def errors(report: dict[str, Any], path: Path) -> Path:
    """Draws the relative error of the values over n, a panel for each of some ranges of scores.

    Args:
      report: What `experiments.research.error_analysis` found.
      path: Where to write.
    """
    exponents_drawn = [e for e in (-5, 0, 5, 10) if e in report["config"]["exponents"]]
    figure = Figure(figsize=(13, 9), layout="constrained")
    looks = figures.looks(r["operator"] for r in report["errors"])
    labels: dict[str, Any] = {}
    for axis, exponent in zip(figure.subplots(2, 2).flat, exponents_drawn, strict=False):
        place = report["config"]["exponents"].index(exponent)
        for name, look in looks.items():
            own = [r for r in report["errors"] if r["operator"] == name]
            # What is exact but for rounding is drawn on the floor.
            values = [max(r["rms"][place], 1e-8) for r in own]
            (line,) = axis.loglog([r["n"] for r in own], values, **look)
            labels.setdefault(name, line)
        lengths = sorted({r["n"] for r in report["errors"]})
        axis.set_xticks(lengths, [str(n) for n in lengths])
        axis.minorticks_off()
        title = f"scores uniform in [0, {2.0**exponent:g}]"
        axis.set(title=title, xlabel="n", ylabel="RMS error / range", ylim=(6e-9, 2))
        axis.grid(alpha=0.3)
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=6, fontsize=9)
    figure.suptitle("Values at default temperatures, against the exact sort")
    return figures.save(figure, path)


def pulls(records: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draws the gradient of a wrongly ordered pair over its distance: norm, and direction.

    Args:
      records: The gradients that `experiments.research.error_analysis` found.
      path: Where to write.
    """
    lengths = sorted({r["n"] for r in records})
    figure = Figure(figsize=(5.5 * len(lengths), 8), layout="constrained")
    axes = figure.subplots(2, len(lengths), squeeze=False, sharex=True)
    labels: dict[str, Any] = {}
    looks = figures.looks(r["operator"] for r in records)
    for column, n in enumerate(lengths):
        for r in (r for r in records if r["n"] == n):
            look = dict(looks[r["operator"]])
            if r["loss"] in ("pointer", "likelihood"):
                kind = {"pointer": "-.", "likelihood": ":"}[r["loss"]]
                look.update(linestyle=kind, markerfacecolor="none")
            norm = [value if value > 0 else math.nan for value in r["norm"]]
            (line,) = axes[0, column].loglog(r["distance"], norm, **look)
            # A gradient of zero has no direction.
            drawn = [c if v > 0 else math.nan for c, v in zip(r["cosine"], r["norm"], strict=True)]
            axes[1, column].semilogx(r["distance"], drawn, **look)
            labels.setdefault(f"{r['operator']}, {r['loss']}", line)
        axes[0, column].set(title=f"n = {n}", ylabel="norm of the gradient", ylim=(1e-6, 100))
        axes[1, column].set(
            xlabel="distance of the wrong pair, units", ylabel="direction: 1 together, -1 apart"
        )
        axes[1, column].set_ylim(-1.1, 1.1)
        for axis in axes[:, column]:
            axis.grid(alpha=0.3)
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=6, fontsize=9)
    figure.suptitle("Loss on the order: what it does to two scores that have each other's place")
    return figures.save(figure, path, dpi=100)
