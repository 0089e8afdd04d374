# SPDX-License-Identifier: Apache-2.0
"""Compares methods in minutes: the task of the contest for a small network, all seeds together.

The convolutional network takes most of the time of a contest, and its runs differ so much from seed
to seed that few seeds tell little. Here a digit is its first principal components, one layer reads
each of the four, another their number; losses, lists and metrics are those of
`experiments/sort_numbers.py`. What wins here is a candidate for a contest, no more.

  python -m experiments.research.quick_search
  python -m experiments.research.quick_search --out=runs/two.json \
    --methods=loss:cauchy_likelihood/0.1+noise_scales,odd_even@bce
  python -m experiments.research.quick_search --n=15 --out=runs/n15.json
  python -m experiments.research.quick_search --methods=odd_even@bce --anneal=10 \
    --out=runs/annealed.json
  python -m experiments.research.quick_search --methods=learned@likelihood --fine_tune=0.1 \
    --out=runs/tuned.json

Test EM and EW are those after the last step. Results are written after each method;
those in the file are not trained again.
"""

import dataclasses
import functools
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from arlsort.operators import base
from arlsort.operators.learned import LearnedSort
from experiments.common import datasets
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_out,
    definers,
    refused,
)
from experiments.common.reports import measure_once, open_report
from experiments.four_digits.config import Method, resolve
from experiments.four_digits.losses import LIKELIHOOD, order_loss, parse
from experiments.four_digits.metrics import accuracy
from experiments.four_digits.reader import Reading, dense_layers, linear
from experiments.four_digits.results import check_means_the_same

RESULT = Path("runs/quick_search.json")
METHODS = (
    "loss:plackett_luce/0.1",
    "loss:pairwise/0.1",
    "loss:cauchy_pairs/0.1",
    "loss:cauchy_pairs/0.1+noise_scales",
    "loss:cauchy_likelihood/0.1",
    "loss:cauchy_likelihood/0.1+noise_scales",
    "loss:cauchy_network/0.1+noise_scales",
    "neuralsort:temperature=1@rows",
    *(f"odd_even:temperature={t}@bce" for t in (0.03, 0.1, 0.3)),
    "odd_even:distribution=optimal,temperature=0.1@bce",
    "learned:noise=cauchy,temperature=0.1@likelihood+noise_scales",
    "learned:noise=cauchy,temperature=0.1@likelihood",
    "learned:noise=cauchy,temperature=0.1@trace",
)
COMPONENTS = 48
FITTED = 8000  # pictures that the components are found from
FEATURES = 64  # of a digit

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("methods", list(METHODS), "Operators, each with a loss after an @; or loss:NAME alone.")
define.enum("dataset", "mnist", datasets.DATASETS, "Pictures of digits.")
define.integer("n", 9, "Numbers in a list.")
define.integer("steps", 6000, "Training steps.")
define.integer("batch_size", 10, "Lists in a step.")
define.float("learning_rate", 4e-3, "First learning rate of Adam; falls to zero as a cosine.")
define.float("anneal", 1.0, "Temperatures begin so many times higher, and fall geometrically.")
define.float("fine_tune", 0.0, "The reasoner of a learned sort learns too, at this times the rate.")
define.integer("seeds", 6, "Networks trained at once, each on lists of its own.")
define.integer("test_lists", 2000, "Lists to report on, the same for all.")
define.string("out", str(RESULT), "Where to write.")


@base.register
@dataclasses.dataclass(frozen=True)
class TunedSort(LearnedSort):
    """A learned sort with parameters of its own."""

    params: Any = None

    def _checkpoint(self, likelihood: bool = False) -> Any:
        return dataclasses.replace(super()._checkpoint(likelihood), params=self.params)

    @classmethod
    def of(cls, operator: LearnedSort, params: Any) -> "TunedSort":
        """The sort with these parameters."""
        fields = {f.name: getattr(operator, f.name) for f in dataclasses.fields(operator)}
        return cls(**fields, params=params)


class Digits(NamedTuple):
    """What the small network sees of pictures: `[rows, components]`, and `[rows]` labels."""

    features: jax.Array
    labels: jax.Array


def components(splits: datasets.Splits) -> tuple[Digits, Digits]:
    """The first principal components of the training and the test pictures, at unit scale."""

    def flat(split: datasets.Split) -> np.ndarray:
        return split.images.reshape(len(split.images), -1).astype(np.float32) / 255

    train = flat(splits.train)
    mean = train.mean(axis=0)
    directions = np.linalg.svd(train[:FITTED] - mean, full_matrices=False)[2][:COMPONENTS].T
    scale = ((train - mean) @ directions).std(axis=0).mean()
    seen = [
        Digits(jnp.asarray((flat(split) - mean) @ directions / scale), jnp.asarray(split.labels))
        for split in (splits.train, splits.test)
    ]
    return seen[0], seen[1]


def draw(key: jax.Array, digits: Digits, lists: int, n: int) -> tuple[jax.Array, jax.Array]:
    """Draws `[lists, n, 4, components]` and the numbers `[lists, n]`."""
    rows = jax.random.randint(key, (lists, n, 4), 0, len(digits.labels))
    return digits.features[rows], digits.labels[rows] @ jnp.array([1000, 100, 10, 1])


@functools.cache
def reader(noise_scales: bool = False) -> Any:
    """The small network: reads `[lists, n, 4, components]`."""

    def forward(features: jax.Array) -> Reading:
        hidden = jax.nn.relu(linear(FEATURES, features.shape[-1], "digit")(features))
        read = dense_layers(hidden.reshape(-1, 4 * FEATURES), noise_scales)
        return jax.tree.map(lambda each: each.reshape(features.shape[:2]), read)

    return hk.without_apply_rng(hk.transform(forward))


class Learners(NamedTuple):
    """The networks that learn: the reader, and the reasoner if it is tuned."""

    reader: Any
    reasoner: Any = None


def reasoner(method: Method) -> Any:
    """The parameters of a learned sort, once for each seed, if they are to be tuned."""
    if not FLAGS.fine_tune:
        return None
    operator = method.operator
    assert isinstance(operator, LearnedSort)
    params = operator._checkpoint(parse(method.loss).entry.needs is LIKELIHOOD).params
    return jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], FLAGS.seeds, 0), params)


def train(method: Method, digits: Digits) -> Any:
    """Trains the network of each seed and returns their parameters, stacked."""
    optimizer = optax.adam(optax.cosine_decay_schedule(FLAGS.learning_rate, FLAGS.steps))
    keys = jax.vmap(jax.random.key)(jnp.arange(FLAGS.seeds))
    lists, n = FLAGS.batch_size, FLAGS.n
    network = reader(parse(method.loss).noise_scales)

    def list_loss(learners: Learners, key: jax.Array, heat: jax.Array) -> jax.Array:
        features, numbers = draw(key, digits, lists, n)
        read = network.apply(learners.reader, features)
        operator = method.operator
        if learners.reasoner is not None:
            assert isinstance(operator, LearnedSort)
            operator = TunedSort.of(operator, learners.reasoner)
        return order_loss(
            method.loss, operator, read.scores / heat, numbers, key, read.noise_scales
        )

    def loss(learners: Learners, step: jax.Array) -> jax.Array:
        at = jax.vmap(lambda key: jax.random.fold_in(key, step))(keys)
        # A temperature is the scale of scores.
        heat = FLAGS.anneal ** (1 - step / FLAGS.steps)
        losses = jax.vmap(functools.partial(list_loss, heat=heat))(learners, at)
        return losses.sum()  # the gradient of each seed's own

    def advance(state: tuple[Any, Any], step: jax.Array) -> tuple[tuple[Any, Any], None]:
        learners, moments = state
        gradient = jax.grad(loss)(learners, step)
        updates, moments = jax.vmap(optimizer.update)(gradient, moments, learners)
        tuned = jax.tree.map(lambda update: FLAGS.fine_tune * update, updates.reasoner)
        updates = updates._replace(reasoner=tuned)
        return (optax.apply_updates(learners, updates), moments), None

    @jax.jit
    def run() -> Any:
        params = jax.vmap(lambda key: network.init(key, draw(key, digits, 1, n)[0]))(keys)
        learners = Learners(params, reasoner(method))
        start = (learners, jax.vmap(optimizer.init)(learners))
        return jax.lax.scan(advance, start, jnp.arange(FLAGS.steps))[0][0].reader

    return run()


def measure(method: Method, params: Any, digits: Digits) -> dict[str, list[float]]:
    """EM and EW of each seed, on the same test lists."""
    features, numbers = draw(jax.random.key(FLAGS.seeds), digits, FLAGS.test_lists, FLAGS.n)
    network = reader(parse(method.loss).noise_scales)

    @jax.jit
    def found(params: Any) -> dict[str, jax.Array]:
        scores = network.apply(params, features).scores
        return {k: v.mean() for k, v in accuracy(scores, numbers).items()}

    each = [found(jax.tree.map(lambda leaf, i=i: leaf[i], params)) for i in range(FLAGS.seeds)]
    return {name: [round(float(seed[name]), 5) for seed in each] for name in ("em", "ew")}


def outcome(method: Method, seen: Digits, test: Digits) -> dict[str, Any]:
    """The record of a method: its settings and weights, EM and EW of the networks of all seeds."""
    known = {"identity": method.identity, "weights": method.weights}
    return {**known, **measure(method, train(method, seen), test)}


def _check_scale_matters(method: Method) -> None:
    """Refuses --anneal where a temperature is none: scaling the scores changes no gradient."""
    numbers, unit = jnp.array([[2, 3, 1]]), jnp.array([[0.3, 0.1, 0.2]])
    noise_scales = jnp.ones_like(unit) if parse(method.loss).noise_scales else None
    operator = method.operator

    def loss(scores: jax.Array, heat: float) -> jax.Array:
        key = jax.random.key(0)
        return order_loss(method.loss, operator, scores / heat, numbers, key, noise_scales)

    for spread in (0.1, 1.0, 10.0):
        scores = spread * unit
        if not jnp.allclose(jax.grad(loss)(scores, 1.0), jax.grad(loss)(scores, 2.0), rtol=1e-2):
            return
    received = f"it with {method.spec}"
    raise refused("anneal", received, "losses that scores have a scale in")


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    for name, least in (("n", 2), ("steps", 1), ("batch_size", 1), ("seeds", 1), ("test_lists", 1)):
        check_at_least(FLAGS, name, least)
    if not 0 < FLAGS.learning_rate < math.inf:
        raise refused("learning_rate", FLAGS.learning_rate, "a finite number > 0")
    if not 1 <= FLAGS.anneal < math.inf:
        raise refused("anneal", FLAGS.anneal, "a finite number >= 1")
    if not 0 <= FLAGS.fine_tune < math.inf:
        raise refused("fine_tune", FLAGS.fine_tune, "a finite number >= 0")
    check_out(FLAGS)
    names = ("dataset", "n", "steps", "batch_size", "learning_rate", "seeds")
    optional = [n for n in ("anneal", "fine_tune") if FLAGS[n].value != FLAGS[n].default]
    return {name: FLAGS[name].value for name in (*names, "test_lists", *optional)}


def line(record: dict[str, Any]) -> str:
    """One method, for a terminal."""
    cells = [
        f"{name.upper()} {100 * np.mean(record[name]):5.1f} ± "
        f"{100 * np.std(record[name], ddof=min(1, len(record[name]) - 1)):.1f}"
        for name in ("em", "ew")
    ]
    return f"{record['method']:52} {'  '.join(cells)}  {record['seconds']:.0f} s"


def main() -> None:
    """Trains and measures each method; writes after each."""
    config = settings()
    _, methods = resolve({"operators": [",".join(FLAGS.methods)], "n": config["n"]}, "methods")
    others = [m.spec for m in methods if not isinstance(m.operator, LearnedSort)]
    if FLAGS.fine_tune and others:
        raise refused("fine_tune", f"it with {others[0]}", "learned sorts alone")
    if FLAGS.anneal > 1:
        for method in methods:
            _check_scale_matters(method)
    out = Path(FLAGS.out)
    report = open_report("quick_search", config, out)
    check_means_the_same(report, methods, out)
    seen, test = components(datasets.load(config["dataset"]))
    for method in methods:
        learn = functools.partial(outcome, method, seen, test)
        record = measure_once(report, out, {"method": method.spec}, learn)
        if record is not None:
            print(line(record), flush=True)
    print(out)


SCRIPT = Script("quick_search", __doc__, FLAGS, main, (datasets.DataError, OSError))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
