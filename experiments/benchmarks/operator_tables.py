# SPDX-License-Identifier: Apache-2.0
"""What the benchmark of the operators measured, as Markdown."""

import math
from collections.abc import Sequence
from typing import Any

from experiments.benchmarks import shipped
from experiments.benchmarks.programs import WHOLE, YARDSTICK
from experiments.benchmarks.selections import FUNCTIONS, PICKED, QUANTILE, WIDTH
from experiments.common.reports import markdown

Record = dict[str, Any]
Size = tuple[int, int]  # n and batch

TITLES = {
    ("values", "forward"): "Values",
    ("values", "backward"): "Values and their gradient",
    ("permutation", "forward"): "P",
    ("permutation", "backward"): "P and its gradient",
}
BESIDE = (
    "The peer's time over the operator's, above 1 where ours is faster; in brackets quartiles over "
    "the rounds:"
)
MOST_BEHIND = 12  # rows
NO_PEERS = (WHOLE, YARDSTICK)  # what a part is compared with, and what is no soft sort


def operators_table(report: dict[str, Any]) -> str:
    """Renders what `experiments/benchmarks/operators.py` measured."""
    records, batch = report["records"], report["config"]["batch_size"]
    parts = [_conditions(report)]
    if behind := _behind(records):
        parts += ["**Where a peer is faster**, the farthest behind first:", behind]
    for panel, title in TITLES.items():
        own = [r for r in records if (r["what"], r["direction"]) == panel]
        if own:
            parts += [f"**{title}**", *_panel(own, batch)]
    if any(r["what"] in FUNCTIONS for r in records):
        parts += _selections([r for r in records if r["what"] in FUNCTIONS], batch)
    parts += ["**Seconds to compile**, the longest of all n and, in brackets, at which n:"]
    parts += [_compilation(records)]
    unlike = [d for d in report["deviations"] if not d["alike"] and "deviation" in d]
    if unlike:
        parts += [
            "Other functions to the same end, and how far they are from ours on lists of eight "
            "normal scores:",
            markdown(
                ["operator", "beside", "what", "largest difference"],
                [
                    (f"`{d['operator']}`", d["peer"], d["what"], f"{d['deviation']:.2g}")
                    for d in unlike
                ],
            ),
        ]
    return "\n\n".join(parts)


def share(record: Record) -> float | None:
    """The least time that the bytes of P take, over the time of the operator; None if unknown."""
    ours, memory = record["ours"], record.get("memory", {})
    if "seconds" not in ours or "seconds" not in memory:
        return None
    return memory["seconds"] / ours["seconds"]


def _conditions(report: dict[str, Any]) -> str:
    config, device = report["config"], report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in report["peers"].items())
    lines = [
        f"float32, {device['device']} with {device['cpus']} cores; medians in milliseconds. Lists "
        f"in a call: {config['batch_size']}, fewer where it is said. jax {device['jax']}; beside "
        f"{versions or 'no other package'}; commit {_short(report['commit'])}.",
        _legend(report["records"]),
        shipped.remark(report, list(dict.fromkeys(r["operator"] for r in report["records"]))),
    ]
    if "seconds" in report:
        lines.append(f"The run took {report['seconds'] / 60:.0f} minutes.")
    return " ".join(line for line in lines if line)


def _short(commit: str | None) -> str:
    number, _, dirty = (commit or "unknown").partition("-")
    return number[:10] + (" with changes" if dirty else "")


def _legend(records: Sequence[Record]) -> str:
    """Says why there are dashes."""
    said = {
        "would take": "a run was expected to take too long",
        "needs": "it would need too much memory",
        "no time": "no time was left",
        "failed": "it failed at a shorter n",
        "no gradient": "it has no gradient",
        "TooLong": "it does not take so long a list",
        "ValueError": "it has no P",
    }
    reasons = {m.get("skipped", "") for r in records for m in (r["ours"], *r["peers"].values())}
    found = [text for start, text in said.items() if any(r.startswith(start) for r in reasons)]
    return f"A dash: {'; or '.join(found)}." if found else ""


def _panel(records: Sequence[Record], batch_size: int) -> list[str]:
    """The tables of values or of P, in one direction: times, then peers."""
    sizes = _sizes(records)
    heads = _heads(sizes, batch_size)
    shares = any(share(r) is not None for r in records)
    parts = []
    if shares:
        parts.append(_moved(records))
    rows: dict[tuple[str, ...], dict[Size, str]] = {}
    for r in records:
        rows.setdefault((f"`{r['spec']}`",), {})[r["n"], r["batch"]] = _time(r)
    parts.append(_grid(["operator"], heads, sizes, rows))
    if beside := _beside(records):
        parts += [BESIDE, _grid(["operator", "beside"], heads, sizes, beside)]
    return parts


def _moved(records: Sequence[Record]) -> str:
    """Says what the shares are of, and how far that varied from operator to operator."""
    moved = "written" if records[0]["direction"] == "forward" else "copied"
    took = [(r["n"], r["memory"]["seconds"]) for r in records if share(r) is not None]
    n = max(n for n, _ in took)
    times = [1e3 * seconds for length, seconds in took if length == n]
    return (
        f"In brackets the share, in percent, of the speed at which an array like P is {moved} into "
        f"memory that is new to the process. At n = {n:,} that took {min(times):.2g} to "
        f"{max(times):.2g} ms. What finds memory that the process has kept can be faster."
    )


def _beside(
    records: Sequence[Record], named: Sequence[str] = ("spec",), without: Sequence[str] = ()
) -> dict[tuple[str, ...], dict[Size, str]]:
    """The peers' ratios, the operator that is ahead by the least first; the yardstick's at last."""
    rows: dict[tuple[str, ...], dict[Size, str]] = {}
    logs: dict[tuple[str, ...], list[float]] = {}
    for r in records:
        for name, measured in r["peers"].items():
            if name in without:
                continue
            row = (*(f"`{r[key]}`" for key in named), name)
            if "ratio" in measured:
                logs.setdefault(row, []).append(math.log(measured["ratio"]))
            rows.setdefault(row, {})[r["n"], r["batch"]] = ratio(measured)
    ranked = sorted(logs, key=lambda row: (row[-1] == YARDSTICK, sum(logs[row]) / len(logs[row])))
    failed = [row for row in rows if row not in logs and "failed" in rows[row].values()]
    return {row: rows[row] for row in (*ranked, *failed)}


def _behind(records: Sequence[Record]) -> str:
    """Where a peer takes less time than the operator, and not only by chance."""
    found = []
    for r in records:
        for name, measured in r["peers"].items():
            if (
                name not in NO_PEERS
                and measured.get("ratio_high", measured.get("ratio", 1.0)) < 1.0
            ):
                what = TITLES.get((r["what"], r["direction"]), f"`{r['what']}` with gradient")
                cells = (f"`{r['spec']}`", name, what, f"{r['n']:,}", ratio(measured))
                found.append((measured["ratio"], cells))
    if not found:
        return ""
    rows = [cells for _, cells in sorted(found)]
    table = markdown(["operator", "beside", "what", "n", "times ours"], rows[:MOST_BEHIND])
    more = len(rows) - MOST_BEHIND
    return f"{table}\n\n{more} smaller gaps are not shown." if more > 0 else table


def _selections(records: Sequence[Record], batch_size: int) -> list[str]:
    """Time and memory of what picks of a list, and of the same through the whole P."""
    sizes = _sizes(records)
    heads = _heads(sizes, batch_size)
    rows: dict[tuple[str, ...], dict[Size, str]] = {}
    for r in records:
        ours, whole = r["ours"], r["peers"].get(WHOLE, {})
        if "seconds" not in ours:
            continue
        cell = f"{1e3 * ours['seconds']:.3g}"
        if "ratio" in whole:
            cell += f" [{whole['ratio']:.2g}, {whole['bytes'] / max(ours['bytes'], 1):.2g}]"
        rows.setdefault((f"`{r['what']}`", f"`{r['spec']}`"), {})[r["n"], r["batch"]] = cell
    parts = [
        f"**Selections**, with the gradient: the {PICKED} largest (`top_k`, "
        f"`top_k_mask`), the quantile {QUANTILE}, rows of {WIDTH} numbers (`sort_by`). In brackets "
        "how many times the time, and the planned memory, through the whole P is:",
        _grid(["function", "operator"], heads, sizes, rows),
    ]
    if beside := _beside(records, ("what", "spec"), NO_PEERS):
        parts += [BESIDE, _grid(["function", "operator", "beside"], heads, sizes, beside)]
    return parts


def _compilation(records: Sequence[Record]) -> str:
    """The longest compilations of each operator."""
    longest: dict[str, dict[tuple[str, str], tuple[float, int]]] = {}
    for r in records:
        panel = (r["what"], r["direction"])
        if panel in TITLES and "ready_seconds" in r["ours"]:
            row = longest.setdefault(f"`{r['spec']}`", {})
            row[panel] = max(row.get(panel, (0.0, 0)), (r["ours"]["ready_seconds"], r["n"]))
    rows = []
    for spec, row in longest.items():
        known = [f"{row[p][0]:.1f} [{row[p][1]:,}]" if p in row else "-" for p in TITLES]
        rows.append([spec, *known])
    return markdown(["operator", *TITLES.values()], rows)


def _sizes(records: Sequence[Record]) -> list[Size]:
    return sorted({(r["n"], r["batch"]) for r in records})


def _heads(sizes: Sequence[Size], batch_size: int) -> list[str]:
    return [
        f"n = {n:,}" + ("" if batch == batch_size else f", {batch} in a call") for n, batch in sizes
    ]


def _grid(
    first: Sequence[str],
    heads: Sequence[str],
    sizes: Sequence[Size],
    rows: dict[tuple[str, ...], dict[Size, str]],
) -> str:
    return markdown(
        [*first, *heads],
        [[*row, *(cells.get(size, "-") for size in sizes)] for row, cells in rows.items()],
    )


def _time(record: Record) -> str:
    if "seconds" not in record["ours"]:
        return "-"
    text, part = f"{1e3 * record['ours']['seconds']:.3g}", share(record)
    return text if part is None else f"{text} [{100 * part:.0f}]"


def ratio(measured: dict[str, Any]) -> str:
    """A peer's time over ours, with its quartiles where two digits tell them apart."""
    if "failed" in measured:
        return "failed"
    if "ratio" not in measured:
        return "-"
    text = f"{measured['ratio']:.2g}"
    ends = [f"{measured[end]:.2g}" for end in ("ratio_low", "ratio_high") if end in measured]
    return text if {*ends} <= {text} else f"{text} [{', '.join(ends)}]"
