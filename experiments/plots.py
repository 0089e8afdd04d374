# SPDX-License-Identifier: Apache-2.0
"""Pictures of a comparison, drawn from its results alone."""

import itertools
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from arlsort import plot
from experiments.contest_tables import rows
from experiments.families import CONTROLS, TITLES
from experiments.growth import MEASURES, exponents, terms
from experiments.speed import YARDSTICK
from experiments.speed_tables import OPERATOR_TITLES

SEEN = 30
STYLES = ("o-", "s--", "^:", "v-.", "x:")  # an operator's line, and its peers'


def curves(report: dict[str, Any], path: Path) -> Path:
    """Draws validation EM and EW and the training loss over steps: mean and range over seeds."""
    figure = plot.curves(report, figure=Figure(figsize=(13, 4), layout="constrained"))
    config = report["config"]
    figure.suptitle(
        f"{config['dataset']}, n = {config['n']}, {len(report['seeds'])} seed(s): mean and range"
    )
    return _save(figure, path)


def contests(reports: Mapping[int, dict[str, Any]], path: Path) -> Path:
    """Draws validation EM over steps, a panel for each n: mean and range over seeds.

    Args:
      reports: What `experiments.contest` found, by n.
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
    return _save(figure, path)


def calibration(report: dict[str, Any], path: Path) -> Path:
    """Draws how often an element is at a position, over its weight there, a panel for each n.

    A bin of fewer than `SEEN` weights is left out: what is in it is chance.

    Args:
      report: What `experiments.teaching` found.
      path: Where to write.
    """
    records = [r for r in report["records"] if "calibration" in r]
    lengths = sorted({r["n"] for r in records})
    figure = Figure(figsize=(4.2 * len(lengths), 5.6), layout="constrained")
    axes = figure.subplots(1, len(lengths), squeeze=False)[0]
    looks = _looks([{"operator": r["method"]} for r in records])
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
    return _save(figure, path)


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
    return _save(figure, path)


def growth(report: dict[str, Any], path: Path) -> Path:
    """Draws time and memory over the length of the list, with the terms of the theory beside them.

    Args:
      report: What `experiments.growth` found, by measure.
      path: Where to write.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    fitted = exponents(report)
    lengths = sorted({point["n"] for points in report.values() for point in points})
    units = {"seconds": (1, "seconds"), "bytes": (1e6, "megabytes")}
    for axis, (of, (unit, name)) in zip(figure.subplots(1, 2), units.items(), strict=True):
        for measure, points in report.items():
            slope = f": n^{fitted[measure][of]:.2f}" if measure in fitted else ""
            ns, values = [p["n"] for p in points], [p[of] / unit for p in points]
            axis.loglog(ns, values, "o-", label=MEASURES[measure] + slope)
        last = max((p for points in report.values() for p in points), key=lambda p: (p["n"], p[of]))
        for label, style in zip(terms(2, of), ("k:", "k--"), strict=True):
            curve = np.array([terms(n, of)[label] for n in lengths], float)
            axis.loglog(
                lengths, curve / curve[-1] * last[of] / unit, style, alpha=0.4, label=f"∝ {label}"
            )
        axis.set(xlabel="n", ylabel=name, xticks=lengths, xticklabels=lengths)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return _save(figure, path)


def speed(records: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draws the time of a list over n: a panel for values and P, forward and with the gradient.

    A peer has the colour of the operator that it stands beside, and a line of its own kind.

    Args:
      records: What `experiments.speed` measured.
      path: Where to write.
    """
    operators = list(dict.fromkeys(record["operator"] for record in records))
    lengths = sorted({record["n"] for record in records})
    figure = Figure(figsize=(16, 14), layout="constrained")
    labels: dict[str, Any] = {}
    for axis, (panel, title) in zip(
        figure.subplots(2, 2).flat, OPERATOR_TITLES.items(), strict=True
    ):
        for i, operator in enumerate(operators):
            lines: dict[str, list[tuple[int, float]]] = {}
            for r in records:
                if (r["operator"], r["what"], r["direction"]) == (operator, *panel):
                    for name, measured in {operator: r["ours"], **r["peers"]}.items():
                        label = name if name in (operator, YARDSTICK) else f"{name} ({operator})"
                        if "seconds" in measured:
                            point = (r["n"], measured["seconds"] / r["batch"])
                            lines.setdefault(label, []).append(point)
            for (label, points), style in zip(lines.items(), itertools.cycle(STYLES)):
                ns, values = zip(*points, strict=True)
                look = ("*", "k") if label == YARDSTICK else (style, f"C{i % 10}")
                (line,) = axis.loglog(ns, values, look[0], color=look[1], markersize=4)
                labels.setdefault(label, line)
        axis.set(title=title, xlabel="n", ylabel="seconds for a list")
        axis.set_xticks(lengths, [str(n) for n in lengths], rotation=45)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=5, fontsize=9)
    return _save(figure, path)


def errors(report: dict[str, Any], path: Path) -> Path:
    """Draws the relative error of the values over n, a panel for each of some ranges of scores.

    Args:
      report: What `experiments.error_analysis` found.
      path: Where to write.
    """
    exponents_drawn = [e for e in (-5, 0, 5, 10) if e in report["config"]["exponents"]]
    figure = Figure(figsize=(13, 9), layout="constrained")
    looks = _looks(report["errors"])
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
    return _save(figure, path)


def pulls(records: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draws the gradient of a wrongly ordered pair over its distance: norm, and direction.

    Args:
      records: The gradients that `experiments.error_analysis` found.
      path: Where to write.
    """
    lengths = sorted({r["n"] for r in records})
    figure = Figure(figsize=(5.5 * len(lengths), 8), layout="constrained")
    axes = figure.subplots(2, len(lengths), squeeze=False, sharex=True)
    labels: dict[str, Any] = {}
    looks = _looks(records)
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
    return _save(figure, path, dpi=100)


def _looks(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A colour and, as colours come again, a kind of line for each operator."""
    names = dict.fromkeys(record["operator"] for record in records)
    kinds = ("-", "--", ":")
    return {
        name: {
            "color": f"C{i % 10}",
            "linestyle": kinds[i // 10 % len(kinds)],
            "marker": "osv^D"[i % 5],
            "markersize": 3.5,
        }
        for i, name in enumerate(names)
    }


def _save(figure: Figure, path: Path, dpi: int = 120) -> Path:
    """Writes a PNG under a temporary name and renames it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            figure.savefig(file, format="png", dpi=dpi)
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path
