# SPDX-License-Identifier: Apache-2.0
"""The effect of narrower convolutions on the reading network, all else equal."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from experiments.common.reports import markdown
from experiments.four_digits.convolution import PRECISIONS

FREE = ("precision", "checkpoint_every", "checkpoint_seconds")
"""Settings that may differ: what is compared, and how often a run is saved."""


def table(reports: Sequence[dict[str, Any]]) -> str:
    """Renders EM of each precision, and how far it is from float32's with the same seeds.

    Args:
      reports: The `results.json` of comparisons by `sort_numbers`, one for each precision.

    Raises:
      ValueError: If they differ in another setting, or none is of float32.
    """
    of = {report["config"]["precision"]: report for report in reports}
    base = of.get(PRECISIONS[0])
    if base is None:
        raise ValueError("no report of float32")
    for report in reports:
        for name in ("methods", "seeds"):
            if report[name] != base[name]:
                raise ValueError(f"{name} are not those of float32")
        for name in sorted({*report["config"], *base["config"]} - {*FREE}):
            if name not in report["config"].keys() & base["config"].keys():
                raise ValueError(f"{name} is not in every report")
            if report["config"][name] != base["config"][name]:
                raise ValueError(f"{name} is not that of float32")
    rows = []
    for method in base["methods"]:
        known = _scores(base, method)
        for precision in (name for name in PRECISIONS if name in of):
            found = _scores(of[precision], method)
            apart = [one - other for one, other in zip(found, known, strict=True)]
            cells = [f"`{method}`", precision, _spread(found)]
            rows.append([*cells, "-" if precision == PRECISIONS[0] else _spread(apart, sign="+")])
    return markdown(["method", "convolutions", "EM", "minus float32, same seeds"], rows)


def _scores(report: dict[str, Any], method: str) -> list[float]:
    runs = [run for run in report["runs"] if run["operator"] == method]
    return [100 * run["test"]["em"] for run in sorted(runs, key=lambda run: run["seed"])]


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Writes mean and sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):{sign}.1f} ± {deviation:.1f}"
