# SPDX-License-Identifier: Apache-2.0
"""The command line: `arlsort sort 3 1 2`, `operators`, `train`, `evaluate`.

`python -m arlsort` is the same. `arlsort --help`, and `--help` after a command, say what there is.
A command line that is not allowed ends with one line on standard error and code 2.
"""

import argparse
import dataclasses
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError

import arlsort
from arlsort import checks
from arlsort.operators import parse, registry
from arlsort.operators.base import Operator
from arlsort.reasoner import checkpoint, evaluation, training
from arlsort.reasoner.config import ALGORITHMS, NOISES, ReasonerConfig, TrainingConfig

DESCRIPTION = "Differentiable sorting."
_NEGATIVE = re.compile(r"^-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^-inf(inity)?$", re.IGNORECASE)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Ends with code 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


def _program() -> str:
    """What the user typed: the console script or the module."""
    return "arlsort" if Path(sys.argv[0]).stem == "arlsort" else "python -m arlsort"


def parser() -> Parser:
    """The commands and their arguments."""
    top = Parser(prog=_program(), description=DESCRIPTION)
    top.add_argument("--version", action="version", version=f"arlsort {arlsort.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], about: str) -> Any:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(run=run, name=name)
        return added

    one = command("sort", sort, "Sort numbers: soft values, soft ranks, and the permutation.")
    one._negative_number_matcher = _NEGATIVE  # argparse's own does not know of -1e-3 and -inf
    one.add_argument("numbers", nargs="+", type=float, help="What to sort, in float32.")
    one.add_argument(
        "--operator",
        default=registry.DEFAULT,
        help="A name of `operators`, with hyperparameters: odd_even:distribution=logistic. "
        "(default: %(default)s)",
    )
    one.add_argument("--temperature", type=float, help="Instead of the operator's default.")
    one.add_argument("--descending", action="store_true", help="The largest first.")
    one.add_argument("--seed", type=int, help="For an operator that draws random numbers.")

    command("operators", operators, "List the operators and their hyperparameters.")

    one = command("train", train, "Train a reasoner to execute a sort, and save it.")
    one.add_argument("--out", required=True, type=Path, help="A file that ends in .safetensors.")
    one.add_argument("--overwrite", action="store_true", help="Even if there is one, or its card.")
    network, schedule = ReasonerConfig(), TrainingConfig()
    one.add_argument("--algorithm", default=network.algorithm, choices=sorted(ALGORITHMS))
    one.add_argument("--hidden-size", default=network.hidden_size, type=int)
    one.add_argument("--hints", default="perturbed", choices=("perturbed", "sampled"))
    one.add_argument("--noise", default=schedule.noise, choices=NOISES)
    one.add_argument("--lengths", default=list(schedule.lengths), type=int, nargs="+")
    one.add_argument("--steps", default=schedule.steps, type=int)
    one.add_argument("--batch-size", default=schedule.batch_size, type=int)
    one.add_argument("--learning-rate", default=schedule.learning_rate, type=float)
    one.add_argument("--seed", default=schedule.seed, type=int)
    one.add_argument("--lists", default=evaluation.LISTS, type=int, help="Measured at the end.")

    one = command("evaluate", evaluate, "Measure how well a reasoner sorts, by length.")
    one.add_argument("--checkpoint", type=Path, help="A .safetensors file; or:")
    one.add_argument("--algorithm", choices=tuple(checkpoint.SHIPPED), help="A shipped one.")
    one.add_argument("--noise", choices=NOISES, help="Of the shipped one.")
    one.add_argument("--lengths", type=int, nargs="+", help="(default: those trained on)")
    one.add_argument("--lists", default=evaluation.LISTS, type=int, help="Of each length.")
    return top


# Far beyond what a machine could do; beyond that, numbers do not fit where they go.
_MOST = {"hidden-size": 2**14, "lengths": 2**12}
_MOST_OTHERS = 2**31 - 1
_LARGEST_SEED = 2**32 - 1


def _within(name: str, value: int, least: int, most: int | None = None) -> None:
    most = _MOST.get(name, _MOST_OTHERS) if most is None else most
    if not least <= value <= most:
        allowed = f"an integer from {least} to {most}"
        raise ValueError(checks.error_message(f"--{name}", value, allowed))


def _operator(spec: str, temperature: float | None, seed: int | None) -> Operator:
    operator = parse(spec)
    if seed is not None:
        _within("seed", seed, 0, _LARGEST_SEED)
    stated: dict[str, Any] = {
        "temperature": temperature,
        "key": None if seed is None else jax.random.key(seed),
    }
    for name, value in stated.items():
        if value is None:
            continue
        flag = {"temperature": "--temperature", "key": "--seed"}[name]
        able = [each for each, row in registry.REGISTRY.items() if name in _fields(row.build())]
        if name not in _fields(operator):
            raise ValueError(f"{flag}: {spec} has none; those that have: {', '.join(able)}")
        operator = dataclasses.replace(operator, **{name: value})
    return operator


def _fields(operator: Operator) -> set[str]:
    return {field.name for field in dataclasses.fields(operator)}


def _row(values: np.ndarray) -> str:
    return " ".join(f"{value:11.6g}" for value in values)


def sort(arguments: argparse.Namespace) -> None:
    """Prints sorted values, ranks and, if there is one, the permutation."""
    operator = _operator(arguments.operator, arguments.temperature, arguments.seed)
    largest = float(np.finfo(np.float32).max)
    for number in arguments.numbers:
        if largest < abs(number) < np.inf:
            raise ValueError(f"numbers: received {number}, allowed: at most {largest:.3g} in size")
    x, options = jnp.array(arguments.numbers), {"descending": arguments.descending}
    print("sorted      " + _row(np.asarray(arlsort.sort(x, operator, **options))))
    print("ranks       " + _row(np.asarray(arlsort.rank(x, operator, **options))))
    if operator.has_permutation:
        for i, weights in enumerate(np.asarray(arlsort.permutation(x, operator, **options))):
            print(("permutation " if i == 0 else " " * 12) + _row(weights))


def operators(arguments: argparse.Namespace) -> None:
    """Prints what there is to choose from."""
    for name, row in registry.REGISTRY.items():
        defaults = ", ".join(f"{k}={v}".lower() for k, v in row.hyperparameters().items())
        print(f"{name:16} {row.summary}\n{'':16} {defaults}\n{'':16} {row.paper}")


def train(arguments: argparse.Namespace) -> None:
    """Trains, measures, saves; Ctrl-C ends training early, and saves what has been learned."""
    for name in ("steps", "batch_size", "hidden_size", "lists"):
        _within(name.replace("_", "-"), getattr(arguments, name), 1)
    for length in arguments.lengths:
        _within("lengths", length, 2)
    _within("seed", arguments.seed, 0, _LARGEST_SEED)
    if not 0 < arguments.learning_rate < np.inf:
        received = f"--learning-rate: received {arguments.learning_rate}"
        raise ValueError(f"{received}, allowed: a finite number > 0")
    out = _check_out(arguments.out, arguments.overwrite)
    config = ReasonerConfig(arguments.algorithm, hidden_size=arguments.hidden_size)
    names = ("hints", "noise", "lengths", "steps", "batch_size", "learning_rate", "seed")
    settings = TrainingConfig(**{name: getattr(arguments, name) for name in names})
    asked: list[int] = []
    every = max(1, settings.steps // 20)

    def watch(state: training.TrainingState, metrics: training.Metrics) -> None:
        step = int(state.step)
        if step % every == 0 or step == settings.steps:
            if not np.isfinite(float(metrics["loss"])):
                raise ValueError(f"--learning-rate: training diverged at step {step}")
            found = "  ".join(f"{name} {float(value):.3f}" for name, value in metrics.items())
            print(f"step {step:6d}  {found}", file=sys.stderr, flush=True)
        if asked:
            raise _Enough(state)

    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:  # until all is written Ctrl-C only asks
        try:
            state = training.train(config, settings, watch=watch)
        except _Enough as stopped:
            state = stopped.state
        params, steps = jax.device_get(state.average), int(state.step)
        lists = min(arguments.lists, 100) if asked else arguments.lists
        measured = evaluation.measure(params, config, settings, lists)
        details = {"steps": steps, "version": arlsort.__version__}
        checkpoint.save(out, params, config, settings, details=details, **measured._asdict())
    finally:
        signal.signal(signal.SIGINT, before)
    _print_scores(measured.scores)
    print(f"{steps} steps, validated to n = {measured.validated_length}: {out}")
    if asked:
        sys.exit(130)


def _check_out(out: Path, overwrite: bool) -> Path:
    """Refuses, before anything is trained, what could not be written or would be lost."""
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


def evaluate(arguments: argparse.Namespace) -> None:
    """Prints exact order and micro-F1 on fresh lists, by length."""
    _within("lists", arguments.lists, 1)
    if arguments.checkpoint is not None:
        if arguments.algorithm or arguments.noise:
            raise ValueError("--checkpoint: says the sort and the noise; leave those out")
        found = checkpoint.load(arguments.checkpoint)
    else:
        found = checkpoint.shipped(arguments.algorithm or "insertion_sort", arguments.noise)
    lengths = arguments.lengths or sorted(set(found.training.lengths))
    for length in lengths:
        _within("lengths", length, 2)
    key = jax.random.key(0)
    scores: dict[str, dict[str, float]] = {"exact_order": {}, "micro_f1": {}}
    spread = found.sharpest_spread
    for n in lengths:
        at_n = evaluation.score(
            found.params, key, found.config, n, spread, found.noise, arguments.lists
        )
        for name, values in scores.items():
            values[str(n)] = float(at_n[name])
    print(f"{found.config.algorithm}, noise {found.noise}, range of scores {spread:g}")
    _print_scores(scores)


def _print_scores(scores: Any) -> None:
    for name in ("exact_order", "micro_f1"):
        cells = (f"n={n}: {100 * value:.1f}" for n, value in scores[name].items())
        print(f"{name:12} {'  '.join(cells)}")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command; what is not allowed ends in one line and code 2."""
    arguments = (top := parser()).parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # of `operators | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, OSError, MemoryError, JaxRuntimeError) as error:
        print(f"{top.prog} {arguments.name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
