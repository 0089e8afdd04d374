# SPDX-License-Identifier: Apache-2.0
"""Trains a reasoner to execute a sort, measures it, and exports a checkpoint for `LearnedSort`.

  python experiments/train_reasoner.py --algorithm=insertion_sort
  python experiments/train_reasoner.py --algorithm=quicksort --lengths=2,3,4,5,6,7,8 --steps=9000
  python experiments/train_reasoner.py --hints=sampled --noise=cauchy --noise_scales \
    --nocomparisons --noise_scale_spread=2.5
  python experiments/train_reasoner.py --hints=clrs --lengths=4,8,16 --noplaces --nocomparisons \
    --aggregator=max                       # clean keys and the network of CLRS

The folder holds `metrics.jsonl`, the checkpoints, and at the end `reasoner.safetensors` with its
card `reasoner.json`: `LearnedSort(checkpoint="<folder>/reasoner.safetensors")`. Add --resume to
continue an interrupted run to the same numbers. Each batch is shared among --devices;
docs/devices.md has more.
"""

import dataclasses
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags, logging
from jax.sharding import Mesh
from tqdm import tqdm

from arlsort.reasoner import checkpoint, evaluation, training
from arlsort.reasoner.config import (
    AGGREGATORS,
    ALGORITHMS,
    CLRS_FIELDS,
    HINTS,
    NOISES,
    PAIR_DTYPES,
    REMATS,
    ReasonerConfig,
    TrainingConfig,
    from_dict,
)
from experiments.common import devices, run_folders, storage
from experiments.common.checkpoints import Checkpoints
from experiments.common.command_line import (
    FlagError,
    Interrupted,
    Script,
    Stop,
    check_at_least,
    check_clrs,
    definers,
    refused,
)
from experiments.common.reports import git_commit, machine

FLAGS = flags.FlagValues()
define = definers(FLAGS)
DEFAULT_FOLDER = Path("runs/train_reasoner")
MARKS = ("config.json",)  # of a folder with a run

_NETWORK, _TRAINING = ReasonerConfig(), TrainingConfig()

define.enum("algorithm", _NETWORK.algorithm, tuple(ALGORITHMS), "The sort to learn.")
define.integer("hidden_size", _NETWORK.hidden_size, "Width of every hidden feature.")
define.integer("nb_triplet_fts", _NETWORK.nb_triplet_fts, "Triplet features.")
define.boolean("use_layer_norm", _NETWORK.use_layer_norm, "Layer norm after each step.")
define.enum("processor", _NETWORK.processor, ("factored", "clrs"), "clrs: the official one.")
define.integer("sinkhorn_steps", _NETWORK.sinkhorn_steps, "Rounds of balancing the output pointer.")
define.float("sinkhorn_temperature", _NETWORK.sinkhorn_temperature, "Divides its logits.")
define.boolean("noise_scales", _NETWORK.noise_scales, "Whether each key has a noise scale.")
define.boolean("comparisons", _NETWORK.comparisons, "Whether it sees comparisons of all keys.")
define.boolean("places", _NETWORK.places, "Whether each element points to its place.")
define.enum("aggregator", _NETWORK.aggregator, AGGREGATORS, "How a node combines its messages.")
define.list("lengths", [str(n) for n in _TRAINING.lengths], "List lengths, in turn.")
define.integer("steps", _TRAINING.steps, "Optimiser steps.")
define.integer("batch_size", _TRAINING.batch_size, "Most lists in a step.")
define.integer("pairs_per_batch", _TRAINING.pairs_per_batch, "Most lists * n * n in a step.")
define.float("learning_rate", _TRAINING.learning_rate, "Peak of the cosine schedule.")
define.integer("warmup_steps", _TRAINING.warmup_steps, "Steps of warm-up before the peak.")
define.float("grad_clip", _TRAINING.grad_clip, "Clip of the gradient's global norm.")
define.float("ema_decay", _TRAINING.ema_decay, "Decay of the averaged weights.")
define.enum("hints", _TRAINING.hints, HINTS, "Which traces are the targets.")
define.enum("noise", _TRAINING.noise, NOISES, "Law of the unit noise (perturbed, sampled).")
define.integer("copies", _TRAINING.copies, "Perturbed copies averaged for each list (perturbed).")
define.float(
    "noise_scale_spread",
    _TRAINING.noise_scale_spread,
    "Largest deviation of log noise scales (sampled).",
)
define.float("min_spread", _TRAINING.min_spread, "Smallest range of scores (perturbed, sampled).")
define.float("max_spread", _TRAINING.max_spread, "Largest range of scores (perturbed, sampled).")
define.float("hint_weight", _TRAINING.hint_weight, "Weight of the hint losses.")
define.float("place_weight", _TRAINING.place_weight, "Weight of the loss of the last places.")
define.enum(
    "remat", _TRAINING.remat, REMATS, "What the backward pass computes again to save memory."
)
define.enum(
    "pair_dtype", _TRAINING.pair_dtype, PAIR_DTYPES, "Dtype of edge activations [b, n, n, hidden]."
)
define.integer(
    "pairs_per_pass", None, "Lists * n * n in one pass. (default: what suits the device)"
)
define.integer("seed", _TRAINING.seed, "Seed of parameters and data.")
define.integer("log_every", 50, "Steps between lines of metrics.jsonl.")
define.integer("save_every", 500, "Steps between checkpoints.")
define.integer("evaluation_lists", evaluation.LISTS, "Fresh lists for each measured length.")
define.string("out_dir", None, f"Where to write. (default: a new one in {DEFAULT_FOLDER})")
define.string("start", None, "A .safetensors file to start from; hints that it lacks are fresh.")
define.boolean("resume", False, "Continue in --out_dir, or in the newest default folder.")
devices.define_flags(FLAGS)

# Fields that a run of an earlier version does not name, and what they were.
OLDER: dict[str, dict[str, Any]] = {
    "reasoner": dict(CLRS_FIELDS),
    "training": {"place_weight": _TRAINING.place_weight},
}
# Of a run that is resumed: but for rounding they change no number.
FREE_TO_CHANGE = ("remat", "pairs_per_pass")
IDLE = {
    "clrs": ("noise", "copies", "min_spread", "max_spread", "noise_scale_spread", "noise_scales"),
    "sampled": ("copies",),
    "perturbed": ("noise_scale_spread", "noise_scales"),
}


def configs() -> tuple[ReasonerConfig, TrainingConfig]:
    """Reads the two configurations from the flags.

    Raises:
      FlagError: If a value is not allowed, or a flag would change nothing.
    """
    try:
        lengths = tuple(int(text) for text in FLAGS.lengths)
    except ValueError:
        received = ",".join(FLAGS.lengths)
        raise refused("lengths", received, "integers >= 2") from None
    idle = [name for name in IDLE[FLAGS.hints] if FLAGS[name].present]
    if idle:
        raise FlagError(f"--{idle[0]}: changes nothing with --hints={FLAGS.hints}")
    if FLAGS.noise_scales != (FLAGS.noise_scale_spread > 0):
        raise FlagError("--noise_scale_spread: greater than 0 is for --noise_scales, and 0 without")
    for name in ("log_every", "save_every", "evaluation_lists"):
        check_at_least(FLAGS, name, 1)
    for name in ("hints", "processor"):
        if FLAGS[name].value == "clrs":
            check_clrs(f"{name}=clrs")
    if FLAGS.processor == "clrs" and FLAGS.pair_dtype != _TRAINING.pair_dtype:
        raise FlagError("--pair_dtype: changes nothing with --processor=clrs")

    if not FLAGS.places and FLAGS.place_weight != _TRAINING.place_weight:
        raise FlagError("--place_weight: changes nothing with --noplaces")

    def read(cls: type) -> Any:
        values = {field.name: FLAGS[field.name].value for field in dataclasses.fields(cls)}
        return cls(**({**values, "lengths": lengths} if "lengths" in values else values))

    try:
        return read(ReasonerConfig), read(TrainingConfig)
    except ValueError as error:
        raise FlagError(f"--{error}") from None


def choose_out_dir(identity: dict[str, Any]) -> Path:
    """Finds the folder to write to and checks that what is in it is the same run.

    Raises:
      FlagError: If the folder holds another run, or there is none to resume.
    """
    if FLAGS.resume and FLAGS.out_dir is None:
        folder = run_folders.newest(DEFAULT_FOLDER, MARKS)
    else:
        folder = Path(FLAGS.out_dir or DEFAULT_FOLDER / time.strftime("%Y%m%d-%H%M%S"))
    earlier = folder / "config.json"
    if earlier.exists() and not FLAGS.resume:
        raise FlagError(f"--out_dir: {folder} holds a run; add --resume or name another")
    if FLAGS.resume:
        if not earlier.exists():
            raise FlagError(f"--resume: no run in {folder}")
        known = storage.read_json(earlier)
        for part, cls in (("reasoner", ReasonerConfig), ("training", TrainingConfig)):
            begun = dataclasses.asdict(from_dict(cls, {**OLDER[part], **known[part]}))
            for name, value in identity[part].items():
                if begun[name] != value and name not in FREE_TO_CHANGE:
                    raise FlagError(
                        f"--{name}: received {value}, but the run in {folder} has {begun[name]}"
                    )
    storage.write_json(earlier, identity)
    return folder


def make_step(
    network: ReasonerConfig, config: TrainingConfig, start: int, mesh: Mesh | None
) -> Callable[[training.TrainingState, int], tuple[training.TrainingState, training.Metrics]]:
    """A function of state and length; with CLRS's hints it draws from its samplers' thread."""
    if config.hints != "clrs":
        return training.make_step(network, config, mesh)
    from arlsort.reasoner import clrs_bridge

    batches = clrs_bridge.batches(network.algorithm, config, start)
    step = training.make_clrs_step(network, config, mesh)
    return lambda state, n: step(state, devices.replicate(next(batches), mesh))


def first_state(network: ReasonerConfig, config: TrainingConfig) -> training.TrainingState:
    """The state before the first step: fresh parameters, or those of --start.

    A network of fewer hints does as well: insertion sort's starts quicksort's.

    Raises:
      FlagError: If the network of --start has what this one has not, or other sizes.
    """
    state = training.init(network, config)
    if FLAGS.start is None:
        return state
    known = jax.tree.map(jnp.asarray, dict(checkpoint.load(FLAGS.start).params))
    params, fresh = dict(state.params) | known, sorted(state.params.keys() - known.keys())
    coder = re.compile(
        rf".*/algo_0_({'|'.join(network.spec.hints)})(_turned)?_(enc|dec)_linear(_\d+)?"
    )
    same = jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, dict(state.params))
    if not same or not all(map(coder.fullmatch, fresh)):
        allowed = "a file of the same network, or of one with fewer hints"
        raise FlagError(f"--start: received {FLAGS.start}, allowed: {allowed}")
    if fresh and devices.first() and not FLAGS.resume:
        print(f"{'fresh':18} {', '.join(name.rpartition('/')[2] for name in fresh)}")
    return state._replace(params=params, average=jax.tree.map(jnp.copy, params))


def train(
    network: ReasonerConfig, config: TrainingConfig, folder: Path, stop: Stop, mesh: Mesh | None
) -> training.TrainingState:
    """Trains to the last step, from the newest checkpoint if there is one."""
    checkpoints = Checkpoints(folder / "checkpoints")
    metrics_file = folder / "metrics.jsonl"
    state = devices.replicate(first_state(network, config), mesh)
    state = checkpoints.restore(state) or state
    start = int(state.step)
    kept = [line for line in storage.read_lines(metrics_file) if line["step"] <= start]
    storage.write_text(metrics_file, "".join(map(storage.line, kept)))
    step = make_step(network, config, start, mesh)
    before = kept[-1]["seconds"] if kept else 0.0  # of the run that was interrupted
    began = time.perf_counter()
    with tqdm(
        total=config.steps,
        initial=start,
        desc=network.algorithm,
        unit="step",
        disable=not devices.first(),
    ) as bar:
        for done in range(start, config.steps):
            n = config.length(done)
            state, metrics = step(state, n)
            now = done + 1
            bar.update()
            shown = now % FLAGS.log_every == 0 or now == config.steps
            if shown:
                values = {name: float(value) for name, value in metrics.items()}
                if not np.isfinite(values["loss"]):
                    raise FlagError(f"--learning_rate: training diverged at step {now}")
                bar.set_postfix(n=n, loss=f"{values['loss']:.3f}", acc=f"{values['accuracy']:.3f}")
                seconds = round(before + time.perf_counter() - began, 1)
                storage.append_line(
                    metrics_file, {"step": now, "n": n, "seconds": seconds, **values}
                )
            # Processes wait for each other to agree, so where there are several this is seldom.
            several = jax.process_count() > 1
            stopping = (shown or not several) and devices.agreed(stop.requested)
            if now % FLAGS.save_every == 0 or now == config.steps or stopping:
                checkpoints.save(now, state)
            if stopping and now < config.steps:
                checkpoints.close()
                raise Interrupted
    checkpoints.close()
    return state


def export(
    state: training.TrainingState,
    network: ReasonerConfig,
    config: TrainingConfig,
    path: Path,
    lists: int,
    mesh: Mesh | None,
) -> None:
    """Measures the averaged weights and writes them with their card."""
    params = jax.device_get(state.average)
    measured = evaluation.measure(params, network, config, lists)
    checkpoint.save(
        path,
        params,
        dataclasses.replace(network, processor="factored"),
        config,
        details={
            "steps": int(state.step),
            "start": FLAGS.start,
            "commit": git_commit(),
            "machine": machine(mesh),
        },
        **measured._asdict(),
    )
    for name in ("exact_order", "micro_f1"):
        found = measured.scores[name]
        print(f"{name:12} {'  '.join(f'n={n}: {100 * value:.1f}' for n, value in found.items())}")
    print(
        f"validated to n = {measured.validated_length}, sharpest spread "
        f"{measured.sharpest_spread:g}\n{path}"
    )


def main() -> None:
    """Trains, measures and exports."""
    devices.start(FLAGS.distributed)
    network, config = configs()
    mesh = devices.choose_mesh(FLAGS.devices)
    identity = {"reasoner": dataclasses.asdict(network), "training": dataclasses.asdict(config)}
    folder = Path(devices.decide(lambda: str(choose_out_dir(identity)), devices.settings(FLAGS)))
    if devices.first():
        for fields in identity.values():
            for name, value in fields.items():
                print(f"{name:18} {value}")
        print(f"{'commit':18} {git_commit()}")
        print(f"{'devices':18} {devices.describe(mesh)}")
        print(f"{'out_dir':18} {folder}", flush=True)
    with Stop().on_signals() as stop:
        state = train(network, config, folder, stop, mesh)
    if devices.first():
        path = folder / "reasoner.safetensors"
        export(state, network, config, path, FLAGS.evaluation_lists, mesh)


SCRIPT = Script("train_reasoner", __doc__, FLAGS, main, (ImportError,))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow comes with dm-clrs
    logging.set_verbosity(logging.WARNING)
    SCRIPT.run(sys.argv)
