# SPDX-License-Identifier: Apache-2.0
"""Times quadratic programs with their gradients, beside qpax and qpth where these are installed.

  python -m experiments.benchmarks.quadratic
  python -m experiments.benchmarks.quadratic --lengths=10,50 --batch_size=32 --dtypes=float32

A batch of random programs with n variables and n inequalities is solved, and a weighted sum of the
solutions differentiated by Q, p, G and h. All programs of a length take turns in one process.
Writes medians in seconds to `--out`. Nothing else should run on the machine. qpax runs with the
backend whose gradients are right, at its own tolerances.
"""

import functools
import importlib.util
import os
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from arlsort import quadratic
from experiments.benchmarks import timing
from experiments.common import storage
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_choices,
    check_out,
    definers,
    read_lengths,
)
from experiments.common.reports import git_commit, machine, markdown

OWN, PEERS, DTYPES = "arlsort", ("qpax", "qpth"), ("float32", "float64")

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("lengths", ["10", "20", "50", "100", "200"], "Variables, and inequalities.")
define.list("dtypes", list(DTYPES), "Precisions.")
define.list("peers", list(PEERS), "What to compare with, if it is installed; empty for nothing.")
define.integer("batch_size", 128, "Programs in a call.")
define.integer("repeats", 5, "Calls of each program, in turn.")
define.string("out", "runs/benchmark_quadratic.json", "Where to write.")


def random_programs(n: int, rows: int) -> tuple[np.ndarray, ...]:
    """Q, p, G and h of programs with n inequalities, and weights of the solutions."""
    rng = np.random.default_rng(n)
    root, inside = rng.normal(size=(rows, n, n)) / np.sqrt(n), rng.normal(size=(rows, n))
    G = rng.normal(size=(rows, n, n))
    h = np.einsum("rmn,rn->rm", G, inside) + rng.uniform(size=(rows, n))
    Q = root @ root.mT + 0.1 * np.eye(n)
    return Q, rng.normal(size=(rows, n)), G, h, rng.normal(size=(rows, n))


def _own(arrays: tuple[np.ndarray, ...]) -> timing.Program:
    *program, weights = map(jnp.asarray, arrays)

    def loss(program: list[jax.Array]) -> jax.Array:
        return (weights * quadratic.solve(*program).z).sum()

    return functools.partial(jax.jit(jax.value_and_grad(loss)), program)


def _qpax(arrays: tuple[np.ndarray, ...]) -> timing.Program:
    import qpax

    *program, weights = map(jnp.asarray, arrays)
    n, dtype = weights.shape[-1], weights.dtype
    no_rows, no_bounds = jnp.zeros((0, n), dtype), jnp.zeros(0, dtype)

    def one(Q: jax.Array, p: jax.Array, G: jax.Array, h: jax.Array) -> jax.Array:
        return qpax.solve_qp_primal(Q, p, no_rows, no_bounds, G, h, backend="i")

    def loss(program: list[jax.Array]) -> jax.Array:
        return (weights * jax.vmap(one)(*program)).sum()

    return functools.partial(jax.jit(jax.value_and_grad(loss)), program)


def _qpth(arrays: tuple[np.ndarray, ...]) -> timing.Program:
    import torch
    from qpth.qp import QPFunction

    torch.set_num_threads(os.cpu_count() or 1)
    *program, weights = map(torch.tensor, arrays)
    none = torch.empty(0, dtype=weights.dtype)
    solver = QPFunction(verbose=-1, check_Q_spd=False)

    def run() -> Any:
        leaves = [part.clone().requires_grad_() for part in program]
        (weights * solver(*leaves, none, none)).sum().backward()
        return [leaf.grad.numpy() for leaf in leaves]

    return run


MAKERS = {OWN: _own, "qpax": _qpax, "qpth": _qpth}


def case(n: int, dtype: str, names: list[str]) -> dict[str, Any]:
    """Medians at one length and precision."""
    with jax.enable_x64(dtype == "float64"):
        arrays = tuple(a.astype(dtype) for a in random_programs(n, FLAGS.batch_size))
        programs = {name: MAKERS[name](arrays) for name in names}
        return {"n": n, "dtype": dtype, "seconds": timing.medians(programs, FLAGS.repeats)}


def table(report: dict[str, Any]) -> str:
    """Renders milliseconds, and in brackets times of ours."""
    names = list(report["cases"][0]["seconds"])
    rows = []
    for one in report["cases"]:
        seconds = one["seconds"]
        cells = [
            f"{1e3 * seconds[name]:.3g} [{seconds[name] / seconds[OWN]:.2g}]" for name in names
        ]
        rows.append([str(one["n"]), one["dtype"], *cells])
    return markdown(["n", "precision", *names], rows)


def main() -> None:
    """Measures, prints, writes."""
    for name in ("batch_size", "repeats"):
        check_at_least(FLAGS, name, 1)
    check_choices(FLAGS, "dtypes", DTYPES)
    check_choices(FLAGS, "peers", PEERS)
    out, lengths = check_out(FLAGS), read_lengths(FLAGS, "lengths")
    found = [name for name in FLAGS.peers if importlib.util.find_spec(name) is not None]
    report = {
        "config": {"batch_size": FLAGS.batch_size, "repeats": FLAGS.repeats},
        "commit": git_commit(),
        "machine": machine(),
        "cases": [case(n, dtype, [OWN, *found]) for n in lengths for dtype in FLAGS.dtypes],
    }
    storage.write_json(out, report)
    print(f"{table(report)}\n\n{out}")


SCRIPT = Script("benchmark_quadratic", __doc__, FLAGS, main, (OSError, ValueError))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
