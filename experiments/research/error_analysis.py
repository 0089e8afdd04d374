# SPDX-License-Identifier: Apache-2.0
"""How far every operator's values are from the exact sort, and whether its gradient teaches.

  python -m experiments.research.error_analysis
  python -m experiments.research.error_analysis --operators=lapsum,softsort --lengths=2,8

*Errors.* Scores are uniform in `[0, 2^e]`. The error of a list is the root mean square of soft less
exact values, divided by the range of its scores; what is written is the root mean square over
lists, for each length and each e, at the operator's default temperature. Operators with a longest
list stay within it.

*Gradients.* Scores are evenly spaced, d apart, and in their true order but for the two in the
middle, which are exchanged. The loss is the binary cross-entropy of P, as in the experiment
on four-digit numbers; for an operator without P the mean squared error of its ranks; and for the
learned sort the likelihood of its pointers, and that of the order, which it is trained with there,
without noise scales. From the gradient with respect to the wrong pair alone there are its norm, and
the cosine of the angle between descent and the direction that brings the two together: 1 is right,
-1 drives them apart.
Operators have the settings they have for supervision. What a temperature is worth differs from one
to the next, so d is in the unit of the operator: the distance at which two scores alone have the
soft ranks 1/4 and 3/4; and gradients are by scores in that unit. Where there is no such distance,
the scale of the scores does not matter: d is then in the unit of the scores, the direction is the
same at every d and the norm falls as 1 / d. Operators without a gradient are left out.

Operators that draw random numbers have a fixed key for errors and the mean gradient over several.
Writes what was measured to `--out`, and two figures beside it.
"""

import itertools
import math
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from arlsort import operators
from arlsort.operators.base import Operator
from experiments.common import storage
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_choices,
    check_out,
    definers,
    read_lengths,
)
from experiments.common.reports import git_commit, machine
from experiments.four_digits.losses import meeting, order_loss, with_key
from experiments.research import plots

RESULT = Path("runs/error_analysis.json")
EXPONENTS = range(-5, 11)
SMALLEST, LARGEST = 1e-6, 1e6  # between which the unit of an operator is looked for
HALVINGS = 40
FELT = 1e-6  # a gradient below this is none

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("operators", list(operators.names()), "Registered names.")
define.list("lengths", [str(2**i) for i in range(1, 10)], "n of the errors, ascending.")
define.integer("lists", 8, "Lists for each n and each range of scores.")
define.list("gradient_lengths", ["5", "9"], "n of the gradients, ascending, odd or even.")
define.integer("distances", 33, "Distances of the wrong pair, from 0.01 to 100 units.")
define.integer("keys", 16, "Keys over which a random operator's gradient is averaged.")
define.integer("seed", 0, "Of scores and keys.")
define.string("out", str(RESULT), "Where to write.")


def allows(operator: Operator, n: int) -> bool:
    """Whether the operator takes lists of n."""
    try:
        jax.eval_shape(operator.sort, jax.ShapeDtypeStruct((n,), jnp.float32))
    except ValueError:
        return False
    return True


def errors(operator: Operator, n: int, lists: int, seed: int) -> list[float]:
    """Relative error of the values of n scores in `[0, 2^e]`, for each e."""
    unit = np.random.default_rng((seed, n)).uniform(size=(lists, n))
    scores = jnp.asarray(2.0 ** np.array(EXPONENTS)[:, None, None] * unit, jnp.float32)
    operator = with_key(operator, jax.random.key(seed))
    # One range after the other: a whole batch of P would not fit in memory.
    values = jax.jit(lambda x: jax.lax.map(operator.sort, x))(scores)
    exact = np.sort(np.asarray(scores), axis=-1)
    spread = exact[..., -1:] - exact[..., :1]
    relative = (np.asarray(values, np.float64) - exact) / spread
    return [float(error) for error in np.sqrt((relative**2).mean(axis=(1, 2)))]


def unit_of(operator: Operator) -> float:
    """The distance at which two scores have the ranks 1/4 and 3/4; one where there is none."""
    larger = jax.jit(lambda d: operator.rank(jnp.stack([jnp.zeros_like(d), d]))[1])

    def apart(d: float) -> bool:
        return bool(larger(jnp.asarray(d, jnp.float32)) >= 0.75)

    if apart(SMALLEST) or not apart(LARGEST):
        return 1.0
    low, high = SMALLEST, LARGEST
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if apart(middle) else (middle, high)
    return high


def wrong_pair(n: int, distance: jax.Array) -> jax.Array:
    """Scores in their true order, evenly spaced, but for an exchange in the middle."""
    places = np.arange(float(n), dtype=np.float32)
    left = (n - 1) // 2
    places[[left, left + 1]] = places[[left + 1, left]]
    return jnp.asarray(places) * distance


def losses(operator: Operator) -> tuple[str, ...]:
    """Names the losses by which an operator can learn an order."""
    possible = meeting(operator)
    of_values = "bce" if operator.has_permutation else "ranks"
    return (of_values, *(name for name in ("pointer", "likelihood") if name in possible))


def listed_loss(kind: str, operator: Operator, scores: jax.Array, key: jax.Array) -> jax.Array:
    """The loss whose minimum is the order in which the scores are listed."""
    order = jnp.arange(scores.shape[-1])
    if kind == "ranks":
        ranks = with_key(operator, key).rank(scores)
        return ((ranks - order.astype(scores.dtype)) ** 2).mean()
    return order_loss(kind, operator, scores, order, key)


def pulls(
    kind: str,
    operator: Operator,
    n: int,
    distances: np.ndarray,
    unit: float,
    keys: int = 1,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Norm and direction of the gradient of the wrong pair, over its distance in units."""
    count = keys if operator.needs_key else 1

    def gradient(distance: jax.Array) -> jax.Array:
        def mean_loss(scores: jax.Array) -> jax.Array:
            several = jax.random.split(jax.random.key(seed), count)
            losses = jax.lax.map(lambda key: listed_loss(kind, operator, scores, key), several)
            return losses.mean()

        return jax.grad(mean_loss)(wrong_pair(n, distance))

    scaled = jnp.asarray(distances * unit, jnp.float32)
    all_scores = np.asarray(jax.jit(lambda d: jax.lax.map(gradient, d))(scaled), np.float64) * unit
    left = (n - 1) // 2
    too_large, too_small = all_scores[:, left], all_scores[:, left + 1]
    norm = np.hypot(too_large, too_small)
    together = (too_large - too_small) / math.sqrt(2)
    cosine = np.divide(together, norm, out=np.zeros_like(norm), where=norm > 0)
    return {"norm": norm.tolist(), "cosine": cosine.tolist()}


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    check_choices(FLAGS, "operators", operators.names())
    for name, least in (("lists", 1), ("distances", 2), ("keys", 1), ("seed", 0)):
        check_at_least(FLAGS, name, least)
    out = check_out(FLAGS)
    out.parent.mkdir(parents=True, exist_ok=True)  # and not after all is measured
    names = ("lists", "distances", "keys", "seed")
    return {
        "operators": FLAGS.operators,
        "lengths": read_lengths(FLAGS, "lengths"),
        "gradient_lengths": read_lengths(FLAGS, "gradient_lengths"),
        "exponents": list(EXPONENTS),
        **{name: getattr(FLAGS, name) for name in names},
    }


def measure_errors(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors of all operators at all lengths."""
    records = []
    for name in config["operators"]:
        operator = operators.get(name)
        keyed = with_key(operator, jax.random.key(config["seed"]))
        for n in config["lengths"]:
            if allows(keyed, n):
                rms = errors(operator, n, config["lists"], config["seed"])
                records.append({"operator": name, "n": n, "rms": rms})
    return records


def measure_gradients(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The pull on a wrong pair, of all operators that have one, by each of their losses."""
    records = []
    distances = np.geomspace(0.01, 100, config["distances"])
    for name in config["operators"]:
        operator = operators.parse(name, supervision=True)
        keyed = with_key(operator, jax.random.key(config["seed"]))
        unit = unit_of(keyed)
        allowed = [n for n in config["gradient_lengths"] if allows(keyed, n)]
        for n, kind in itertools.product(allowed, losses(operator)):
            found = pulls(kind, operator, n, distances, unit, config["keys"], config["seed"])
            if any(found["norm"]):
                place = {"operator": name, "loss": kind, "n": n, "unit": unit}
                records.append({**place, "distance": distances.tolist(), **found})
    return records


def table(report: dict[str, Any]) -> str:
    """The largest error; and, for the longest lists, how the wrong pair is pulled at one unit.

    Beside it the share of all distances at which it is pulled together, and feels it.
    """
    lines = [f"{'operator':<16}{'largest error':>15}"]
    for name in report["config"]["operators"]:
        worst = [max(r["rms"]) for r in report["errors"] if r["operator"] == name]
        lines.append(f"{name:<16}{f'{max(worst):.3g}' if worst else '-':>15}")
    lines += ["", f"{'operator, loss':<30}{'norm':>10}{'direction':>11}{'together':>10}"]
    longest = max((r["n"] for r in report["gradients"]), default=0)
    for r in (r for r in report["gradients"] if r["n"] == longest):
        at = int(np.argmin(np.abs(np.log(r["distance"]))))
        pairs = zip(r["cosine"], r["norm"], strict=True)
        together = np.mean([c > 0 and norm > FELT for c, norm in pairs])
        label = f"{r['operator']}, {r['loss']}"
        lines.append(f"{label:<30}{r['norm'][at]:>10.1e}{r['cosine'][at]:>11.2f}{together:>10.0%}")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints, writes."""
    config = settings()
    report: dict[str, Any] = {
        "experiment": "error_analysis",
        "config": config,
        "commit": git_commit(),
        "machine": machine(),
        "errors": measure_errors(config),
        "gradients": measure_gradients(config),
    }
    out = Path(FLAGS.out)
    storage.write_json(out, report)
    print(f"{table(report)}\n\n{out}")
    if report["errors"]:
        print(plots.errors(report, out.with_name(f"{out.stem}_values.png")))
    if report["gradients"]:
        print(plots.pulls(report["gradients"], out.with_name(f"{out.stem}_gradients.png")))


SCRIPT = Script("error_analysis", __doc__, FLAGS, main, (OSError, ValueError))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
