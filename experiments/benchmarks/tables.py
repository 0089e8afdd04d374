# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks measured, as Markdown: the operators' speed and the reasoner's."""

from typing import Any

from arlsort.reasoner.config import REMATS
from experiments.benchmarks import growth

Cells = dict[tuple[str, ...], dict[tuple[int, int], str]]  # of a table's rows, by n and batch

OPERATOR_TITLES = {
    ("values", "forward"): "Values",
    ("values", "backward"): "Values and their gradient",
    ("permutation", "forward"): "P",
    ("permutation", "backward"): "P and its gradient",
}


def operators_table(report: dict[str, Any]) -> str:
    """Renders what `experiments/benchmarks/operators.py` measured, as Markdown."""
    config, device = report["config"], report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in report["peers"].items())
    lines = [
        f"float32, {device['device']} with {device['cpus']} cores; medians in milliseconds, in "
        f"brackets seconds to compile. Lists in a call: {config['batch_size']}, fewer where it is "
        f"said. jax {device['jax']}; beside {versions or 'no other package'}.",
    ]
    for (what, direction), title in OPERATOR_TITLES.items():
        own = [r for r in report["records"] if (r["what"], r["direction"]) == (what, direction)]
        if own:
            lines += ["", f"**{title}**", *_panel(own, config["batch_size"])]
    unlike = [d for d in report["deviations"] if not d["alike"] and "deviation" in d]
    if unlike:
        lines += [
            "",
            "Other functions to the same end, and how far they are from ours on lists of eight "
            "normal scores:",
            "",
            "| operator | beside | what | largest difference |",
            "| --- | --- | --- | --- |",
        ]
    for d in unlike:
        cells = (f"`{d['operator']}`", d["peer"], d["what"], f"{d['deviation']:.2g}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _panel(records: list[dict[str, Any]], batch_size: int) -> list[str]:
    """The tables of values or of P, in one direction: times, bytes moved, and peers."""
    sizes = sorted({(r["n"], r["batch"]) for r in records})
    heads = [
        f"n = {n:,}" + ("" if batch == batch_size else f", {batch} in a call") for n, batch in sizes
    ]
    times: Cells = {}
    moved: Cells = {}
    beside: Cells = {}
    for r in records:
        size, spec = (r["n"], r["batch"]), f"`{r['spec']}`"
        times.setdefault((spec,), {})[size] = _milliseconds(r["ours"])
        if "floor_bytes" in r:
            moved.setdefault((spec,), {})[size] = _bandwidth(r)
        for name, measured in r["peers"].items():
            beside.setdefault((spec, name), {})[size] = _ratio(measured)

    def table(first: tuple[str, ...], rows: Cells) -> list[str]:
        lines = ["", f"| {' | '.join((*first, *heads))} |"]
        lines.append("|" + " --- |" * (len(first) + len(heads)))
        for row, cells in rows.items():
            lines.append(f"| {' | '.join((*row, *(cells.get(size, '-') for size in sizes)))} |")
        return lines

    lines = table(("operator",), times)
    if moved:
        read = ", its cotangent read once" if records[0]["direction"] == "backward" else ""
        lines += ["", f"GB/s of the bytes that must be moved, P written once{read}:"]
        lines += table(("operator",), moved)
    if beside:
        lines += ["", "In times of the operator's time, above 1 where the operator is faster:"]
        lines += table(("operator", "beside"), beside)
    return lines


def _milliseconds(measured: dict[str, Any]) -> str:
    if "seconds" not in measured:
        return "-"
    return f"{1e3 * measured['seconds']:.3g} [{measured['ready_seconds']:.1f}]"


def _bandwidth(record: dict[str, Any]) -> str:
    if "seconds" not in record["ours"]:
        return "-"
    return f"{record['floor_bytes'] / record['ours']['seconds'] / 1e9:.2g}"


def _ratio(measured: dict[str, Any]) -> str:
    if "failed" in measured:
        return "failed"
    return f"{measured['ratio']:.2g}" if "ratio" in measured else "-"


def speed_table(report: dict[str, Any]) -> str:
    """Renders what `experiments/benchmarks/reasoner.py` measured, as Markdown."""
    config, device = report["config"], report["machine"]
    lines = [
        f"Batch {config['batch_size']}, hidden {config['hidden_size']}, float32, "
        f"{device['device']} with {device['cpus']} cores; medians of {config['repeats']} runs in "
        "turn, as ratios to `clrs.models.BaselineModel`.",
        "",
        "| algorithm | n | training step | memory of a step | prediction | products alone |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for case in report["reasoner"]:
        s = case["seconds"]
        lines.append(
            f"| {case['algorithm']} | {case['n']} "
            f"| {s['their_step'] / s['our_step']:.1f} times as fast "
            f"| {case['our_bytes'] / case['their_bytes']:.2f} of theirs "
            f"| {s['their_prediction'] / s['our_prediction']:.1f} times as fast "
            f"| {s['their_prediction'] / s['products']:.1f} |"
        )
    if report["sampler"]:
        lines += ["", "Traces a second, beside CLRS's samplers:", ""]
        lines += ["| algorithm | n | times as many |", "| --- | --- | --- |"]
    for case in report["sampler"]:
        traced = case["our_samples_per_second"] / case["their_samples_per_second"]
        lines.append(f"| {case['algorithm']} | {case['n']} | {traced:,.0f} |")
    lines += [
        "",
        f"The learned sort with its shipped weights, P forward and backward, batch "
        f"{config['learned_batch']}, in units of",
        "",
        f"| n | the CNN's dense layers | the CNN's training step | `{report['rival']}` |",
        "| --- | --- | --- | --- |",
    ]
    for case in report["learned"]:
        s = case["seconds"]
        ratios = (f"{s['learned'] / s[other]:.2f}" for other in ("dense", "cnn", "rival"))
        lines.append(f"| {case['n']} | {' | '.join(ratios)} |")
    if any(len(points) > 1 for points in report["growth"].values()):
        lines += [
            "",
            "Fitted on the longer half of the lengths:",
            "",
            growth.table(report["growth"]),
        ]
    for case in report["bfloat16"]:
        lines += [
            "",
            f"With pairs in bfloat16 a step of {case['algorithm']} at n = {case['n']} errs "
            f"by {100 * case['loss']:.2g} % in the loss and {100 * case['gradient']:.2g} % in the "
            "gradient, of its norm.",
        ]
    for case in report["long"]:
        sizes = ", ".join(f"{case[remat] / 1e9:.2f} GB with remat={remat}" for remat in REMATS)
        lines += [
            "",
            f"A training step of {case['algorithm']} at n = {case['n']} ({case['hints']:,} hints, "
            f"lists in a step: {case['lists']}) works in {sizes}.",
        ]
    return "\n".join(lines)
