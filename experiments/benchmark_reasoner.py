# SPDX-License-Identifier: Apache-2.0
"""Times the reasoner beside `clrs.models.BaselineModel`, and the learned sort beside its rivals.

  python experiments/benchmark_reasoner.py
  python experiments/benchmark_reasoner.py --cases=insertion_sort:16 --hidden_size=64 --batch_size=8

Everything runs in one process, the programs of a comparison in turn, and what is printed are
medians and ratios. Writes what was measured to `--out`. Nothing else should run on the machine.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import haiku as hk
import jax
import jax.numpy as jnp
from absl import flags, logging

from arlsort.operators import registry
from arlsort.operators.learned import LearnedSort
from arlsort.reasoner import checkpoint, network, training
from arlsort.reasoner.config import ALGORITHMS, ReasonerConfig, TrainingConfig
from arlsort.reasoner.traces import trace
from experiments import storage
from experiments.command_line import FlagError, Script, definers
from experiments.models import HIDDEN, linear, number_reader
from experiments.results import git_commit, machine

RESULT = Path("runs/benchmark_reasoner.json")
PICTURE = (28, 112, 1)  # of a four-digit number
CHANNELS = (32, 64)  # of the reference network
RIVAL = "odd_even"
TRACED_LISTS = 1024  # in one call of the array programs

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("cases", ["insertion_sort:16", "bubble_sort:8", "quicksort:8"], "algorithm:length, ...")
define.integer("hidden_size", 128, "Width of the reasoner's features.")
define.integer("batch_size", 32, "Lists in a step of the reasoner.")
define.list("learned_lengths", ["5", "15"], "Lengths at which the learned sort is timed.")
define.integer("learned_batch", 100, "Lists the learned sort is timed with.")
define.integer("repeats", 9, "Timed runs of each program.")
define.string("out", str(RESULT), "Where to write.")


def in_turn(programs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of programs that are run in turn, each once before to compile it."""
    for program in programs.values():
        jax.block_until_ready(program())
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program())
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def reasoner_case(
    algorithm: str, n: int, hidden_size: int, batch_size: int, repeats: int
) -> dict[str, Any]:
    """A training step and a prediction of CLRS's model and of ours, on one batch of CLRS's."""
    from arlsort.reasoner import clrs_bridge

    config = ReasonerConfig(algorithm, hidden_size=hidden_size)
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
    seconds = in_turn(
        {
            "their_step": lambda: model.feedback(key, feedback),
            "our_step": our_step,
            "their_prediction": lambda: model.predict(key, feedback.features),
            "our_prediction": lambda: predict(params),
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
    seconds = in_turn(
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

    def dense(x: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(linear(HIDDEN, x.shape[-1], "hidden")(x))
        return linear(1, HIDDEN, "score")(hidden)

    layers: Any = hk.without_apply_rng(hk.transform(dense))
    reader = number_reader(CHANNELS)
    dense_params = layers.init(keys[4], features)
    reader_params = reader.init(keys[4], images[:1])

    def sorting(name: str) -> Callable[[], jax.Array]:
        operator = registry.parse(name, supervision=True)
        gradient = jax.jit(jax.grad(lambda x: jnp.sum(operator.permutation(x) * mix)))
        return lambda: gradient(scores)

    by_features = jax.jit(jax.grad(lambda p, x: jnp.sum(layers.apply(p, x)), argnums=(0, 1)))
    by_images = jax.jit(jax.grad(lambda p, x: jnp.sum(reader.apply(p, x))))
    seconds = in_turn(
        {
            "learned": sorting("learned"),
            "rival": sorting(RIVAL),
            "dense": lambda: by_features(dense_params, features),
            "cnn": lambda: by_images(reader_params, images),
        },
        repeats,
    )
    return {"n": n, "seconds": seconds}


def render(report: dict[str, Any]) -> str:
    """The tables of a report, as Markdown."""
    config, device = report["config"], report["machine"]
    lines = [
        f"Batch {config['batch_size']}, hidden {config['hidden_size']}, float32, "
        f"{device['device']} with {device['cpus']} cores; medians of {config['repeats']} runs in "
        "turn, as ratios to `clrs.models.BaselineModel`.",
        "",
        "| algorithm | n | training step | prediction | memory of a step | traces a second |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for case, sampler in zip(report["reasoner"], report["sampler"], strict=True):
        s = case["seconds"]
        traced = sampler["our_samples_per_second"] / sampler["their_samples_per_second"]
        lines.append(
            f"| {case['algorithm']} | {case['n']} "
            f"| {s['their_step'] / s['our_step']:.1f} times as fast "
            f"| {s['their_prediction'] / s['our_prediction']:.1f} times as fast "
            f"| {case['our_bytes'] / case['their_bytes']:.2f} of theirs "
            f"| {traced:,.0f} times as many |"
        )
    lines += [
        "",
        f"The learned sort with its shipped weights, P forward and backward, batch "
        f"{config['learned_batch']}, in units of",
        "",
        f"| n | the CNN's dense layers | the CNN's training step | the `{RIVAL}` network |",
        "| --- | --- | --- | --- |",
    ]
    for case in report["learned"]:
        s = case["seconds"]
        ratios = (f"{s['learned'] / s[other]:.2f}" for other in ("dense", "cnn", "rival"))
        lines.append(f"| {case['n']} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    cases = []
    for text in FLAGS.cases:
        algorithm, _, n = text.partition(":")
        if algorithm not in ALGORITHMS or not n.isdigit() or int(n) < 2:
            allowed = f"algorithm:length, of {', '.join(ALGORITHMS)} and 2 or more"
            raise FlagError(f"--cases: received {text!r}, allowed: {allowed}")
        cases.append((algorithm, int(n)))
    longest = checkpoint.validated_length(None, LearnedSort().algorithm)
    for text in FLAGS.learned_lengths:
        if not text.isdigit() or not 2 <= int(text) <= longest:
            allowed = f"integers from 2 to {longest}, to which the weights are validated"
            raise FlagError(f"--learned_lengths: received {text!r}, allowed: {allowed}")
    for name in ("hidden_size", "batch_size", "learned_batch", "repeats"):
        if getattr(FLAGS, name) < 1:
            received = getattr(FLAGS, name)
            raise FlagError(f"--{name}: received {received}, allowed: an integer >= 1")
    return {
        "cases": cases,
        "hidden_size": FLAGS.hidden_size,
        "batch_size": FLAGS.batch_size,
        "learned_lengths": [int(text) for text in FLAGS.learned_lengths],
        "learned_batch": FLAGS.learned_batch,
        "repeats": FLAGS.repeats,
    }


def main() -> None:
    """Measures, prints, writes."""
    config = settings()
    size, repeats = config["batch_size"], config["repeats"]
    report = {
        "config": config,
        "commit": git_commit(),
        "machine": machine(),
        "reasoner": [
            reasoner_case(algorithm, n, config["hidden_size"], size, repeats)
            for algorithm, n in config["cases"]
        ],
        "sampler": [sampler_case(algorithm, n, size, repeats) for algorithm, n in config["cases"]],
        "learned": [
            learned_case(n, config["learned_batch"], repeats) for n in config["learned_lengths"]
        ],
    }
    storage.write_json(Path(FLAGS.out), report)
    table = render(report)
    print(f"{table}\n\n{FLAGS.out}")


SCRIPT = Script("benchmark_reasoner", __doc__, FLAGS, main, (ImportError, ValueError))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow comes with dm-clrs
    logging.set_verbosity(logging.WARNING)
    SCRIPT.run(sys.argv)
