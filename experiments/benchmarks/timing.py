# SPDX-License-Identifier: Apache-2.0
"""How long programs take, run in turn so that the machine's moods meet all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
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
    first = {name: _seconds(program) for name, program in programs.items()}
    planned = {
        name: repeats if isinstance(repeats, int) else repeats(seconds)
        for name, seconds in first.items()
    }
    measured: dict[str, list[float]] = {name: [] for name in programs}
    for i in range(max(planned.values(), default=0)):
        for name, program in programs.items():
            if i < planned[name]:
                measured[name].append(_seconds(program))
    return {name: seconds or [first[name]] for name, seconds in measured.items()}


def medians(
    programs: Mapping[str, Program], repeats: int | Callable[[float], int]
) -> dict[str, float]:
    """The medians of what `in_turn` measures."""
    return {name: statistics.median(s) for name, s in in_turn(programs, repeats).items()}


def _seconds(program: Program) -> float:
    start = time.perf_counter()
    jax.block_until_ready(program())
    return time.perf_counter() - start
