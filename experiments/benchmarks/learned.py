# SPDX-License-Identifier: Apache-2.0
"""Times the learned sorts beside a sorting network, and their likelihoods beside the exact one.

  python -m experiments.benchmarks.learned
  python -m experiments.benchmarks.learned --lengths=5,15 --batch_size=32

All programs of a length take turns in one process. Writes medians in seconds to `--out`, and prints
them with their ratios to the network's and the exact likelihood's. Nothing else should run on the
machine.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from arlsort import AmortizedSort, LearnedSort, SortingNetwork, cauchy_log_likelihood
from arlsort.numerics.mean_permutation import mean_permutation
from experiments.benchmarks import timing
from experiments.common import storage
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_out,
    definers,
    read_lengths,
    refused,
)
from experiments.common.reports import git_commit, machine, markdown

RIVAL, EXACT = "odd_even", "exact likelihood"
LONGEST, LONGEST_OF_ORDERS, LONGEST_EXECUTED = 64, 32, 16
TEMPERATURE = 0.1

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("lengths", ["5", "15", "32", "64"], "Lengths of the lists, up to 64.")
define.integer("batch_size", 100, "Lists in a call.")
define.integer("repeats", 15, "Calls of each program, in turn.")
define.string("out", "runs/benchmark_learned.json", "Where to write.")


def permutations(n: int) -> dict[str, Callable[[jax.Array], jax.Array]]:
    """Functions that compute P of scores `[b, n]`, by name."""
    given: dict[str, Callable[[jax.Array], jax.Array]] = {
        RIVAL: SortingNetwork("odd_even", temperature=TEMPERATURE).permutation,
        "amortized": AmortizedSort(temperature=TEMPERATURE, normalize=False).permutation,
        "exact mean": lambda x: mean_permutation(x / TEMPERATURE),
    }
    if n <= LONGEST_EXECUTED:
        given["learned"] = LearnedSort(temperature=TEMPERATURE, normalize=False).permutation
    return given


def likelihoods(n: int) -> dict[str, Callable[[jax.Array, jax.Array], jax.Array]]:
    """Functions that compute the log-likelihood of orders of scores, both `[b, n]`, by name."""
    fields: dict[str, Any] = {"temperature": TEMPERATURE, "normalize": False, "noise": "cauchy"}
    given: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
        EXACT: functools.partial(cauchy_log_likelihood, temperature=TEMPERATURE)
    }
    if n <= LONGEST_OF_ORDERS:
        given["amortized"] = AmortizedSort(**fields).log_likelihood
    if n <= LONGEST_EXECUTED:
        given["learned"] = LearnedSort(**fields).log_likelihood
    return given


def _total(
    likelihood: Callable[[jax.Array, jax.Array], jax.Array], order: jax.Array, x: jax.Array
) -> jax.Array:
    return jnp.sum(likelihood(x, order))


def _weighted_sum(
    permutation: Callable[[jax.Array], jax.Array], pull: jax.Array, x: jax.Array
) -> jax.Array:
    return jnp.vdot(pull, permutation(x))


def case(n: int, batch_size: int, repeats: int) -> dict[str, Any]:
    """Medians at one length: of P and of likelihoods, alone and with a gradient."""
    key = jax.random.key(n)
    x = jax.random.uniform(key, (batch_size, n))
    pull = jax.random.normal(key, (batch_size, n, n))
    programs: dict[str, timing.Program] = {}
    for name, permutation in permutations(n).items():
        weighted = functools.partial(_weighted_sum, permutation, pull)
        programs[name] = functools.partial(jax.jit(permutation), x)
        programs[f"{name}, gradient"] = functools.partial(jax.jit(jax.value_and_grad(weighted)), x)
    order = jnp.argsort(x + TEMPERATURE * jax.random.cauchy(key, x.shape), axis=-1)
    of_orders: dict[str, timing.Program] = {}
    for name, likelihood in likelihoods(n).items():
        total = functools.partial(_total, likelihood, order)
        of_orders[name] = functools.partial(jax.jit(total), x)
        of_orders[f"{name}, gradient"] = functools.partial(jax.jit(jax.value_and_grad(total)), x)
    return {
        "n": n,
        "seconds": timing.medians(programs, repeats),
        "likelihoods": timing.medians(of_orders, repeats),
    }


def table(report: dict[str, Any], part: str = "seconds", rival: str = RIVAL) -> str:
    """Renders milliseconds, alone and with gradient, and in brackets times of the rival's.

    Args:
      report: What was measured.
      part: `"seconds"`, of P, or `"likelihoods"`.
      rival: What the others are divided by.
    """
    names = list(report["cases"][0][part])
    names = [name for name in names if not name.endswith(", gradient")]
    rows = []
    for one in report["cases"]:
        seconds, row = one[part], [str(one["n"])]
        for name in names:
            cells = []
            for end in ("", ", gradient"):
                if name + end in seconds:
                    ratio = seconds[name + end] / seconds[rival + end]
                    times = f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"
                    cells.append(f"{1e3 * seconds[name + end]:.3g} [{times}]")
            row.append(" / ".join(cells) or "-")
        rows.append(row)
    return markdown(["n", *names], rows)


def main() -> None:
    """Measures, prints, writes."""
    for name in ("batch_size", "repeats"):
        check_at_least(FLAGS, name, 1)
    out, lengths = check_out(FLAGS), read_lengths(FLAGS, "lengths")
    if max(lengths, default=0) > LONGEST:
        raise refused("lengths", max(lengths), f"at most {LONGEST}")
    report = {
        "config": {"batch_size": FLAGS.batch_size, "repeats": FLAGS.repeats},
        "commit": git_commit(),
        "machine": machine(),
        "cases": [case(n, FLAGS.batch_size, FLAGS.repeats) for n in lengths],
    }
    storage.write_json(out, report)
    print(f"{table(report)}\n\n{table(report, 'likelihoods', EXACT)}\n\n{out}")


SCRIPT = Script("benchmark_learned", __doc__, FLAGS, main, (OSError, ValueError))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
