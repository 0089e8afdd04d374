# SPDX-License-Identifier: Apache-2.0
"""How every script meets its user: flags, errors of one line, and Ctrl-C."""

import contextlib
import dataclasses
import functools
import importlib.util
import math
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from absl import flags
from tqdm import tqdm

from arlsort.checks import error_message

KINDS = ("boolean", "enum", "float", "integer", "list", "multi_string", "string")


class FlagError(Exception):
    """A flag that is not allowed; the message is one line."""


def refused(flag: str, received: Any, allowed: Any) -> FlagError:
    """Words the error of a flag, to be raised."""
    return FlagError(error_message(f"--{flag}", received, allowed))


class Diverged(Exception):
    """A loss is not finite any more; the message is one line."""


def check_finite(loss: float, run: str, steps: int, rate: str = "learning_rate") -> None:
    """Raises Diverged if the loss of a run after some steps is not finite; `rate` is its flag."""
    if not math.isfinite(loss):
        raise Diverged(
            f"{run}: the loss was not finite before step {steps}; try a smaller --{rate}"
        )


class Interrupted(Exception):
    """The script was asked to stop, and what it did has been saved."""


def definers(values: flags.FlagValues) -> SimpleNamespace:
    """Absl's `DEFINE_*` functions, named after their kinds, that define flags in `values`.

    Each script has flags of its own, since several may be imported in one process, and dm-clrs
    defines global ones of the same names.
    """
    return SimpleNamespace(
        **{
            kind: functools.partial(getattr(flags, f"DEFINE_{kind}"), flag_values=values)
            for kind in KINDS
        }
    )


def check_at_least(values: flags.FlagValues, name: str, least: int) -> None:
    """Refuses an integer flag below a bound, with a FlagError."""
    value: int = getattr(values, name)
    if value < least:
        raise refused(name, value, f"an integer >= {least}")


def check_choices(values: flags.FlagValues, name: str, allowed: Collection[str]) -> None:
    """Refuses a list flag with an element that is not allowed or there twice, with a FlagError."""
    for value in getattr(values, name):
        if value not in allowed:
            raise refused(name, repr(value), ", ".join(allowed))
    check_once(name, getattr(values, name))


def check_once(flag: str, values: Iterable[Any]) -> None:
    """Refuses a list flag of which an element is there twice, with a FlagError."""
    seen = set()
    for value in values:
        if value in seen:
            raise refused(flag, f"{value} twice", "each once")
        seen.add(value)


def check_out(values: flags.FlagValues) -> Path:
    """Gives the file that --out names; raises FlagError if results cannot be written there."""
    out = Path(values.out)
    if out.suffix != ".json" or out.is_dir():
        raise refused("out", values.out, "a file that ends in .json")
    return out


def read_lengths(values: flags.FlagValues, name: str) -> list[int]:
    """Reads a flag that lists n, ascending; raises FlagError."""
    texts: list[str] = getattr(values, name)
    lengths = [int(text) for text in texts if text.isdecimal()]
    if len(lengths) != len(texts) or lengths != sorted({n for n in lengths if n >= 2}):
        allowed = "integers of at least 2, each once, ascending"
        raise refused(name, ",".join(texts), allowed)
    return lengths


def check_clrs(flag: str) -> None:
    """Refuses a flag that needs dm-clrs where there is none, with a FlagError."""
    if importlib.util.find_spec("clrs") is None:
        raise FlagError(f'--{flag}: needs dm-clrs: pip install "arlsort[clrs]"')


@dataclasses.dataclass(frozen=True)
class Script:
    """A script as it is run.

    Attributes:
      name: What its errors begin with.
      about: What --help begins with.
      flags: Its flags.
      main: Does the work, with the flags read.
      errors: What the user can put right; each ends in one line instead of a traceback.
    """

    name: str
    about: str | None
    flags: flags.FlagValues
    main: Callable[[], None]
    errors: tuple[type[Exception], ...] = ()

    def parse(self, argv: Sequence[str]) -> None:
        """Reads the flags; a wrong one ends in one line, and --help explains them all."""
        if "--help" in argv:
            print(f"{self.about}\n{self.flags.get_help()}")
            sys.exit(0)
        try:
            rest = self.flags(argv)[1:]
        except flags.Error as error:
            self._end(error)
        if rest:
            self._end(f"unexpected argument {rest[0]!r}; settings are flags, --name=value")

    def run(self, argv: Sequence[str]) -> None:
        """Reads the flags and does the work."""
        self.parse(argv)
        try:
            self.main()
        except (FlagError, Diverged) as error:
            self._end(error)
        except self.errors as error:
            self._end(error)
        except (Interrupted, KeyboardInterrupt):
            hint = "; --resume continues" if "resume" in self.flags else ""
            print(f"{self.name}: interrupted{hint}", file=sys.stderr)
            sys.exit(130)

    def _end(self, error: object) -> None:
        print(f"{self.name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


class Stop:
    """Turns the first Ctrl-C or SIGTERM into a flag; a second one ends the process as usual."""

    def __init__(self) -> None:
        self.requested = False

    def request(self, signum: int, frame: Any) -> None:
        """Handles a signal."""
        self.requested = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        tqdm.write("stopping after the current steps; press Ctrl-C again to stop at once")

    @contextlib.contextmanager
    def on_signals(self) -> Iterator["Stop"]:
        """Listens while a block runs."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.request) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
