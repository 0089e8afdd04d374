# SPDX-License-Identifier: Apache-2.0
"""What narrower convolutions do to the reading network: comparisons that differ in that alone."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from experiments.common.reports import markdown
from experiments.four_digits.convolution import PRECISIONS

SHARED = ("dataset", "n", "steps", "batch_size", "learning_rate", "schedule", "seeds", "test_lists")


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
        for name in SHARED:
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
