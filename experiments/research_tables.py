# SPDX-License-Identifier: Apache-2.0
"""What the other experiments of research found, as Markdown: teaching, settings, order quality."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from experiments import stability
from experiments.contest_tables import Reports

TRUTHS = {"thurstone": "scores with Cauchy noise", "plackett_luce": "Plackett-Luce"}
INPUTS = {"comparisons": "keys and comparisons", "clrs": "keys, as in CLRS"}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _percent(values: Sequence[float]) -> str:
    """Mean and sample standard deviation of shares, in percent."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.1f}{spread}"


def teaching(report: dict[str, Any]) -> str:
    """Alignment and calibration of each loss, at each n in turn, for one law of orders."""
    config, records = report["config"], report["records"]
    shares = [share["share"] for share in records[0]["shares"]]
    rows = []
    for method in dict.fromkeys(record["method"] for record in records):
        own = [record for record in records if record["method"] == method]
        errors = [f"{100 * r['calibration']['error']:.1f}" for r in own if "calibration" in r]
        cells = [f"`{method}`", " / ".join(errors) or "-"]
        for i in range(len(shares)):
            cells.append(" / ".join(f"{r['shares'][i]['alignment']:.2f}" for r in own))
        rows.append(cells)
    lengths = " / ".join(map(str, config["lengths"]))
    heads = ["loss", "calibration error %", *(f"cosine at {share:g}" for share in shares)]
    return (
        f"**Orders of {TRUTHS[config['truth']]}**, {config['lists']:,} lists of each n, scores "
        f"normal with standard deviation {config['spread']:g}; n = {lengths}:\n\n"
    ) + _table(heads, rows)


def order_quality(report: dict[str, Any]) -> str:
    """Micro-F1 of reasoners by their inputs and sort, over seeds."""
    config = report["config"]
    found: dict[tuple[str, str], list[float]] = {}
    for record in report["records"]:
        found.setdefault((record["inputs"], record["algorithm"]), []).append(record["micro_f1"])
    rows = [
        [
            algorithm.replace("_", " "),
            INPUTS[inputs],
            _percent(scores),
            f"{100 * min(scores):.1f}",
            str(len(scores)),
        ]
        for (inputs, algorithm), scores in found.items()
    ]
    head = (
        f"Hidden size {config['hidden_size']}, {config['steps']:,} steps of lists of "
        f"{', '.join(map(str, config['lengths']))} keys; test on {config['test_lists']} lists of "
        f"{config['n']}.\n\n"
    )
    return head + _table(["sort", "inputs", "micro-F1 %", "lowest seed", "seeds"], rows)


def steadiness(report: dict[str, Any]) -> str:
    """Scores on longer lists at the end, by choice of a checkpoint, and how much they swing."""
    config = report["config"]
    rows = [
        [
            row["weights"],
            row["clip"],
            *(_percent(row[name]) for name in ("last", "chosen", "swing")),
        ]
        for row in stability.summary(report)
    ]
    head = (
        f"{config['algorithm'].replace('_', ' ').capitalize()}, {INPUTS[config['inputs']]}, hidden "
        f"size {config['hidden_size']}, {config['steps']:,} steps of lists of "
        f"{', '.join(map(str, config['lengths']))} keys, tested every {config['every']} on "
        f"{config['test_lists']} lists of {config['n']}; {config['seeds']} seeds:\n\n"
    )
    chosen = f"at the best step for n = {config['n_choice']}"
    heads = ["weights", "gradients", "micro-F1 % at the end", chosen, "swing"]
    return head + _table(heads, rows)


def quick_search(report: dict[str, Any]) -> str:
    """Test EM and EW of each method of one quick search."""
    config = report["config"]
    rows = [
        [
            f"`{record['method']}`",
            _percent(record["em"]),
            _percent(record["ew"]),
            f"{record['seconds']:.0f}",
        ]
        for record in sorted(report["records"], key=lambda r: -statistics.fmean(r["em"]))
    ]
    head = (
        f"n = {config['n']}, {config['steps']:,} steps of {config['batch_size']} lists, "
        f"{config['seeds']} seeds, learning rate {config['learning_rate']:g}:\n\n"
    )
    return head + _table(["method", "EM", "EW", "s"], rows)


def choices(reports: Reports) -> str:
    """What a choice changes in EM5 of validation, among candidates that differ in it alone."""
    questions: Mapping[str, Callable[[str], str | None]] = {
        "cross-entropy of rows instead of bce": _swapped("@bce", "@rows"),
        "noise levels": lambda spec: f"{spec}+levels" if "+levels" not in spec else None,
    }
    rows = []
    for question, other in questions.items():
        for n, report in reports.items():
            gaps = list(_gaps(report["search"]["families"].values(), other))
            if gaps:
                points = f"{100 * statistics.fmean(gaps):+.1f}"
                if len(gaps) > 1:
                    points += f" ± {100 * statistics.stdev(gaps) / math.sqrt(len(gaps)):.1f}"
                better = f"{sum(gap > 0 for gap in gaps)} of {len(gaps)}"
                rows.append([question, str(n), better, points])
    return _table(["choice", "n", "better in", "points of EM5, ± standard error"], rows)


def _swapped(end: str, other: str) -> Callable[[str], str | None]:
    return lambda spec: spec.removesuffix(end) + other if spec.endswith(end) else None


def _gaps(
    families: Iterable[Mapping[str, Any]], other: Callable[[str], str | None]
) -> Iterable[float]:
    """Differences of validation EM5 between candidates and what they become by a choice."""
    for family in families:
        scores = family["validation_em5"]
        for spec, score in scores.items():
            changed = other(spec)
            if changed in scores:
                yield scores[changed] - score
