# SPDX-License-Identifier: Apache-2.0
"""Comparisons that were trained for long: who is ahead after how many lists, and at the end.

A report is the `results.json` of `experiments/sort_numbers.py`. It may have `stopped` beside its
`runs`: the curves of runs that did not reach their end.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.common.reports import markdown
from experiments.four_digits.results import cell

KINDS = {
    "amortized": "amortised sort",
    "learned": "executed sort",
    "odd_even:distribution=optimal": "optimal network",
    "odd_even:distribution=logistic": "logistic network",
    "odd_even": "Cauchy network",
    "lapsum": "LapSum",
    "neuralsort": "NeuralSort",
    "loss:cauchy_likelihood": "exact Cauchy likelihood",
    "loss:cauchy_network": "Cauchy network",
}
"""What a method is called, by what its name begins with; the longer beginnings come first."""

LISTS = (25_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000)
"""After how many lists a table says who is ahead."""


def curves(
    report: Mapping[str, Any], of_training: bool = False
) -> dict[str, list[dict[int, float]]]:
    """Gives EM over the lists seen, for each run of each method.

    Args:
      report: What was found.
      of_training: EM of the lists that it trains on, a mean since the validation before; else that
        of validation lists.

    Returns:
      For each method its runs; a run has EM from 0 to 1 by the number of lists.
    """
    found: dict[str, list[dict[int, float]]] = {}
    batch = report["config"]["batch_size"]
    for run in (*report["runs"], *report.get("stopped", ())):
        values = run["curve"]["train_em" if of_training else "em"]
        pairs = zip(run["curve"]["step"], values, strict=True)
        found.setdefault(run["operator"], []).append({step * batch: em for step, em in pairs})
    return found


def title(method: str) -> str:
    """Says what a method is: its kind, its loss, and whether it has noise scales."""
    operator, _, loss = method.partition("@")
    kind = next((said for start, said in KINDS.items() if method.startswith(start)), operator)
    name, scaled = loss.removesuffix("+noise_scales"), method.endswith("+noise_scales")
    return ", ".join([kind, *([name] if name else []), *(["noise scales"] if scaled else [])])


def table(report: Mapping[str, Any]) -> str:
    """Renders EM on validation lists after some numbers of lists, then the test at the end."""
    config = report["config"]
    drawn = curves(report)
    measured = {count for runs in drawn.values() for run in runs for count in run}
    counts = [count for count in LISTS if count in measured]
    tests = {row["operator"]: row for row in report["summary"]}
    rows = []
    for method, runs in drawn.items():
        values = [[run[count] for run in runs if count in run] for count in counts]
        end = tests.get(method)
        rows.append(
            [
                title(method),
                *map(_mean, values),
                f"{cell(end['em'])} ({cell(end['ew'])})" if end else "stopped",
                f"{end['seconds'] / 60:.1f}" if end else "-",
            ]
        )
    lists = config["steps"] * config["batch_size"]
    titles = ["method", *map(_count, counts), f"test, {_count(lists)}: EM (EW)", "minutes"]
    return markdown(titles, rows)


def conditions(report: Mapping[str, Any]) -> str:
    """Says in one line what a report is of."""
    config, machine = report["config"], report["machine"]
    height, width, _ = report["picture"]
    cores = f" with {machine['cpus']} cores" if machine["backend"] == "cpu" else ""
    seeds = len(report["seeds"])
    return (
        f"n = {config['n']}, {height}×{width} pixels, {config['steps']:,} steps of "
        f"{config['batch_size']} lists, rate {config['learning_rate']:.3g} "
        f"({config['schedule']}), {config['precision']}, {seeds} seed{'s' if seeds > 1 else ''}, "
        f"{machine['device']}{cores}"
    )


def section(report: Mapping[str, Any]) -> str:
    """Renders a report with its conditions and its methods as `--operators` takes them."""
    methods = ", ".join(f"`{method}`" for method in curves(report))
    return f"**{conditions(report)}**\n\n{table(report)}\n\nMethods: {methods}."


def _mean(values: Sequence[float]) -> str:
    return f"{100 * math.fsum(values) / len(values):.1f}" if values else "-"


def _count(lists: int) -> str:
    return f"{lists / 1e6:g} M" if lists >= 1_000_000 else f"{lists // 1000:,} k"
