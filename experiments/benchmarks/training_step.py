# SPDX-License-Identifier: Apache-2.0
"""Times a training step of the network that reads numbers, in float32 and in bfloat16.

  taskset -c 0 python -m experiments.benchmarks.training_step
  taskset -c 0 python -m experiments.benchmarks.training_step --n=15 --batch_sizes=5

A step draws the lists, computes loss and gradient and lets Adam update the parameters. Pictures are
noise of MNIST's size, halved. The precisions take turns. Time is that of the processor, so that
other programs on the same core count little. Writes the report to `--out`.
"""

import functools
import statistics
import sys
import time
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.benchmarks import timing
from experiments.common import memory, storage
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_once,
    check_out,
    definers,
    refused,
)
from experiments.common.datasets import Split
from experiments.common.reports import git_commit, machine, markdown
from experiments.four_digits import training

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("n", ["5", "9"], "Lengths of the lists.")
define.list("batch_sizes", ["5", "20"], "Lists in a step.")
define.integer("repeats", 9, "Steps at each precision, in turn.")
define.string("out", "runs/benchmark_training_step.json", "Where to write.")

LOSS = "cauchy_likelihood/0.1+noise_scales"
PRECISIONS = ("float32", "bfloat16")
CHANNELS = (16, 32)
PICTURES = (1000, 28, 28, 1)


def program(precision: str, n: int, batch_size: int) -> timing.Program:
    """Compiles a step."""
    task = training.Task(
        loss=LOSS,
        n=n,
        batch_size=batch_size,
        learning_rate=0.002,
        schedule="cosine",
        steps=5000,
        channels=CHANNELS,
        resolution="half",
        precision=precision,
    )
    images = np.random.default_rng(0).integers(0, 256, PICTURES, np.uint8)
    split = jax.device_put(Split(images, np.arange(PICTURES[0], dtype=np.int32) % 10))
    keys = training.make_keys(0)
    state = training.init(task, split, keys.init)
    compiled = training.train.lower(task, None, split, keys, state, 1).compile()
    return functools.partial(compiled, None, split, keys, state)


def case(n: int, batch_size: int, repeats: int) -> dict[str, Any]:
    """Seconds of the processor for a step at each precision, the median."""
    programs = {name: program(name, n, batch_size) for name in PRECISIONS}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for i in range(1 + repeats):  # the first to warm up
        for name, step in programs.items():
            start = time.process_time()
            jax.block_until_ready(step())
            if i:
                seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return {"n": n, "batch_size": batch_size, "seconds": medians}


def table(report: dict[str, Any]) -> str:
    """Renders lists a second, and how many times as many they are in bfloat16."""
    rows = []
    for one in report["cases"]:
        wide, narrow = (one["seconds"][name] for name in PRECISIONS)
        lists = one["batch_size"]
        cells = [f"{lists / wide:.0f}", f"{lists / narrow:.0f}", f"{wide / narrow:.1f}"]
        rows.append([str(one["n"]), str(lists), *cells])
    header = [f"lists a second, {name}" for name in PRECISIONS]
    return markdown(["n", "lists in a step", *header, "times as many"], rows)


def main() -> None:
    """Measures, prints, writes."""
    check_at_least(FLAGS, "repeats", 1)
    sizes = {name: _counts(name, least) for name, least in (("n", 2), ("batch_sizes", 1))}
    out = check_out(FLAGS)
    memory.keep_freed()  # as a run does
    report = {
        "config": {**sizes, "repeats": FLAGS.repeats, "loss": LOSS, "channels": CHANNELS},
        "commit": git_commit(),
        "machine": machine(),
        "cases": [case(n, b, FLAGS.repeats) for n in sizes["n"] for b in sizes["batch_sizes"]],
    }
    storage.write_json(out, report)
    print(f"{table(report)}\n\n{out}")


def _counts(flag: str, least: int) -> list[int]:
    given = getattr(FLAGS, flag)
    if not given or not all(text.isdecimal() and int(text) >= least for text in given):
        raise refused(flag, ",".join(given), f"integers >= {least}")
    check_once(flag, map(int, given))
    return [int(text) for text in given]


SCRIPT = Script("benchmark_training_step", __doc__, FLAGS, main, (OSError, ValueError))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
