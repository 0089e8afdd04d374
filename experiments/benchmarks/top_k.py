# SPDX-License-Identifier: Apache-2.0
"""Times the rows of the k largest alone, and their mask, beside the first k rows of the whole P.

  python -m experiments.benchmarks.top_k
  python -m experiments.benchmarks.top_k --operators=lapsum,softsort --n=200 --batch_size=8

Every program computes its result and the gradient of a weighted sum of it. Those of an operator
take turns. Memory is what XLA plans: temporary arrays and results. Writes the report to `--out`.
Nothing else should run on the machine.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

import arlsort
from arlsort import operators
from experiments.benchmarks import timing
from experiments.common import storage
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_choices,
    check_out,
    definers,
    refused,
)
from experiments.common.reports import git_commit, machine, markdown

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("operators", ["lapsum", "softsort", "neuralsort", "bitonic"], "Registered names.")
define.integer("n", 1000, "Length of the lists.")
define.integer("k", 5, "How many are picked.")
define.integer("batch_size", 64, "Lists in a call.")
define.integer("repeats", 7, "Calls of each program, in turn.")
define.string("out", "runs/benchmark_top_k.json", "Where to write.")

WHOLE, ALONE, MASK = "first rows of P", "rows alone", "mask alone"


def functions(name: str, k: int) -> dict[str, Callable[[jax.Array], tuple[jax.Array, ...]]]:
    """What is compared, of scores `[b, n]`."""
    operator = operators.get(name)

    def whole(x: jax.Array) -> tuple[jax.Array, ...]:
        values, weights = operator(x, descending=True)
        return values[:, :k], weights[:, :k]

    return {
        WHOLE: whole,
        ALONE: lambda x: arlsort.top_k(x, k, operator),
        MASK: lambda x: (arlsort.top_k_mask(x, k, operator),),
    }


def case(name: str, n: int, k: int, batch_size: int, repeats: int) -> dict[str, Any]:
    """Seconds and bytes of each program of an operator."""
    x = jax.random.normal(jax.random.key(n), (batch_size, n))
    programs: dict[str, timing.Program] = {}
    memory = {}
    for title, function in functions(name, k).items():
        shapes = jax.eval_shape(function, x)
        pulls = tuple(jax.random.normal(jax.random.key(1), part.shape) for part in shapes)

        def weighted(
            x: jax.Array, pulls: tuple[jax.Array, ...], function: Callable = function
        ) -> jax.Array:
            return sum(
                (jnp.vdot(*pair) for pair in zip(function(x), pulls, strict=True)), jnp.zeros(())
            )

        compiled: Any = jax.jit(jax.value_and_grad(weighted)).lower(x, pulls).compile()
        analysis = compiled.memory_analysis()
        memory[title] = analysis.temp_size_in_bytes + analysis.output_size_in_bytes
        programs[title] = functools.partial(compiled, x, pulls)
    seconds = timing.medians(programs, repeats)
    return {"operator": name, "seconds": seconds, "bytes": memory}


def table(report: dict[str, Any]) -> str:
    """Renders time and memory, and in brackets how many times less than that of the whole P."""
    rows = []
    for one in report["cases"]:
        cells = [f"`{one['operator']}`"]
        for title in (WHOLE, ALONE, MASK):
            seconds, used = one["seconds"], one["bytes"]
            faster = seconds[WHOLE] / max(seconds[title], 1e-9)
            smaller = used[WHOLE] / max(used[title], 1)
            cells.append(
                f"{1e3 * seconds[title]:.3g} ms [{faster:.3g}], "
                f"{used[title] / 1e6:.3g} MB [{smaller:.3g}]"
            )
        rows.append(cells)
    return markdown(["operator", WHOLE, ALONE, MASK], rows)


def main() -> None:
    """Measures, prints, writes."""
    for name in ("n", "k", "batch_size", "repeats"):
        check_at_least(FLAGS, name, 1)
    check_choices(FLAGS, "operators", operators.names())
    if FLAGS.k > FLAGS.n:
        raise refused("k", FLAGS.k, f"at most n, {FLAGS.n}")
    out = check_out(FLAGS)
    config = {name: getattr(FLAGS, name) for name in ("n", "k", "batch_size", "repeats")}
    report = {
        "config": config,
        "commit": git_commit(),
        "machine": machine(),
        "cases": [case(name, **config) for name in FLAGS.operators],
    }
    storage.write_json(out, report)
    print(f"{table(report)}\n\n{out}")


SCRIPT = Script("benchmark_top_k", __doc__, FLAGS, main, (OSError, ValueError))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
