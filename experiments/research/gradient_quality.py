# SPDX-License-Identifier: Apache-2.0
"""What makes a sort teach: is its P calibrated, and does its gradient point where it should?

The order of a list is drawn from a model in which the best gradient is known, that of the
likelihood of the order. With --truth=plackett_luce position n - 1 goes to an element with
probability proportional to exp(score), and so on downwards; with --truth=cauchy_likelihood the
order is that of scores with Cauchy noise of scale 1.
Scores x stand at a share of what is true: `x = share * s + sqrt(1 - share^2) * e`, with s the true
scores and e others that know nothing, both normal with standard deviation --spread. A share of 0 is
a network before training, 1 after.

  python -m experiments.research.gradient_quality
  python -m experiments.research.gradient_quality --truth=plackett_luce --methods=learned@trace \
    --out=runs/plackett_luce.json

Each method first gets the scale at which its own loss is least at the true scores, as a network
would find it. Then:

* alignment: the cosine of its gradient with that of the likelihood, mean over lists;
* correlation: that of the gradient of one element with that of the likelihood, over all lists, so
  that lists of which the gradient is large count as much as they do in a batch;
* calibration: at the true scores, the mean difference between the weight of an element at a
  position and how often it is there, over ten bins of weights.

Results are written after each loss; those in the file are not measured again.
"""

import dataclasses
import functools
import math
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from arlsort.operators.base import Operator
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_out,
    definers,
    read_lengths,
    refused,
)
from experiments.common.reports import measure_once, open_report
from experiments.four_digits.config import Method, resolve
from experiments.four_digits.losses import order_loss, parse, with_key
from experiments.four_digits.results import check_means_the_same

RESULT = Path("runs/gradient_quality.json")
METHODS = (
    *(f"learned:noise=cauchy@{loss}" for loss in ("likelihood", "trace", "pointer", "rows", "bce")),
    "learned:noise=gaussian,temperature=1@pointer",
    "odd_even@bce",
    "odd_even@rows",
    "odd_even:distribution=optimal@rows",
    "odd_even:distribution=logistic@bce",
    "odd_even:error_free=true,distribution=optimal@error_free",
    "neuralsort@bce",
    "softsort@rows",
    "sinkhorn@bce",
    "lapsum@bce",
    "loss:cauchy_likelihood",
    "loss:plackett_luce",
    "loss:cauchy_pairs",
    "loss:pairwise",
)
TRUTHS = ("cauchy_likelihood", "plackett_luce")
SHARES = (0.0, 0.5, 0.9, 1.0)
SCALES = tuple(2.0**k for k in range(-5, 6))
CALIBRATED = ("bce", "rows", "pointer", "trace")  # the other losses see no P, or an exact one
BINS = 10
BATCH = 100  # lists in one piece of work

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("methods", list(METHODS), "Operators, each with a loss after an @; or loss:NAME alone.")
define.enum("truth", "cauchy_likelihood", TRUTHS, "What orders are drawn from.")
define.list("lengths", ["5", "9", "15"], "n, ascending.")
define.integer("lists", 2000, "Lists for each n.")
define.float("spread", 2.0, "Standard deviation of the scores, beside noise of scale 1.")
define.integer("seed", 0, "Of scores and orders.")
define.string("out", str(RESULT), "Where to write.")


@dataclasses.dataclass(frozen=True)
class Lists:
    """Drawn lists: true scores, scores that know nothing, and orders, each `[lists, n]`."""

    true: jax.Array
    other: jax.Array
    order: jax.Array


def draw(truth: str, key: jax.Array, lists: int, n: int, spread: float) -> Lists:
    """Draws scores, and orders of the true ones with noise."""
    true, other, noise = jax.random.split(key, 3)
    scores = spread * jax.random.normal(true, (lists, n))
    # Plackett-Luce is the order of scores with Gumbel noise: the largest is chosen first.
    law = {"cauchy_likelihood": jax.random.cauchy, "plackett_luce": jax.random.gumbel}[truth]
    drawn = scores + law(noise, scores.shape)
    return Lists(scores, spread * jax.random.normal(other, (lists, n)), jnp.argsort(drawn, axis=-1))


def at_share(lists: Lists, share: float) -> jax.Array:
    """Scores that know this share of what is true."""
    return share * lists.true + (1 - share**2) ** 0.5 * lists.other


def per_list(kind: str, operator: Operator | None, key: jax.Array) -> Any:
    """The loss as a function of one list of scores and its order."""

    def loss(scores: jax.Array, order: jax.Array) -> jax.Array:
        numbers = jnp.argsort(order)  # ranks: numbers of that order
        return order_loss(kind, operator, scores[None], numbers[None], key)

    return loss


def measure(
    truth: str, kind: str, operator: Operator | None, lists: Lists, key: jax.Array
) -> dict[str, Any]:
    """Scale, alignment, correlation and calibration of one method."""
    one, best = per_list(kind, operator, key), per_list(truth, None, key)

    @jax.jit
    def mean_loss(scale: jax.Array) -> jax.Array:
        return jax.lax.map(
            lambda a: one(scale * a[0], a[1]), (lists.true, lists.order), batch_size=BATCH
        ).mean()

    losses = [float(mean_loss(jnp.float32(scale))) for scale in SCALES]
    scale = SCALES[int(np.nanargmin(losses))]

    @jax.jit
    def gradients(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        def both(scores: jax.Array, order: jax.Array) -> tuple[jax.Array, jax.Array]:
            ours = jax.grad(lambda s: one(scale * s, order))(scores)
            return ours, jax.grad(lambda s: best(s, order))(scores)

        return jax.lax.map(lambda a: both(*a), (x, lists.order), batch_size=BATCH)

    found: dict[str, Any] = {"scale": scale, "losses": losses, "shares": []}
    for share in SHARES:
        ours, exact = (np.asarray(g, np.float64) for g in gradients(at_share(lists, share)))
        norms = np.linalg.norm(ours, axis=-1) * np.linalg.norm(exact, axis=-1)
        cosine = np.divide((ours * exact).sum(-1), norms, out=np.zeros_like(norms), where=norms > 0)
        found["shares"].append(
            {
                "share": share,
                "alignment": float(cosine.mean()),
                "correlation": float(
                    (ours * exact).sum() / np.linalg.norm(ours) / np.linalg.norm(exact)
                ),
                "norm": float(np.linalg.norm(ours, axis=-1).mean()),
                "silent": float((norms < 1e-3 * norms.max()).mean()),
            }
        )
    if operator is not None and parse(kind).name in CALIBRATED:
        weights = with_key(operator, key).permutation(scale * lists.true)
        found["calibration"] = calibration(np.asarray(weights), np.asarray(lists.order))
    return found


def calibration(weights: np.ndarray, order: np.ndarray) -> dict[str, Any]:
    """Compares weights `[lists, n, n]` with how often they were right, in bins of weights."""
    right = weights * 0
    np.put_along_axis(right, order[..., None], 1.0, axis=-1)
    place = np.minimum((weights * BINS).astype(int), BINS - 1).clip(0)
    counts = np.bincount(place.ravel(), minlength=BINS)
    said, was = (
        np.bincount(place.ravel(), weights=w.ravel(), minlength=BINS) / np.maximum(counts, 1)
        for w in (weights, right)
    )
    error = float((counts * np.abs(said - was)).sum() / counts.sum())
    return {
        "error": error,
        "count": counts.tolist(),
        "weight": said.tolist(),
        "share": was.tolist(),
    }


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    for name, least in (("lists", 1), ("seed", 0)):
        check_at_least(FLAGS, name, least)
    if not 0 < FLAGS.spread < math.inf:
        raise refused("spread", FLAGS.spread, "a finite number > 0")
    check_out(FLAGS)
    lengths = read_lengths(FLAGS, "lengths")
    return {
        "truth": FLAGS.truth,
        "lengths": lengths,
        "lists": FLAGS.lists,
        "spread": FLAGS.spread,
        "seed": FLAGS.seed,
    }


def table(report: dict[str, Any]) -> str:
    """The results, for a terminal."""
    shares = [f"{share:g}" for share in SHARES]
    lines = [f"{'method':52} {'n':>3} {'scale':>7} {'calib.':>7}  alignment at {', '.join(shares)}"]
    for row in report["records"]:
        cosines = " ".join(f"{s['alignment']:6.3f}" for s in row["shares"])
        error = f"{row['calibration']['error']:.4f}" if "calibration" in row else "-"
        lines.append(f"{row['method']:52} {row['n']:3} {row['scale']:7.3g} {error:>7}  {cosines}")
    return "\n".join(lines)


def outcome(truth: str, method: Method, lists: Lists, key: jax.Array) -> dict[str, Any]:
    """The record of a method: its settings and weights, and its measurements."""
    known = {"identity": method.identity, "weights": method.weights}
    return {**known, **measure(truth, method.loss, method.operator, lists, key)}


def main() -> None:
    """Measures, writes after each loss, prints."""
    config, out = settings(), Path(FLAGS.out)
    key = jax.random.key(config["seed"])
    report = open_report("gradient_quality", config, out)
    for n in config["lengths"]:
        _, methods = resolve({"operators": [",".join(FLAGS.methods)], "n": n}, "methods")
        check_means_the_same(report, methods, out)
        for method in methods:  # before any is measured
            if parse(method.loss).noise_scales:
                received = f"{method.spec}, with noise scales"
                raise refused("methods", received, "losses of scores alone")
        lists = draw(
            config["truth"], jax.random.fold_in(key, n), config["lists"], n, config["spread"]
        )
        for method in methods:
            examine = functools.partial(outcome, config["truth"], method, lists, key)
            measure_once(report, out, {"method": method.spec, "n": n}, examine)
    print(table(report))
    print(out)


SCRIPT = Script("gradient_quality", __doc__, FLAGS, main, (OSError,))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
