# SPDX-License-Identifier: Apache-2.0
"""Does a reasoner of one sort gain from learning others with it?

The three sorts are learned twice from the same lists, as often: by a reasoner each, and by three
that share one processor, as CLRS's multi-task networks do; hints, inputs and outputs are encoded
and decoded for each sort on its own. Pointers and permutations are then compared with the true
means. To see whether one teaches better, give its checkpoint in --folder to `quick_search.py`.

  python -m experiments.research.multi_task
  python -m experiments.research.multi_task --kinds=shared --steps=500 --out=runs/short.json

Results are written after each kind; those in the file are not trained again.
"""

import dataclasses
import functools
import os
import sys
import time
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from absl import flags

from arlsort import descent
from arlsort.reasoner import training
from arlsort.reasoner.config import NOISES, ReasonerConfig, TrainingConfig
from arlsort.reasoner.gradients import gradients
from arlsort.reasoner.hints import sample_batch
from experiments.common.command_line import Script, check_choices, definers
from experiments.common.reports import measure_once, open_report
from experiments.research import reasoner_studies

SORTS = ("insertion_sort", "bubble_sort", "quicksort")
PROCESSOR = "clrs_processor"
"""What the names of the processor's modules hold, and of no other."""

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("kinds", ["separate", "shared"], "Processors: one for each sort, or one for all.")
define.enum("noise", "cauchy", NOISES, "Law of the noise.")
define.list("lengths", ["3", "5", "9"], "Lengths of training, ascending, in turn.")
define.integer("steps", 3000, "Training steps of each sort.")
define.integer("seed", 0, "Of parameters and data.")
define.string("folder", "runs/multi_task", "Where to leave the checkpoints.")
define.string("out", "runs/multi_task.json", "Where to write.")


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    check_choices(FLAGS, "kinds", ("separate", "shared"))
    return {"sorts": list(SORTS), **reasoner_studies.settings(FLAGS)}


def train_shared(
    reasoners: dict[str, ReasonerConfig], schedule: TrainingConfig
) -> dict[str, hk.Params]:
    """Trains reasoners of several sorts that share one processor.

    Each step is one of all sorts, on lists of one length. The gradient of each is clipped, as it is
    when it learns alone; those of what they share are then added up.

    Args:
      reasoners: Networks of one size, by sort.
      schedule: How they are trained.

    Returns:
      The averaged parameters, by sort.
    """
    clip = optax.clip_by_global_norm(schedule.grad_clip)
    unclipped = dataclasses.replace(schedule, grad_clip=1e9)
    params: dict[str, Any] = {}
    for name, config in reasoners.items():
        params = _marked(training.init(config, schedule).params, name) | params
    start = descent.optimizer(unclipped).init(params)
    state = descent.TrainingState(params, params, start, jnp.zeros((), jnp.int32))

    @functools.partial(jax.jit, static_argnums=1)
    def step(state: descent.TrainingState, n: int) -> descent.TrainingState:
        total = dict(jax.tree.map(jnp.zeros_like, state.params))
        key = training.step_key(schedule, state.step)
        for name, config in reasoners.items():
            batch = sample_batch(key, name, n, schedule)
            own = _own(state.params, name)
            each, _ = gradients(own, None, batch, config, schedule)
            each, _ = clip.update(each, clip.init(own))
            marked = _marked(each, name)
            total |= {m: jax.tree.map(jnp.add, total[m], leaves) for m, leaves in marked.items()}
        return descent.descend(state, total, unclipped)

    for done in range(schedule.steps):
        state = step(state, schedule.length(done))
    return {name: _own(state.average, name) for name in reasoners}


def _marked(params: hk.Params, sort: str) -> dict[str, Any]:
    """Puts the sort before the names of the modules that are its own."""
    return {
        module if PROCESSOR in module else f"{sort}:{module}": leaves
        for module, leaves in params.items()
    }


def _own(params: hk.Params, sort: str) -> hk.Params:
    """The modules of a sort under the names that its network knows."""
    return {
        module.removeprefix(f"{sort}:"): leaves
        for module, leaves in params.items()
        if PROCESSOR in module or module.startswith(f"{sort}:")
    }


def examine(kind: str, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Trains the reasoners of one kind, leaves their checkpoints and measures them."""
    schedule = TrainingConfig(**reasoner_studies.training_settings(config))
    reasoners = {name: ReasonerConfig(name) for name in SORTS}
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    if kind == "shared":
        found = train_shared(reasoners, schedule)
    else:
        found = {name: training.train(each, schedule).average for name, each in reasoners.items()}
    jax.block_until_ready(found)
    seconds = round(time.perf_counter() - began, 1)
    kept = {
        name: reasoner_studies.keep(
            folder / f"{kind}_{name}.safetensors", params, reasoners[name], schedule
        )
        for name, params in found.items()
    }
    return {
        "scores": {name: each["scores"] for name, each in kept.items()},
        "distances": [row for each in kept.values() for row in each["distances"]],
        "seconds": seconds,
    }


def main() -> None:
    """Trains, measures, writes after each kind."""
    config, out = settings(), Path(FLAGS.out)
    report = open_report("multi_task", config, out)
    for kind in FLAGS.kinds:
        measure = functools.partial(examine, kind, config, Path(FLAGS.folder))
        record = measure_once(report, out, {"kind": kind}, measure)
        if record is not None:
            print(f"{kind}: {record['seconds']} s", flush=True)
    print(out)


SCRIPT = Script("multi_task", __doc__, FLAGS, main, (OSError,))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    SCRIPT.run(sys.argv)
