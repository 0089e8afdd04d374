# SPDX-License-Identifier: Apache-2.0
"""Comparisons that were trained for long: who is ahead after how many lists, and at the end.

A report is the `results.json` of `experiments/sort_numbers.py`. It may have `stopped` beside its
`runs`: the curves of runs that were interrupted before their end.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from arlsort import operators
from arlsort.operators.sorting_network import SortingNetwork
from experiments.common.reports import markdown, stated
from experiments.four_digits import losses
from experiments.four_digits.config import NO_OPERATOR, PUBLISHED, QUICK
from experiments.four_digits.results import cell, of_earlier_weights
from experiments.research.families import OURS, TITLES
from experiments.research.paired_tests import paired, points

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
    """Says what a method is: its kind, its loss, and whether it has noise scales.

    Args:
      method: As `--operators` takes it.

    Example:
      >>> title("odd_even:distribution=logistic,temperature=0.1@rows")
      'logistic network, rows'
    """
    spec, _, own = method.removeprefix(NO_OPERATOR).partition("@")
    alone = method.startswith(NO_OPERATOR)
    text = spec if alone else own
    if not text:
        return _kind(spec)
    loss = losses.parse(text)
    if alone:
        parts = [TITLES["cauchy" if loss.name == "cauchy_network" else loss.name]]
    else:
        parts = [_kind(spec), loss.name]
    return ", ".join([*parts, *(["noise scales"] if loss.noise_scales else [])])


def _kind(spec: str) -> str:
    """Says what an operator is; of one that `TITLES` does not have, what it was asked for as."""
    operator = operators.parse(spec, supervision=True)
    if not isinstance(operator, SortingNetwork):
        return TITLES.get(spec.partition(":")[0], spec)
    law = TITLES.get(operator.distribution, f"{operator.distribution} network")
    kind = operator.network.replace("_", "-")
    network = "" if operator.network == SortingNetwork.network else f"{kind} "
    return f"{network}{'error-free ' * operator.error_free}{law}"


def table(report: Mapping[str, Any]) -> str:
    """Renders EM on validation lists after some numbers of lists, then the test at the end.

    A number that not every seed has reached says how many have.
    """
    config, seeds = report["config"], len(report["seeds"])
    drawn = curves(report)
    measured = {count for runs in drawn.values() for run in runs for count in run}
    counts = [count for count in LISTS if count in measured]
    tests = {row["operator"]: row for row in report["summary"]}
    rival = best_published(report) if seeds > 1 else None
    rows = []
    for method, runs in drawn.items():
        values = [[run[count] for run in runs if count in run] for count in counts]
        end = tests.get(method)
        rows.append(
            [
                title(method),
                *(_mean(each, seeds) for each in values),
                _end(end, seeds) if end else "stopped",
                *([_ahead(report, method, rival)] if rival else []),
                f"{end['seconds'] / 60:.1f}" if end else "-",
            ]
        )
    lists = config["steps"] * config["batch_size"]
    titles = ["method", *map(count_of, counts), f"test, {count_of(lists)}: EM (EW)"]
    if rival:
        titles.append(f"ahead of {title(rival)} by")
    return markdown([*titles, "minutes"], rows)


def best_published(report: Mapping[str, Any]) -> str | None:
    """The published sort with the highest mean EM on the test set; None if none has ended."""
    found = {
        row["operator"]: row["em"]["mean"]
        for row in report["summary"]
        if not row["operator"].startswith((NO_OPERATOR, *OURS))
    }
    return max(found, key=found.__getitem__) if found else None


def _ahead(report: Mapping[str, Any], method: str, rival: str) -> str:
    """The mean difference on the test set over the seeds that both have, and a paired t-test."""
    if method == rival:
        return "-"
    pair = paired(report["runs"], method, rival)
    if not pair["seeds"]:
        return "-"
    return f"{points(pair)}{_share(pair['seeds'], len(report['seeds']))}"


def conditions(report: Mapping[str, Any]) -> str:
    """Summarises the settings of a report in one line."""
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


def command(report: Mapping[str, Any]) -> str:
    """The command line that gave a report."""
    config = report["config"]
    settings = {**config, "seeds": len(report["seeds"]), "operators": list(curves(report))}
    words, defaults = ["python experiments/sort_numbers.py"], dict(QUICK)
    if config["protocol"] == "published":
        words.append("--protocol=published")
        defaults = {**{n: v for n, v in QUICK.items() if n not in PUBLISHED}, "dataset": "mnist"}
    return " ".join([*words, *stated(settings, defaults)])


def section(report: Mapping[str, Any]) -> str:
    """Renders a report with its conditions and the command that gave it."""
    parts = [
        f"**{conditions(report)}**",
        table(report),
        of_earlier_weights(report),
        f"```bash\n{command(report)}\n```",
    ]
    return "\n\n".join(filter(None, parts))


def _end(row: Mapping[str, Any], seeds: int) -> str:
    return f"{cell(row['em'])} ({cell(row['ew'])}){_share(row['seeds'], seeds)}"


def _mean(values: Sequence[float], seeds: int) -> str:
    if not values:
        return "-"
    return f"{100 * math.fsum(values) / len(values):.1f}{_share(len(values), seeds)}"


def _share(runs: int, seeds: int) -> str:
    """Says how many runs a number is of, where it is not one for each seed."""
    return "" if runs == seeds else f" ({runs} of {seeds} seeds)"


def count_of(lists: int) -> str:
    """Writes how many lists: `500`, `1.5 k`, `2 M`."""
    if lists < 1000:
        return str(lists)
    return f"{lists / 1e6:g} M" if lists >= 1_000_000 else f"{lists / 1e3:g} k"
