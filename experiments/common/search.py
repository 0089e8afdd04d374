# SPDX-License-Identifier: Apache-2.0
"""The grid of `--search`: every temperature at every rate, then every k."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from absl import flags

from experiments.common.command_line import Diverged, check_once, refused
from experiments.common.methods import Method, read_specs

TEMPERATURES, RATES, NUMBERS = "search_temperatures", "search_rates", "search_k"
TITLES = {TEMPERATURES: "temperature", RATES: "rate", NUMBERS: "k"}
"""What is searched, by the names of the flags."""

Point = tuple[Any, Method]
"""A configuration with a `learning_rate`, and a method."""


def define_flags(define: SimpleNamespace, grids: Mapping[str, Sequence[float]]) -> None:
    """Defines `--search`, and a flag for each grid.

    Args:
      define: As `command_line.definers` makes it.
      grids: The defaults, by names of `TITLES`.
    """
    searched = listed([TITLES[name] for name in grids])
    define.boolean("search", False, f"Choose {searched} on the validation data.")
    for name, values in grids.items():
        define.list(name, [f"{value:g}" for value in values], "What --search tries.")


def listed(words: Sequence[str]) -> str:
    """Writes words as a list in a sentence.

    Example:
      >>> listed(["temperature", "rate", "k"])
      'temperature, rate and k'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def chosen_of(grids: Mapping[str, Sequence[float]]) -> str:
    """Says what a report's search chose, and of which values.

    Example:
      >>> chosen_of({"search_temperatures": [0.3, 1.0], "search_rates": [0.1]})
      'temperature in {0.3, 1}, rate in {0.1}'
    """
    return ", ".join(f"{TITLES[name]} in {written(values)}" for name, values in grids.items())


def written(values: Sequence[float]) -> str:
    """Writes a grid as a set."""
    return f"{{{', '.join(f'{value:g}' for value in values)}}}"


def read(values: flags.FlagValues, candidates: int = 0) -> dict[str, list[float]] | None:
    """The grids by the names of their flags; None without `--search`.

    Args:
      values: The flags.
      candidates: How large k may be, where it is searched.

    Raises:
      FlagError: If a grid is not allowed, or a flag would change nothing.
    """
    if not values.search:
        for name in TITLES:
            if name in values and values[name].present:
                raise refused(name, ",".join(getattr(values, name)), "nothing without --search")
        return None
    if values["learning_rate"].present:
        raise refused("learning_rate", values.learning_rate, f"nothing beside --search: --{RATES}")
    for spec in read_specs(values.operators) if values["operators"].present else ():
        if re.search("[:,]temperature=", spec):
            raise refused("operators", spec, f"no temperature beside --search: --{TEMPERATURES}")
    grids: dict[str, list[str]] = {n: getattr(values, n) for n in TITLES if n in values}
    return {name: _checked(name, texts, candidates) for name, texts in grids.items()}


def _checked(name: str, texts: list[str], candidates: int) -> list[float]:
    found = [_number(text) for text in texts]
    if not found or not all(0 < value < math.inf for value in found):
        raise refused(name, ",".join(texts), "numbers > 0")
    if name == NUMBERS and not all(value % 1 == 0 and value <= candidates for value in found):
        raise refused(name, ",".join(texts), f"integers from 1 to {candidates}, the candidates")
    check_once(name, (f"{value:g}" for value in found))
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def heated(point: Point, grids: dict[str, list[float]]) -> list[Point]:
    """The points of the grid of temperatures and rates; of rates alone without a temperature."""
    config, method = point
    methods = [method]
    if method.has_temperature:
        methods = [method.heated(heat) for heat in grids[TEMPERATURES]]
    rates = [dataclasses.replace(config, learning_rate=rate) for rate in grids[RATES]]
    return [(one, warm) for warm in methods for one in rates]


def counted(point: Point, grids: dict[str, list[float]]) -> list[Point]:
    """The points of the grid of k; the point alone if nothing has a k."""
    config, method = point
    if method.operator is None:
        return [point]
    return [(dataclasses.replace(config, k=int(k)), method) for k in grids[NUMBERS]]


def best(points: list[Point], score: Callable[[Point], float]) -> Point:
    """The point with the highest score, the first one of several; what diverges has the least.

    Raises:
      Diverged: If all do.
    """
    scores = []
    for point in points:
        try:
            scores.append(score(point))
        except Diverged as error:
            print(error)
            scores.append(-math.inf)
    if max(scores) == -math.inf:
        raise Diverged(f"{points[0][1].spec}: diverged at every point of the search")
    return points[scores.index(max(scores))]
