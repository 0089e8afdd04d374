# SPDX-License-Identifier: Apache-2.0
"""Times an operator beside its peers: programs, in turn, for growing n, within limits."""

import dataclasses
import functools
import importlib.metadata
import math
import re
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arlsort import operators
from arlsort.operators.base import Operator
from arlsort.operators.registry import REGISTRY
from experiments.benchmarks import preparing, selections, timing
from experiments.benchmarks.peers import ROWS, Peer, Row
from experiments.benchmarks.preparing import Prepared, Skipped

WHAT = ("values", "permutation")
YARDSTICK = "jnp.sort"
WHOLE = "the whole P"  # of which a selection is a part
MOVEMENT = "memory"
FLOAT_BYTES = 4
SMALL = (2, 8)  # the scores on which a peer's result is compared with ours

# Time is taken to grow with at least this power of n, and at most that one.
SLOWEST_GROWTH, FASTEST_GROWTH = 1.0, 4.0
LEAST_RUNS = 4  # of which there are quartiles
_POWER = re.compile(r"n\^([0-9.]+)")


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much time and memory a measurement may take.

    Attributes:
      repeats: Most timed runs of a program.
      budget_seconds: Time for the repeats of a program; one whose run takes longer has one, every
        other at least `LEAST_RUNS`.
      give_up_seconds: A program whose run is expected to take longer, from how the time of its runs
        has grown, is left out. What it took to compile does not count.
      max_bytes: So is one that would work in more memory, where that is known before it runs.
      until: When to begin no more programs, by `time.monotonic`.
    """

    repeats: int
    budget_seconds: float
    give_up_seconds: float
    max_bytes: float
    until: float = math.inf

    def runs(self, first: float) -> int:
        """How often to run a program that took this long to warm up."""
        least = LEAST_RUNS if first <= self.budget_seconds else 1
        return min(self.repeats, max(least, int(self.budget_seconds / max(first, 1e-9))))


@dataclasses.dataclass
class Series:
    """One program over growing n: what was measured so far, to foresee what comes.

    Attributes:
      growth: With which power of n its time grows in theory.
      points: n and seconds of a run for a list, of each length measured.
      ended: Why it is not run any more.
    """

    growth: float = 2.0
    points: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    ended: str = ""

    def expected(self, n: int, batch: int) -> float:
        """Seconds of a run for lists of n; to compile a longer program need not take longer."""
        if not self.points:
            return 0.0
        length, seconds = self.points[-1]
        power = self.growth
        if len(self.points) > 1:
            shorter, before = self.points[-2]
            power = math.log(seconds / before) / math.log(length / shorter)
        power = min(max(power, SLOWEST_GROWTH), FASTEST_GROWTH)
        return seconds * batch * (n / length) ** power


def growth(name: str, what: str) -> float:
    """With which power of n the time of an operator's values or of its P grows, by the registry."""
    facts = REGISTRY[name].facts
    stated = facts.time if facts else ()
    if len(stated) < 2 and what != "values":
        return Series.growth
    known = _POWER.search(stated[0 if what == "values" else 1]) if stated else None
    return float(known[1]) if known else SLOWEST_GROWTH


@dataclasses.dataclass(frozen=True)
class Subject:
    """An operator with its peers, as it is measured."""

    name: str
    spec: str
    operator: Operator
    peers: tuple[Peer, ...]


def subject(name: str) -> Subject:
    """The registered operator of a name, with the settings and the installed peers of its row."""
    row = ROWS.get(name, Row())
    spec = f"{name}:{row.settings}" if row.settings else name
    operator = operators.parse(spec)
    if operator.needs_key:
        operator = dataclasses.replace(operator, key=jax.random.key(0))  # type: ignore[call-arg]
    return Subject(name, spec, operator, tuple(peer for peer in row.peers if peer.installed()))


def inputs(what: str, n: int, batch: int) -> tuple[np.ndarray, Any]:
    """Scores `[batch, n]` and the weights of a sum of what is computed of them, float32."""
    generator = np.random.default_rng(n)
    x = generator.standard_normal((batch, n), np.float32)
    if what in selections.FUNCTIONS:
        result = selections.result(what, n, batch)
    else:
        shape = (batch, n, n) if what == "permutation" else (batch, n)
        result = jax.ShapeDtypeStruct(shape, jnp.float32)
    return x, jax.tree.map(lambda part: generator.standard_normal(part.shape, np.float32), result)


Candidates = dict[str, tuple[Callable[[], Callable[[Any], Any]], str]]


def candidates(of: Subject, what: str, n: int) -> Candidates:
    """The functions to compare, ours first, by name, with what each is written in."""
    whole = None
    if what in selections.FUNCTIONS:
        function = selections.function(what, of.operator)
        whole = selections.through_whole(what, of.operator)
    else:
        function = of.operator.sort if what == "values" else of.operator.permutation

    def ours() -> Callable[[Any], Any]:
        try:
            jax.eval_shape(function, jax.ShapeDtypeStruct((n,), jnp.float32))
        except ValueError as error:  # lists may be too long for it, or it has no P
            raise Skipped(first_line(error)) from None
        return function

    found: Candidates = {of.name: (ours, "jax")}
    if whole is not None:
        found[WHOLE] = (lambda: whole, "jax")
    temperature = getattr(of.operator, "temperature", math.nan)
    for peer in of.peers:
        if (make := peer.make(what)) is not None:
            found[peer.name] = (functools.partial(make, n, temperature), peer.framework)
    return found


def measure(
    of: Subject,
    what: str,
    direction: str,
    sizes: Sequence[tuple[int, int]],
    limits: Limits,
    yardstick_from: float = math.inf,
) -> list[dict[str, Any]]:
    """Times an operator and its peers, for each n and batch in turn.

    Args:
      of: What to measure.
      what: `values`, `permutation`, or a name in `selections`.
      direction: `forward` or `backward`.
      sizes: n and batch, n ascending.
      limits: What it may take.
      yardstick_from: From which n on `jnp.sort` is measured beside the values.

    Returns:
      For each n a record; in it, for the operator and for each peer by name, either what was
      measured or why it was not. Beside P, `memory` is what it takes to move its bytes.
    """
    series: dict[str, Series] = {}
    records = []
    for n, batch in sizes:
        tried = candidates(of, what, n)
        if what == "values" and n >= yardstick_from:
            tried[YARDSTICK] = (lambda: lambda x: jnp.sort(x, axis=-1), "jax")
        record: dict[str, Any] = {
            "operator": of.name,
            "spec": of.spec,
            "what": what,
            "direction": direction,
            "n": n,
            "batch": batch,
        }
        if what == "permutation":  # P is written once, and its cotangent read once
            passes = 1 if direction == "forward" else 2
            record["floor_bytes"] = passes * batch * n * n * FLOAT_BYTES
        for name in tried:
            whole = name == WHOLE and "permutation"
            series.setdefault(name, Series(growth(of.name, whole or what)))
        found = _compare(tried, series, what, direction, inputs(what, n, batch), limits)
        record["ours"] = found.pop(of.name)
        if MOVEMENT in found:
            record[MOVEMENT] = found.pop(MOVEMENT)
        record["peers"] = found
        records.append(record)
    return records


def _compare(
    tried: Candidates,
    series: dict[str, Series],
    what: str,
    direction: str,
    arrays: tuple[np.ndarray, Any],
    limits: Limits,
) -> dict[str, dict[str, Any]]:
    """Runs the programs of one comparison in turn; what cannot run says why."""
    batch, n = arrays[0].shape
    found: dict[str, dict[str, Any]] = {}
    ready: dict[str, Prepared] = {}
    planned: dict[str, int] = {}
    for name, candidate in tried.items():
        try:
            ready[name], warm = _warm(candidate, series[name], direction, arrays, limits)
            planned[name] = limits.runs(warm)
        except Skipped as reason:
            found[name] = {"skipped": str(reason)}
        except Exception as error:  # of other people's code, all of them
            found[name] = {"failed": first_line(error)}
            series[name].ended = f"failed at n = {n}"
    ours = next(iter(tried))
    if ours in ready and what == "permutation":
        ready[MOVEMENT] = preparing.movement(direction, arrays[1])
        planned[MOVEMENT] = limits.runs(timing.seconds_of(ready[MOVEMENT].run))
    seconds = timing.rounds({name: p.run for name, p in ready.items()}, planned)
    for name, program in ready.items():
        found[name] = {
            "seconds": statistics.median(seconds[name]),
            "fastest": min(seconds[name]),
            "runs": len(seconds[name]),
            "ready_seconds": program.ready_seconds,
            "bytes": program.bytes,
        }
        if name in series:
            # The fastest run says most about the next n: it has the least of what else goes on.
            series[name].points.append((n, min(seconds[name]) / batch))
        if name not in (ours, MOVEMENT) and ours in ready:
            found[name] |= timing.ratios(seconds[name], seconds[ours])
    return {name: found[name] for name in (*tried, MOVEMENT) if name in found}


def _warm(
    candidate: tuple[Callable[[], Callable[[Any], Any]], str],
    own: Series,
    direction: str,
    arrays: tuple[np.ndarray, Any],
    limits: Limits,
) -> tuple[Prepared, float]:
    """Makes a program ready and runs it once, to warm up: that run does not count.

    Raises:
      Skipped: If it is not to be run.
    """
    batch, n = arrays[0].shape
    if own.ended:
        raise Skipped(own.ended)
    if time.monotonic() > limits.until:
        raise Skipped("no time left")
    expected = own.expected(n, batch)
    if expected > limits.give_up_seconds:
        raise Skipped(f"would take about {expected:.3g} s")
    try:
        program = preparing.prepare(*candidate, direction, *arrays, limits.max_bytes)
    except Skipped as reason:
        own.ended = f"{reason} at n = {n}"
        raise
    return program, timing.seconds_of(program.run)


def deviations(of: Subject) -> list[dict[str, Any]]:
    """How far each peer's results are from ours on small scores: is like compared with like?"""
    found = []
    for what in (*WHAT, *selections.FUNCTIONS):
        if what == "permutation" and not of.operator.has_permutation:
            continue
        x, mix = inputs(what, SMALL[1], SMALL[0])
        tried = candidates(of, what, SMALL[1])
        ours = None
        for peer in of.peers:
            if peer.name not in tried:
                continue
            if ours is None:
                ours = _result(tried[of.name], x, mix)
            record: dict[str, Any] = {
                "operator": of.name,
                "peer": peer.name,
                "alike": peer.alike,
                "what": what,
            }
            try:
                record["deviation"] = max(
                    float(np.abs(one - other).max())
                    for one, other in zip(_result(tried[peer.name], x, mix), ours, strict=True)
                )
            except Exception as error:  # of other people's code, all of them
                record["failed"] = first_line(error)
            found.append(record)
    return found


def _result(
    candidate: tuple[Callable[[], Callable[[Any], Any]], str], x: np.ndarray, mix: Any
) -> list[np.ndarray]:
    program = preparing.prepare(*candidate, "forward", x, mix)
    return [np.asarray(part) for part in jax.tree.leaves(program.run())]


def first_line(error: Exception) -> str:
    """The kind of an error and what it says first, without what it suggests."""
    lines = str(error).strip().partition("; ")[0].splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of packages by the names under which they are imported."""
    owners = importlib.metadata.packages_distributions()
    return {name: importlib.metadata.version(owners[name][0]) for name in packages}
