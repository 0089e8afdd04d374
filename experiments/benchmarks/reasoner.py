# SPDX-License-Identifier: Apache-2.0
"""Times the reasoner beside `clrs.models.BaselineModel`, and the learned sort beside its rivals.

  python -m experiments.benchmarks.reasoner
  python -m experiments.benchmarks.reasoner --cases=insertion_sort:16 --growth= --learning=

Everything runs in one process, the programs of a comparison in turn, and what is printed are
medians and ratios. Writes what was measured to `--out`, and a figure of how time and memory grow
beside it. Nothing else should run on the machine; all of it takes ten minutes on two cores.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from absl import flags, logging

from arlsort import operators
from arlsort.operators.learned import LearnedSort
from arlsort.reasoner import checkpoint, network, training
from arlsort.reasoner.config import (
    ALGORITHMS,
    CLRS_FIELDS,
    PAIR_DTYPES,
    REMATS,
    ReasonerConfig,
    TrainingConfig,
)
from arlsort.reasoner.gradients import gradients
from arlsort.reasoner.hints import Batch, sample_batch
from arlsort.reasoner.traces import trace
from experiments.benchmarks import growth, plots, shipped, timing
from experiments.benchmarks.tables import speed_table
from experiments.common import storage
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_choices,
    check_clrs,
    check_once,
    check_out,
    definers,
    refused,
)
from experiments.common.reports import git_commit, machine
from experiments.four_digits.reader import dense_layers, number_reader

RESULT = Path("runs/benchmark_reasoner.json")
PICTURE = (28, 112, 1)  # of a four-digit number
CHANNELS = (32, 64)  # of the reference network
RIVAL = "odd_even"
TRACED_LISTS = 256  # in one call of the array programs

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("cases", ["insertion_sort:16", "bubble_sort:8", "quicksort:8"], "algorithm:length, ...")
define.integer("hidden_size", 128, "Width of the reasoner's features.")
define.integer("batch_size", 32, "Lists in a step of the reasoner.")
define.list("samplers", list(ALGORITHMS), "Algorithms whose samplers are timed.")
define.integer("sampler_length", 16, "Length of the lists they draw.")
define.list("learned_lengths", ["5", "15"], "Lengths at which the learned sort is timed.")
define.integer("learned_batch", 100, "Lists the learned sort is timed with.")
define.list("growth", [str(2**i) for i in range(2, 9)], "Lengths of the learned sort's growth.")
define.list("learning", [str(2**i) for i in range(2, 7)], "Lengths of a training step's growth.")
define.list("long", ["bubble_sort:64"], "algorithm:length whose training must fit in memory.")
define.integer("repeats", 9, "Timed runs of each program.")
define.string("out", str(RESULT), "Where to write.")


def reasoner_case(
    algorithm: str, n: int, hidden_size: int, batch_size: int, repeats: int
) -> dict[str, Any]:
    """A training step and a prediction of CLRS's model and of ours, on one batch of CLRS's."""
    from arlsort.reasoner import clrs_bridge

    config = ReasonerConfig(algorithm, hidden_size=hidden_size, **CLRS_FIELDS)
    spec, feedback = clrs_bridge.feedback(algorithm, n, batch_size, seed=0)
    model = clrs_bridge.baseline_model(spec, feedback, config)
    key = jax.random.PRNGKey(0)
    theirs = (model.params, key, feedback, model.opt_state, 0)
    their_memory = model.jitted_feedback.lower(*theirs).compile().memory_analysis()

    settings = TrainingConfig(lengths=(n,), hints="clrs")
    batch = clrs_bridge.to_batch(feedback)
    step = training.make_clrs_step(config, settings)
    state = training.init(config, settings)
    our_memory = step.lower(state, batch).compile().memory_analysis()  # type: ignore[attr-defined]

    @jax.jit
    def predict(params: hk.Params) -> network.Prediction:
        return network.transform(config).apply(
            params,
            None,
            batch.keys,
            batch.pos,
            lengths=batch.lengths if config.spec.varying_length else None,
            num_hints=batch.hints["pred_h"].shape[0],
        )

    def our_step() -> jax.Array:
        nonlocal state
        state, metrics = step(state, batch)
        return metrics["loss"]

    params = jax.tree.map(jnp.copy, state.params)
    products = products_alone(batch, hidden_size)
    seconds = timing.medians(
        {
            "their_step": lambda: model.feedback(key, feedback),
            "our_step": our_step,
            "their_prediction": lambda: model.predict(key, feedback.features),
            "our_prediction": lambda: predict(params),
            "products": products,
        },
        repeats,
    )
    return {
        "algorithm": algorithm,
        "n": n,
        "seconds": seconds,
        "their_bytes": their_memory.temp_size_in_bytes,
        "our_bytes": our_memory.temp_size_in_bytes,
    }


def products_alone(batch: Batch, hidden_size: int) -> Callable[[], jax.Array]:
    """The products on pairs that no exact prediction can do without, three a step, and no more.

    What a prediction takes beyond them is the most that is left to gain.
    """
    steps, (lists, n) = batch.hints["pred_h"].shape[0] - 1, batch.keys.shape
    rows = jax.random.normal(jax.random.key(0), (lists * n * n, hidden_size))
    layers = jax.random.normal(jax.random.key(1), (3, hidden_size, hidden_size)) / hidden_size

    @jax.jit
    def run(rows: jax.Array) -> jax.Array:
        def step(rows: jax.Array, _: None) -> tuple[jax.Array, None]:
            for layer in layers:
                rows = rows @ layer
            return rows, None

        return jax.lax.scan(step, rows, None, length=steps)[0]

    return lambda: run(rows)


def long_case(algorithm: str, n: int, hidden_size: int) -> dict[str, Any]:
    """Memory of a training step on long lists, with each way of keeping less for the gradient.

    The step runs once, with what keeps least.
    """
    config = ReasonerConfig(algorithm, hidden_size=hidden_size)
    found: dict[str, Any] = {"algorithm": algorithm, "n": n, "hints": config.spec.num_hints(n)}
    for remat in REMATS:
        settings = TrainingConfig(lengths=(n,), remat=remat)
        state = training.init(config, settings)
        step: Any = training.make_step(config, settings)
        compiled = step.lower(state, n).compile()
        found[remat] = compiled.memory_analysis().temp_size_in_bytes
    start = time.perf_counter()
    loss = float(compiled(state)[1]["loss"])
    seconds = time.perf_counter() - start
    return found | {"lists": settings.lists(n), "seconds": seconds, "loss": loss}


def bfloat16_case(algorithm: str, n: int, hidden_size: int, batch_size: int) -> dict[str, Any]:
    """How far a training step with pairs in bfloat16 is from one in float32, at initial weights."""
    config = ReasonerConfig(algorithm, hidden_size=hidden_size)
    exact = TrainingConfig(lengths=(n,), batch_size=batch_size, pairs_per_batch=batch_size * n * n)
    batch = sample_batch(jax.random.key(1), algorithm, n, exact)
    params = training.init(config, exact).params

    def step(settings: TrainingConfig) -> tuple[hk.Params, float]:
        found = jax.jit(lambda p: gradients(p, None, batch, config, settings))(params)
        return found[0], float(found[1]["loss"])

    (one, loss), (other, rounded) = (
        step(dataclasses.replace(exact, pair_dtype=dtype)) for dtype in PAIR_DTYPES
    )
    distance = optax.global_norm(jax.tree.map(jnp.subtract, one, other)) / optax.global_norm(one)
    return {
        "algorithm": algorithm,
        "n": n,
        "loss": abs(rounded - loss) / loss,
        "gradient": float(distance),
    }


def sampler_case(algorithm: str, n: int, batch_size: int, repeats: int) -> dict[str, Any]:
    """Traces a second of CLRS's sampler and of the array programs."""
    import clrs  # type: ignore[import-untyped]

    sampler, _ = clrs.build_sampler(algorithm, num_samples=-1, length=n, seed=0)
    draw = jax.jit(
        lambda key: jax.vmap(lambda keys: trace(algorithm, keys))(
            jax.random.uniform(key, (TRACED_LISTS, n))
        )
    )
    key = jax.random.key(0)
    seconds = timing.medians(
        {"theirs": lambda: sampler.next(batch_size), "ours": lambda: draw(key)}, repeats
    )
    return {
        "algorithm": algorithm,
        "n": n,
        "their_samples_per_second": batch_size / seconds["theirs"],
        "our_samples_per_second": TRACED_LISTS / seconds["ours"],
    }


def learned_case(n: int, batch_size: int, repeats: int) -> dict[str, Any]:
    """Forward and backward of P, beside a network's, the CNN's dense layers and the whole CNN."""
    keys = jax.random.split(jax.random.key(n), 5)
    scores = jax.random.normal(keys[0], (batch_size, n))
    mix = jax.random.normal(keys[1], (batch_size, n, n))
    images = jax.random.uniform(keys[2], (batch_size * n, *PICTURE))
    height, width = (side // 4 for side in PICTURE[:2])
    features = jax.random.normal(keys[3], (batch_size * n, height * width * CHANNELS[1]))

    layers: Any = hk.without_apply_rng(hk.transform(dense_layers))
    reader = number_reader(CHANNELS)
    dense_params = layers.init(keys[4], features)
    reader_params = reader.init(keys[4], images[:1])

    def sorting(name: str) -> Callable[[], jax.Array]:
        operator = operators.parse(name, supervision=True)
        gradient = jax.jit(jax.grad(lambda x: jnp.sum(operator.permutation(x) * mix)))
        return lambda: gradient(scores)

    by_features = jax.jit(jax.grad(lambda p, x: jnp.sum(layers.apply(p, x).scores), argnums=(0, 1)))
    by_images = jax.jit(jax.grad(lambda p, x: jnp.sum(reader.apply(p, x).scores)))
    seconds = timing.medians(
        {
            "learned": sorting("learned"),
            "rival": sorting(RIVAL),
            "dense": lambda: by_features(dense_params, features),
            "cnn": lambda: by_images(reader_params, images),
        },
        repeats,
    )
    return {"n": n, "seconds": seconds}


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    longest = checkpoint.validated_length(checkpoint.shipped_path(LearnedSort().algorithm))
    out = check_out(FLAGS)
    out.parent.mkdir(parents=True, exist_ok=True)  # and not after all is measured
    for name in ("cases", "samplers"):
        if FLAGS[name].value:
            check_clrs(name)
    for name in ("hidden_size", "batch_size", "learned_batch", "repeats"):
        check_at_least(FLAGS, name, 1)
    check_at_least(FLAGS, "sampler_length", 2)
    check_choices(FLAGS, "samplers", ALGORITHMS)
    return {
        "cases": _cases("cases"),
        "hidden_size": FLAGS.hidden_size,
        "batch_size": FLAGS.batch_size,
        "samplers": FLAGS.samplers,
        "sampler_length": FLAGS.sampler_length,
        "learned_lengths": _lengths("learned_lengths", longest),
        "learned_batch": FLAGS.learned_batch,
        "growth": _lengths("growth"),
        "learning": _lengths("learning"),
        "long": _cases("long"),
        "repeats": FLAGS.repeats,
    }


def _cases(flag: str) -> list[tuple[str, int]]:
    cases = []
    for text in getattr(FLAGS, flag):
        algorithm, _, n = text.partition(":")
        if algorithm not in ALGORITHMS or not n.isdecimal() or int(n) < 2:
            allowed = f"algorithm:length, of {', '.join(ALGORITHMS)} and 2 or more"
            raise refused(flag, repr(text), allowed)
        cases.append((algorithm, int(n)))
    check_once(flag, (f"{algorithm}:{n}" for algorithm, n in cases))
    return cases


def _lengths(flag: str, longest: int | None = None) -> list[int]:
    for text in getattr(FLAGS, flag):
        if not text.isdecimal() or int(text) < 2 or (longest and int(text) > longest):
            allowed = "integers of at least 2"
            if longest:
                allowed = f"integers from 2 to {longest}, to which the weights are validated"
            raise refused(flag, repr(text), allowed)
    lengths = [int(text) for text in getattr(FLAGS, flag)]
    if lengths != sorted(set(lengths)):
        raise refused(flag, lengths, "each length once, ascending")
    return lengths


def main() -> None:
    """Measures, prints, writes."""
    config = settings()
    size, repeats = config["batch_size"], config["repeats"]
    report: dict[str, Any] = {
        "config": config,
        "rival": RIVAL,
        "commit": git_commit(),
        "machine": machine(),
        "weights": shipped.fingerprints(),
        "reasoner": [
            reasoner_case(algorithm, n, config["hidden_size"], size, repeats)
            for algorithm, n in config["cases"]
        ],
        "bfloat16": [
            bfloat16_case(algorithm, n, config["hidden_size"], size)
            for algorithm, n in config["cases"]
        ],
        "sampler": [
            sampler_case(algorithm, config["sampler_length"], size, repeats)
            for algorithm in config["samplers"]
        ],
        "learned": [
            learned_case(n, config["learned_batch"], repeats) for n in config["learned_lengths"]
        ],
        "growth": {
            **growth.sorting(config["growth"], repeats),
            "training": growth.learning(config["learning"], repeats),
        },
        "long": [long_case(algorithm, n, config["hidden_size"]) for algorithm, n in config["long"]],
    }
    out = Path(FLAGS.out)
    storage.write_json(out, report)
    print(f"{speed_table(report)}\n\n{out}")
    if any(report["growth"].values()):
        print(plots.growth(report["growth"], out.with_suffix(".png")))


SCRIPT = Script("benchmark_reasoner", __doc__, FLAGS, main, (ImportError, OSError, ValueError))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow comes with dm-clrs
    logging.set_verbosity(logging.WARNING)
    SCRIPT.run(sys.argv)
