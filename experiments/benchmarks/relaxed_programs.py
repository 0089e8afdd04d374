# SPDX-License-Identifier: Apache-2.0
"""Times relaxed bubble sort, written in the language and as it ships, beside AlgoVision's.

  python -m experiments.benchmarks.relaxed_programs
  python -m experiments.benchmarks.relaxed_programs --lengths=5,10 --repeats=30

A call is the mean number of swaps of a batch and its gradient by the scores. All programs of a
length take turns in one process. Writes medians and minima in seconds to `--out`, with what ours
take to compile and how much memory they use, and prints how many times as fast ours are. Without
the package `algovision` (extra `[peers]`) ours are measured alone. Nothing else should run on the
machine.
"""

import functools
import importlib.metadata
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import flags

from arlsort import programs
from arlsort.programs import algorithms
from experiments.benchmarks import timing
from experiments.common import storage
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_out,
    definers,
    read_lengths,
)
from experiments.common.reports import git_commit, machine, markdown

BETA = 8.0  # of its authors' experiment on sorting supervision
PACKAGE = "algovision"
OURS = ("language", "shipped")

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("lengths", ["5", "10", "16", "32"], "Lengths of the lists.")
define.integer("batch_size", 100, "Lists in a call.")
define.integer("repeats", 15, "Calls of each program, in turn; ten times as many of ours.")
define.string("out", "runs/benchmark_relaxed_programs.json", "Where to write.")


def ours() -> dict[str, Callable[[jax.Array], jax.Array]]:
    """The number of swaps of lists `[b, n]`, by name."""
    language = jax.vmap(
        functools.partial(_swaps, programs.relaxed(algorithms.bubble_sort_in_steps))
    )
    return {"language": language, "shipped": functools.partial(_swaps, algorithms.bubble_sort)}


def _swaps(sort: Callable[..., tuple[jax.Array, jax.Array]], x: jax.Array) -> jax.Array:
    return sort(x, temperature=1 / BETA)[1]


def _mean(swaps: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    return swaps(x).mean()


def package_program(x: np.ndarray) -> timing.Program:
    """A call of the package: the mean and its gradient.

    The program is after the bubble sort in the README of the package, which has the MIT licence.
    """
    import algovision as v
    import torch

    scores = torch.tensor(x, requires_grad=True)
    swap = [
        v.Let("array", [lambda i: i + 1], "a"),
        v.Let("array", ["i"], "b"),
        v.Let("swapped", 1.0),
        v.Let("swaps", lambda swaps: swaps + 1.0),
    ]
    one_pass = v.For(
        "i",
        "n",
        v.Let("a", "array", ["i"]),
        v.Let("b", "array", [lambda i: i + 1]),
        v.If(v.GT("a", "b"), if_true=swap),
    )
    sort = v.Algorithm(
        v.Input("array"),
        *(v.Var(name, torch.tensor(0.0)) for name in ("a", "b", "swaps")),
        v.Var("swapped", torch.tensor(1.0)),
        v.VarInt("n", lambda array: array.shape[1] - 1),
        v.While(v.IsTrue("swapped"), v.Let("swapped", 0), one_pass, v.LetInt("n", lambda n: n - 1)),
        v.Output("swaps"),
        beta=BETA,
    )

    def call() -> Any:
        scores.grad = None
        mean = sort(scores).mean()
        mean.backward()
        return mean.item()

    return call


def case(n: int, batch_size: int, repeats: int) -> dict[str, Any]:
    """Seconds at one length; of ours also those of compiling, and bytes of memory."""
    x = jax.random.normal(jax.random.key(n), (batch_size, n))
    calls: dict[str, timing.Program] = {}
    found: dict[str, dict[str, Any]] = {}
    for name, swaps in ours().items():
        start = time.perf_counter()
        compiled = jax.jit(jax.value_and_grad(functools.partial(_mean, swaps))).lower(x).compile()
        memory = compiled.memory_analysis()
        found[name] = {
            "compile_seconds": time.perf_counter() - start,
            "bytes": getattr(memory, "temp_size_in_bytes", None),
            "mean": float(compiled(x)[0]),
        }
        calls[name] = functools.partial(_several, compiled, x)
    if importlib.util.find_spec(PACKAGE):
        calls[PACKAGE] = package_program(np.asarray(x))
        found[PACKAGE] = {"mean": calls[PACKAGE]()}
    for name, seconds in timing.in_turn(calls, repeats).items():
        each = [one / (REPEATED if name in OURS else 1) for one in seconds]
        found[name] |= {"seconds": statistics.median(each), "fastest": min(each)}
    return {"n": n, "programs": found}


REPEATED = 10
"""Calls of ours in each turn: one alone is too short to time beside a second of another."""


def _several(compiled: Callable[[jax.Array], Any], x: jax.Array) -> Any:
    for _ in range(REPEATED - 1):
        jax.block_until_ready(compiled(x))
    return compiled(x)


def table(report: dict[str, Any]) -> str:
    """Renders milliseconds, and how many times as fast as the package ours are."""
    titles = ["n", "algovision, ms"]
    titles += [f"{name}, {unit}" for name in OURS for unit in ("ms", "times", "compile, s", "MB")]
    rows = []
    for one in report["cases"]:
        found = one["programs"]
        package = found.get(PACKAGE, {}).get("seconds")
        row = [str(one["n"]), f"{1e3 * package:.3g}" if package else "-"]
        for name in OURS:
            own = found[name]
            times = f"{package / own['seconds']:.0f}" if package else "-"
            megabytes = f"{own['bytes'] / 1e6:.2g}" if own["bytes"] is not None else "-"
            milliseconds, ready = f"{1e3 * own['seconds']:.3g}", f"{own['compile_seconds']:.1f}"
            row += [milliseconds, times, ready, megabytes]
        rows.append(row)
    return markdown(titles, rows)


def main() -> None:
    """Measures, prints, writes."""
    for name in ("batch_size", "repeats"):
        check_at_least(FLAGS, name, 1)
    out, lengths = check_out(FLAGS), read_lengths(FLAGS, "lengths")
    known = importlib.util.find_spec(PACKAGE) is not None
    report = {
        "config": {"batch_size": FLAGS.batch_size, "repeats": FLAGS.repeats, "beta": BETA},
        "package": f"{PACKAGE} {importlib.metadata.version(PACKAGE)}" if known else None,
        "commit": git_commit(),
        "machine": machine(),
        "cases": [case(n, FLAGS.batch_size, FLAGS.repeats) for n in lengths],
    }
    storage.write_json(out, report)
    print(f"{table(report)}\n\n{out}")


SCRIPT = Script("benchmark_relaxed_programs", __doc__, FLAGS, main, (OSError, ValueError))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
