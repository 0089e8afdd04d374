# SPDX-License-Identifier: Apache-2.0
"""The command line: `arlsort sort 3 1 2`, `operators`, `train`, `evaluate`.

`python -m arlsort` is the same. `arlsort --help`, and `--help` after a command, say what there is.
A command line that is not allowed ends with one line on standard error and code 2.
"""

import argparse
import dataclasses
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError

import arlsort
from arlsort import training_commands
from arlsort.operators import parse, registry
from arlsort.operators.base import Operator

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

    training_commands.add(command)
    return top


def _operator(spec: str, temperature: float | None, seed: int | None) -> Operator:
    operator = parse(spec)
    if seed is not None:
        training_commands.check_seed(seed)
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
