# SPDX-License-Identifier: Apache-2.0
"""What the benchmark of the reasoner measured, as Markdown."""

from typing import Any

from arlsort.reasoner.config import REMATS
from experiments.benchmarks import growth


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
