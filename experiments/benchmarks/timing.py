# SPDX-License-Identifier: Apache-2.0
"""How long programs take, run in turn so that the machine's moods meet all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

Program = Callable[[], Any]


def in_turn(
    programs: Mapping[str, Program], repeats: int | Callable[[float], int]
) -> dict[str, list[float]]:
    """Seconds of each run of programs that take turns, after one run of each to warm up.

    The first run is the one in which memory is new to the process, and code may be compiled. It
    counts only for a program that is not run again.

    Args:
      programs: What to run, by name; JAX arrays that they return are waited for.
      repeats: How often after the first run; or how often given the seconds that one took.
    """
    first = {name: seconds_of(program) for name, program in programs.items()}
    planned = {
        name: repeats if isinstance(repeats, int) else repeats(seconds)
        for name, seconds in first.items()
    }
    measured = rounds(programs, planned)
    return {name: seconds or [first[name]] for name, seconds in measured.items()}


def rounds(programs: Mapping[str, Program], planned: Mapping[str, int]) -> dict[str, list[float]]:
    """Seconds of each run of warm programs that take turns, each as often as planned.

    Every other round goes the other way, so that no program always follows the same one.
    """
    measured: dict[str, list[float]] = {name: [] for name in programs}
    names = list(programs)
    for i in range(max(planned.values(), default=0)):
        for name in names[:: -1 if i % 2 else 1]:
            if i < planned[name]:
                measured[name].append(seconds_of(programs[name]))
    return measured


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """How many times as long theirs took, round by round: the median, and quartiles if known."""
    found = [one / other for one, other in zip(theirs, ours, strict=False)]
    ratio = {"ratio": statistics.median(found)}
    if len(found) > 3:
        low, _, high = statistics.quantiles(found, n=4, method="inclusive")
        ratio |= {"ratio_low": low, "ratio_high": high}
    return ratio


def medians(
    programs: Mapping[str, Program], repeats: int | Callable[[float], int]
) -> dict[str, float]:
    """The medians of what `in_turn` measures."""
    return {name: statistics.median(s) for name, s in in_turn(programs, repeats).items()}


def seconds_of(program: Program) -> float:
    """Runs a program once, to the end of what it returns."""
    start = time.perf_counter()
    jax.block_until_ready(program())
    return time.perf_counter() - start
