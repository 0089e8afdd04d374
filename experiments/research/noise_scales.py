# SPDX-License-Identifier: Apache-2.0
"""How near is the shipped amortised sort where each score has a noise scale of its own?

Scores are uniform; the logarithms of noise scales are normal with a deviation, the *spread*. Its
distance from the exact mean permutation, over the length of the lists and the spread.

  python -m experiments.research.noise_scales
  python -m experiments.research.noise_scales --noises=gaussian --lengths=5 --lists=4 \
    --out=runs/noise_scales_short.json

Results are written after each length.
"""

import functools
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from arlsort import accuracy
from arlsort.amortized import checkpoint
from arlsort.amortized.config import NOISES
from arlsort.numerics import mean_permutation
from arlsort.operators.amortized import AmortizedSort
from experiments.common.command_line import Script, definers
from experiments.common.reports import markdown
from experiments.research import shipped_sorts

SPREADS = (0.5, 1.0)
FINER = 10  # times as many points of the integral as with equal noise scales
SEED = 2026

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("noises", list(NOISES), "Laws of the noise.")
define.list("lengths", ["5", "16", "64"], "Of the lists.")
define.integer("lists", 10, "Lists at each spread and temperature.")
define.string("out", "runs/noise_scales.json", "Where to write.")


def settings() -> dict[str, Any]:
    """Reads and checks the flags; raises FlagError if one is not allowed."""
    shipped_sorts.check(FLAGS)
    weights = {noise: checkpoint.shipped(noise).card["sha256"] for noise in NOISES}
    return {"lists": FLAGS.lists, "weights": weights}


def examine(noise: str, n: int, lists: int) -> dict[str, Any]:
    """Measures at one length."""
    x = accuracy.lists("uniform", n, lists, SEED)
    logs = np.random.default_rng([SEED, n]).normal(size=x.shape)
    rows = []
    for spread in SPREADS:
        scales = np.exp(spread * logs).astype(np.float32)
        for temperature in accuracy.TEMPERATURES:
            operator = AmortizedSort(noise=noise, normalize=False, temperature=temperature)
            found = operator.permutation(jnp.asarray(x), noise_scales=jnp.asarray(scales))
            truth = exact(x / temperature, scales, noise)
            kl, errors = accuracy.apart(truth, np.asarray(found), x)
            row = {"spread": spread, "temperature": temperature, "kl": kl}
            rows.append({**row, "values": float(errors.mean())})
    return {"measured": rows}


def exact(scores: np.ndarray, scales: np.ndarray, noise: str) -> np.ndarray:
    """The mean permutation, a list at a time, for it takes much memory."""
    return np.stack([_exact(*one, noise) for one in zip(scores, scales, strict=True)])


@functools.partial(jax.jit, static_argnames="noise")
def _exact(scores: jax.Array, scales: jax.Array, noise: str) -> jax.Array:
    nodes = FINER * mean_permutation.NODES[noise]
    return mean_permutation.mean_permutation(scores, noise, scales, nodes=nodes)


def table(report: dict[str, Any]) -> str:
    """Renders the distance and the error of values at the worst temperature."""
    rows = []
    for record in report["records"]:
        cells = []
        for spread in SPREADS:
            own = [row for row in record["measured"] if row["spread"] == spread]
            distance, value = (max(row[name] for row in own) for name in ("kl", "values"))
            cells.append(f"{distance:.4f}, {value:.3f}")
        rows.append([record["noise"], str(record["n"]), *cells])
    return markdown(["noise", "n", *(f"spread {spread:g}" for spread in SPREADS)], rows)


def main() -> None:
    """Measures, and writes after each length."""
    report = shipped_sorts.measure("noise_scales", FLAGS, settings(), examine)
    print(f"{table(report)}\n\n{FLAGS.out}")


SCRIPT = Script("noise_scales", __doc__, FLAGS, main, (OSError, ValueError))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
