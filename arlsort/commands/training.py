# SPDX-License-Identifier: Apache-2.0
"""`arlsort train`: trains a learned sort, measures it and saves it."""

import argparse
import functools
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

import arlsort
from arlsort import accuracy, checks
from arlsort.amortized import checkpoint as amortized_checkpoint
from arlsort.amortized import training as amortized_training
from arlsort.amortized.config import NetworkConfig
from arlsort.amortized.config import TrainingConfig as AmortizedTraining
from arlsort.amortized.orders import accuracy as order_accuracy
from arlsort.amortized.orders import training as order_training
from arlsort.amortized.orders.config import OrderConfig, OrderTraining
from arlsort.commands import Add, output
from arlsort.commands.evaluation import some_lengths
from arlsort.commands.limits import check_seed, check_within
from arlsort.operators.amortized import AmortizedSort
from arlsort.reasoner import checkpoint, evaluation, training
from arlsort.reasoner.config import ALGORITHMS, NOISES, ReasonerConfig, TrainingConfig

NETWORKS = ("amortized", "orders", "executed")
NEAR = 0.1  # nats a position from the mean permutation: a length counts as validated
_OF_EXECUTED = ("algorithm", "hidden_size", "hints")


def add(command: Add) -> None:
    """Adds the command."""
    one = command("train", train, "Train a learned sort, and save it.")
    one.add_argument("--out", required=True, type=Path, help="A file that ends in .safetensors.")
    one.add_argument("--overwrite", action="store_true", help="Replace the file and its card.")
    one.add_argument(
        "--network",
        default=NETWORKS[0],
        choices=NETWORKS,
        help="It learns the mean of noisy sorts, the likelihood of orders, or a sort step by step. "
        "(default: %(default)s)",
    )
    executed = "With --network executed only."
    one.add_argument("--algorithm", choices=sorted(ALGORITHMS), help=executed)
    one.add_argument("--hidden-size", type=int, help=executed)
    one.add_argument("--hints", choices=("perturbed", "sampled"), help=executed)
    one.add_argument("--noise", choices=NOISES, help="(default: gaussian; orders: cauchy)")
    for name, kind, count in (
        ("lengths", int, "+"),
        ("steps", int, None),
        ("batch_size", int, None),
        ("learning_rate", float, None),
        ("seed", int, None),
    ):
        every = (AmortizedTraining, OrderTraining, TrainingConfig)
        defaults = (getattr(settings(), name) for settings in every)
        told = "(default: {}; orders: {}; executed: {})".format(*defaults)
        one.add_argument(f"--{name.replace('_', '-')}", type=kind, nargs=count, help=told)
    counts = (accuracy.LISTS, order_accuracy.LISTS, evaluation.LISTS)
    told = "Lists to measure with at the end. (default: {}; orders: {}; executed: {})".format(
        *counts
    )
    one.add_argument("--lists", type=int, help=told)


def train(arguments: argparse.Namespace) -> None:
    """Trains, measures, saves; Ctrl-C ends training early and saves."""
    given = {
        name: getattr(arguments, name)
        for name in ("noise", "lengths", "steps", "batch_size", "learning_rate", "seed")
        if getattr(arguments, name) is not None
    }
    of_executed = {
        name: getattr(arguments, name)
        for name in _OF_EXECUTED
        if getattr(arguments, name) is not None
    }
    for name in ("steps", "batch_size", "hidden_size", "lists"):
        if getattr(arguments, name) is not None:
            check_within(name.replace("_", "-"), getattr(arguments, name), 1)
    for length in given.get("lengths", ()):
        check_within("lengths", length, 2)
    if "seed" in given:
        check_seed(given["seed"])
    if not 0 < given.get("learning_rate", 1.0) < np.inf:
        received = f"--learning-rate: received {given['learning_rate']}"
        raise ValueError(f"{received}, allowed: a finite number > 0")
    if of_executed and arguments.network != "executed":
        flag = "--" + next(iter(of_executed)).replace("_", "-")
        raise ValueError(f"{flag}: only an executed sort has it; add --network executed")
    if arguments.network == "amortized":
        _train_amortized(arguments, AmortizedTraining(**given))
    elif arguments.network == "orders":
        if given.pop("noise", amortized_checkpoint.ORDER_NOISE) != amortized_checkpoint.ORDER_NOISE:
            received, allowed = arguments.noise, f"{amortized_checkpoint.ORDER_NOISE}, of orders"
            raise ValueError(checks.error_message("--noise", received, allowed))
        _train_orders(arguments, OrderTraining(**given))
    else:
        _train_executed(arguments, given, of_executed)


def _train_amortized(arguments: argparse.Namespace, settings: AmortizedTraining) -> None:
    out = _check_out(arguments.out, arguments.overwrite)
    config = NetworkConfig()
    with _until_stopped(settings.steps) as stopping:
        state = stopping.run(
            lambda watch: amortized_training.train(config, settings, watch=watch), "kl"
        )
        params, steps = _learned(state, settings.lengths)
        longest = max(settings.lengths)
        details = {"steps": steps, "version": arlsort.__version__}
        save = functools.partial(amortized_checkpoint.save, details=details)
        with tempfile.TemporaryDirectory() as folder:  # the operator reads a file
            trial = Path(folder) / "trial.safetensors"
            save(trial, params, config, settings, validated_length=longest)
            operator = AmortizedSort(checkpoint=str(trial))
            lists = min(arguments.lists or accuracy.LISTS, 5 if stopping.asked else 2**31)
            lengths = some_lengths(settings.lengths)
            rows = accuracy.table(operator, lengths, noise=settings.noise, count=lists)
        longest = _validated(rows)
        save(out, params, config, settings, validated_length=longest, measured=rows)
    output.print_table(rows)
    print(f"{steps} steps, validated to n = {longest}: {out}")
    if longest < max(settings.lengths):
        print(f"Longer lists are above {NEAR} nats a position (kl); for them take more --steps.")
    if stopping.asked:
        sys.exit(130)


def _train_orders(arguments: argparse.Namespace, settings: OrderTraining) -> None:
    out = _check_out(arguments.out, arguments.overwrite)
    config = OrderConfig()
    print(f"integrating over the noise of {settings.lists} lists of each length", file=sys.stderr)
    with _until_stopped(settings.steps) as stopping:
        state = stopping.run(
            lambda watch: order_training.train(config, settings, watch=watch), "values"
        )
        params, steps = _learned(state, settings.lengths)
        lists = arguments.lists or order_accuracy.LISTS
        lengths = some_lengths(settings.lengths)
        rows = order_accuracy.table(params, config, lengths, count=lists)
        longest = max(settings.lengths)
        amortized_checkpoint.save(
            *(out, params, config, settings),
            validated_length=longest,
            measured=rows,
            details={"steps": steps, "version": arlsort.__version__},
        )
    output.print_orders(rows)
    print(f"{steps} steps, validated to n = {longest}: {out}")
    if stopping.asked:
        sys.exit(130)


def _learned(state: Any, lengths: Sequence[int]) -> tuple[Any, int]:
    """The parameters and steps of a training, if they are of any use."""
    params, steps = jax.device_get(state.average), int(state.step)
    if steps < len(lengths):
        raise ValueError(f"stopped after {steps} steps, before every length was seen")
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise ValueError(f"--learning-rate: training diverged before step {steps}")
    return params, steps


def _train_executed(
    arguments: argparse.Namespace, given: dict[str, Any], of_executed: dict[str, Any]
) -> None:
    out = _check_out(arguments.out, arguments.overwrite)
    hints = {"hints": of_executed.pop("hints")} if "hints" in of_executed else {}
    config, settings = ReasonerConfig(**of_executed), TrainingConfig(**given, **hints)
    with _until_stopped(settings.steps) as stopping:
        state = stopping.run(lambda watch: training.train(config, settings, watch=watch), "loss")
        params, steps = jax.device_get(state.average), int(state.step)
        asked = evaluation.LISTS if arguments.lists is None else arguments.lists
        lists = min(asked, 100) if stopping.asked else asked
        measured = evaluation.measure(params, config, settings, lists)
        details = {"steps": steps, "version": arlsort.__version__}
        checkpoint.save(out, params, config, settings, details=details, **measured._asdict())
    output.print_scores(measured.scores)
    print(f"{steps} steps, validated to n = {measured.validated_length}: {out}")
    if stopping.asked:
        sys.exit(130)


def _validated(rows: Sequence[dict[str, Any]]) -> int:
    """The longest of the measured lengths up to which no distance is above `NEAR`."""
    far = [row["n"] for row in rows if row["kl"] > NEAR]
    return max((row["n"] for row in rows if not far or row["n"] < min(far)), default=1)


class _Stopping:
    """A training that Ctrl-C ends early, with a bar of its progress."""

    def __init__(self, steps: int) -> None:
        self.asked = False
        self._steps = steps

    def ask(self, number: int, frame: Any) -> None:
        """Is called at Ctrl-C."""
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # once more ends at once

    def run(self, whole: Callable[[Callable[[Any, Any], None]], Any], shown: str) -> Any:
        """Runs a training, given its `watch`, and returns its last state."""
        every = max(1, self._steps // 100)
        bar = tqdm(total=self._steps, unit="step", file=sys.stderr)

        def watch(state: Any, metrics: Any) -> None:
            step = int(state.step)
            if step % every == 0 or step == self._steps:
                value = float(metrics[shown])
                if not np.isfinite(value):
                    raise ValueError(f"--learning-rate: training diverged at step {step}")
                bar.set_postfix_str(f"{shown} {value:.4f}", refresh=False)
                bar.update(step - bar.n)
            if self.asked:
                raise _Enough(state)

        with bar:
            try:
                return whole(watch)
            except _Enough as stopped:
                return stopped.state


@contextmanager
def _until_stopped(steps: int) -> Iterator[_Stopping]:
    """Delays Ctrl-C until all is written."""
    stopping = _Stopping(steps)
    before = signal.signal(signal.SIGINT, stopping.ask)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGINT, before)


def _check_out(out: Path, overwrite: bool) -> Path:
    """Refuses before training a file that cannot be written or would be lost."""
    if out.suffix != ".safetensors" or out.is_dir():
        raise ValueError(f"--out: received {out}, allowed: a file that ends in .safetensors")
    for path in (out, out.with_suffix(".json")):
        if path.exists() and not overwrite:
            raise ValueError(f"--out: {path} exists; name another file, or add --overwrite")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):
        return out


class _Enough(Exception):
    """Carries the state of a training that is to end early."""

    def __init__(self, state: training.TrainingState) -> None:
        self.state = state
