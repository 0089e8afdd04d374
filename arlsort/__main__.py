# SPDX-License-Identifier: Apache-2.0
"""The command line: `arlsort sort 3 1 2`, `operators`, `experiments`, `train`, `evaluate`.

`python -m arlsort` is the same. `--help` after `arlsort` or a command explains it. A wrong command
line ends with one line on standard error and code 2.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jax.errors import JaxRuntimeError

import arlsort
from arlsort.commands import evaluation, listing, sorting, training

DESCRIPTION = "Differentiable sorting."


class Parser(argparse.ArgumentParser):
    """Reports errors in one line."""

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

    for group in (sorting, listing, training, evaluation):
        group.add(command)
    return top


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command; an error ends with one line and code 2."""
    arguments = (top := parser()).parse_args(argv)
    try:
        if sys.stdout is None:
            raise OSError("standard output: is closed")
        arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # of `operators | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, OSError, MemoryError, JaxRuntimeError) as error:
        top.exit(2, f"{top.prog} {arguments.name}: {' '.join(str(error).split())}\n")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
