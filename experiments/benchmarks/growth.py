# SPDX-License-Identifier: Apache-2.0
"""How time and memory of the reasoner grow with the length of the list.

Insertion sort takes n - 1 steps. A step costs n² h² multiply-adds for its products on pairs, with h
the hidden size, and n³ t sums and maxima for its triplets, with t the triplet features: time should
grow with n³ where products rule and n⁴ where triplets do. The triplets' sums are never stored, so a
step works in n² (h + t) numbers; that is what a prediction needs, and a gradient keeps it for each
step: memory should grow with n² and n³.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from arlsort.operators.learned import LearnedSort
from arlsort.reasoner import training
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from experiments.benchmarks import timing

LONG = 5.0  # seconds of a run that is not repeated
MEASURES = {  # of a report, and what they are called in a figure
    "forward": "learned sort, P",
    "backward": "learned sort, P and its gradient",
    "training": "training step, one list",
}


def sorting(lengths: Sequence[int], repeats: int) -> dict[str, list[dict[str, float]]]:
    """P of one list with the shipped weights, forward, and forward and backward."""
    operator = LearnedSort(allow_extrapolation=True)
    found: dict[str, list[dict[str, float]]] = {"forward": [], "backward": []}
    for n in lengths:
        keys = jax.random.split(jax.random.key(n))
        x, mix = jax.random.normal(keys[0], (1, n)), jax.random.normal(keys[1], (1, n, n))

        def total(x: jax.Array, mix: jax.Array = mix) -> jax.Array:
            return jnp.sum(operator.permutation(x) * mix)

        for name, function in (("forward", total), ("backward", jax.grad(total))):
            found[name].append({"n": n, **_measured(jax.jit(function), (x,), repeats)})
    return found


def learning(lengths: Sequence[int], repeats: int) -> list[dict[str, float]]:
    """A training step on one list, with the settings of the shipped checkpoints."""
    config, found = ReasonerConfig(), []
    for n in lengths:
        settings = TrainingConfig(lengths=(n,), batch_size=1)
        step = training.make_step(config, settings)
        state = training.init(config, settings)
        once = jax.jit(lambda state, step=step, n=n: step(state, n))  # keeps the state
        found.append({"n": n, **_measured(once, (state,), repeats)})
    return found


def _measured(function: Any, arguments: tuple, repeats: int) -> dict[str, float]:
    """Median seconds of a compiled function, and the bytes it works in."""
    compiled = function.lower(*arguments).compile()
    seconds = timing.medians(
        {"it": lambda: compiled(*arguments)}, lambda first: 0 if first > LONG else repeats
    )
    return {"seconds": seconds["it"], "bytes": compiled.memory_analysis().temp_size_in_bytes}


def exponent(points: Sequence[dict[str, float]], of: str) -> float:
    """Least-squares slope of log of a measure over log n, on the upper half of the lengths."""
    upper = _upper(points)
    xs = [math.log(point["n"]) for point in upper]
    ys = [math.log(point[of]) for point in upper]
    x, y = statistics.fmean(xs), statistics.fmean(ys)
    above = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    return above / sum((a - x) ** 2 for a in xs)


def _upper(points: Sequence[dict[str, float]]) -> Sequence[dict[str, float]]:
    return points[len(points) // 2 :] if len(points) > 3 else points


def exponents(report: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The fitted exponents of time and memory of each measure with two lengths or more."""
    return {
        name: {of: exponent(points, of) for of in ("seconds", "bytes")}
        for name, points in report.items()
        if len(points) > 1
    }


def terms(n: int, of: str) -> dict[str, float]:
    """The terms of the theory for the shipped network, and how each grows.

    Args:
      n: Length of the list.
      of: `"seconds"`: operations; `"bytes"`: numbers stored.
    """
    config = ReasonerConfig()
    h, t = config.hidden_size, config.nb_triplet_fts
    if of == "seconds":
        return {"n² h² (n - 1)": n**2 * h**2 * (n - 1), "n³ t (n - 1)": n**3 * t * (n - 1)}
    return {"n² (h + t)": n**2 * (h + t), "n² (h + t) (n - 1)": n**2 * (h + t) * (n - 1)}


def table(report: dict[str, Any]) -> str:
    """The exponents, as Markdown."""
    lines = [
        "| what | n | time grows with | in theory | memory grows with | in theory |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, fitted in exponents(report).items():
        upper = _upper(report[name])
        lines.append(
            f"| {MEASURES[name]} | {upper[0]['n']} to {upper[-1]['n']} "
            f"| n^{fitted['seconds']:.2f} | n^3 to n^4 "
            f"| n^{fitted['bytes']:.2f} | n^{2 if name == 'forward' else 3} |"
        )
    return "\n".join(lines)
