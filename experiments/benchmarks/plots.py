# SPDX-License-Identifier: Apache-2.0
"""Pictures of time and memory, drawn from what the benchmarks measured alone."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.benchmarks.growth import MEASURES, exponents, terms
from experiments.benchmarks.operator_tables import TITLES
from experiments.benchmarks.programs import YARDSTICK
from experiments.common import figures

STYLES = ("o-", "s--", "^:", "v-.", "x:")  # an operator's line, and its peers'


def growth(report: dict[str, Any], path: Path) -> Path:
    """Draws time and memory over the length of the list, with the terms of the theory beside them.

    Args:
      report: What `experiments.benchmarks.growth` found, by measure.
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
    return figures.save(figure, path)


def speed(records: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draws the time of a list over n: a panel for values and P, forward and with the gradient.

    A peer has the colour of the operator that it stands beside, and a line of its own kind.

    Args:
      records: What `experiments.benchmarks.programs` measured.
      path: Where to write.
    """
    operators = list(dict.fromkeys(record["operator"] for record in records))
    lengths = sorted({record["n"] for record in records})
    figure = Figure(figsize=(16, 14), layout="constrained")
    labels: dict[str, Any] = {}
    for axis, (panel, title) in zip(figure.subplots(2, 2).flat, TITLES.items(), strict=True):
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
    return figures.save(figure, path)
