# SPDX-License-Identifier: Apache-2.0
"""Reads numbers: from the command line, a file or standard input."""

import dataclasses
import io
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from arlsort import checks

STDIN = "-"
_LARGEST = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class NumberList:
    """One list of numbers to sort, and the line that it is from, counted from 1."""

    numbers: list[float]
    line: int


def number(word: str, where: str) -> float:
    """Reads a number that fits in float32, or one that is not finite; raises ValueError."""
    try:
        value = float(word)
    except ValueError:
        raise ValueError(checks.error_message(where, repr(word), "numbers")) from None
    if _LARGEST < abs(value) < np.inf:
        raise ValueError(
            checks.error_message(where, value, f"at most {_LARGEST:.3g} in size, in float32")
        )
    return value


def read(path: str, *, lines: bool) -> list[NumberList]:
    """Reads numbers between white space or commas, from a file or, of `-`, standard input.

    Args:
      path: Which file.
      lines: Whether each line that is not blank is a list of its own. Else all are one list.

    Returns:
      Lists, none of them empty.

    Raises:
      ValueError: If there is no number, or a word is not a number; the message names the line.
      OSError: If the file cannot be read.
    """
    name = "standard input" if path == STDIN else path
    try:
        if path == STDIN:
            found = list(_lists(_stdin(), name))
        else:
            with open(path, encoding="utf-8-sig") as file:
                found = list(_lists(file, name))
    except UnicodeDecodeError:
        where = name if path == STDIN else f"--file: {name}"
        raise ValueError(checks.error_message(where, "bytes", "text in UTF-8")) from None
    except OSError as error:
        raise OSError(f"--file: {name}: {error.strerror}") from None
    if not found:
        raise ValueError(f"{name}: holds no numbers")
    return found if lines else [NumberList([x for each in found for x in each.numbers], 1)]


def _stdin() -> Iterator[str]:
    """The lines of standard input, read as a file is, whatever encoding the terminal has."""
    if sys.stdin is None:
        raise ValueError("standard input: is closed")
    buffer = getattr(sys.stdin, "buffer", None)
    if buffer is None:
        yield from sys.stdin
        return
    text = io.TextIOWrapper(buffer, encoding="utf-8-sig")
    try:
        yield from text
    finally:
        text.detach()  # else it would close standard input


def _lists(rows: Iterable[str], name: str) -> Iterable[NumberList]:
    for count, row in enumerate(rows, 1):
        if row.isspace():
            continue
        yield NumberList(_row(row, f"{name}, line {count}"), count)


def _row(row: str, where: str) -> list[float]:
    fields = row.split(",")
    if not fields[-1].strip():  # a comma may end a line
        fields.pop()
    if not fields or not all(field.strip() for field in fields):
        raise ValueError(checks.error_message(where, "a comma without a number", "numbers"))
    return [number(word, where) for field in fields for word in field.split()]


def choose(words: Sequence[str], path: str | None, *, lines: bool) -> list[NumberList]:
    """Takes the numbers from where the command line says; raises ValueError or OSError."""
    if words and path is not None:
        received = f"{words[0]} and --file {path}"
        raise ValueError(checks.error_message("numbers", received, "one of them"))
    if path is not None or list(words) == [STDIN]:
        return read(STDIN if path is None else path, lines=lines)
    if not (row := " ".join(words)).strip():
        allowed = "numbers, - for standard input, or --file FILE"
        raise ValueError(checks.error_message("numbers", "none", allowed))
    if lines:
        raise ValueError("--lines: needs --file FILE or - for standard input")
    return [NumberList(_row(row, "numbers"), 1)]
