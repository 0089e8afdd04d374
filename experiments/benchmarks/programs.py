# SPDX-License-Identifier: Apache-2.0
"""Times an operator beside its peers: programs, in turn, for growing n, within a budget.

Forward is the function itself. Backward is forward and backward: the result, and the gradient of a
fixed weighted sum of it with respect to the scores.
"""

import dataclasses
import functools
import importlib.metadata
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arlsort import operators
from arlsort.operators.base import Operator
from experiments.benchmarks import timing
from experiments.benchmarks.peers import ROWS, Peer, Row

WHAT = ("values", "permutation")
DIRECTIONS = ("forward", "backward")
YARDSTICK = "jnp.sort"
FLOAT_BYTES = 4
SMALL = (2, 8)  # the scores on which a peer's result is compared with ours

# Where there is one length only, time is taken to grow with this power of n.
GROWTH = 3.0
SLOWEST_GROWTH, FASTEST_GROWTH = 1.0, 4.0


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much time and memory a measurement may take.

    Attributes:
      repeats: Most timed runs of a program.
      budget_seconds: Time for the repeats of a program; one whose first run takes longer is not run
        again.
      give_up_seconds: A program that is expected to take longer, from how its time has grown, is
        left out.
      max_bytes: So is one that would work in more memory, where that is known before it runs.
    """

    repeats: int
    budget_seconds: float
    give_up_seconds: float
    max_bytes: float

    def runs(self, first: float) -> int:
        """How often to repeat a program whose first run took this long."""
        if first > self.budget_seconds:
            return 0
        return min(self.repeats, max(1, int(self.budget_seconds / max(first, 1e-9))))


class Skipped(Exception):
    """A program that is not run, and why."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A program that is ready to run.

    Attributes:
      run: Runs it.
      ready_seconds: What it took to compile (JAX) or to set up (others).
      bytes: Temporary memory and output, where known.
    """

    run: Callable[[], Any]
    ready_seconds: float
    bytes: int | None


def prepare(
    function: Callable[[], Callable[[Any], Any]],
    framework: str,
    direction: str,
    x: np.ndarray,
    mix: np.ndarray,
    max_bytes: float = math.inf,
) -> Prepared:
    """Makes a program ready: everything that is done once is done here, and timed apart.

    Args:
      function: Gives the function of the scores.
      framework: What the function is written in.
      direction: `forward` or `backward`.
      x: Scores.
      mix: Weights of the sum that is differentiated, in the shape of the result.
      max_bytes: What a JAX program may use.

    Raises:
      Skipped: If it would use more, or has no gradient.
    """
    if framework == "numpy" and direction == "backward":
        raise Skipped("no gradient")
    return {"jax": _jax_program, "torch": _torch_program, "numpy": _numpy_program}[framework](
        function, direction, x, mix, max_bytes
    )


def _jax_program(
    function: Callable[[], Callable[[Any], Any]],
    direction: str,
    x: np.ndarray,
    mix: np.ndarray,
    max_bytes: float,
) -> Prepared:
    arguments = tuple(map(jnp.asarray, (x,) if direction == "forward" else (x, mix)))
    jax.clear_caches()  # of traces of the same function for another program
    start = time.perf_counter()
    forward = function()

    def backward(x: jax.Array, mix: jax.Array) -> tuple[jax.Array, jax.Array]:
        result, pull = jax.vjp(forward, x)
        return result, pull(mix)[0]

    compiled: Any = (
        jax.jit(forward if direction == "forward" else backward).lower(*arguments).compile()
    )
    ready = time.perf_counter() - start
    memory = compiled.memory_analysis()
    used = memory.temp_size_in_bytes + memory.output_size_in_bytes
    if used > max_bytes:
        raise Skipped(f"needs {used / 1e9:.1f} GB")
    return Prepared(lambda: compiled(*arguments), ready, used)


def _torch_program(
    function: Callable[[], Callable[[Any], Any]],
    direction: str,
    x: np.ndarray,
    mix: np.ndarray,
    max_bytes: float,
) -> Prepared:
    import torch

    start = time.perf_counter()
    forward = function()
    ready = time.perf_counter() - start
    scores, weights = torch.tensor(x), torch.tensor(mix)

    def run_forward() -> Any:
        with torch.no_grad():
            return forward(scores).numpy()

    def run_backward() -> Any:
        leaf: Any = scores.clone().requires_grad_()
        result = forward(leaf)
        result.backward(weights)
        return result.detach().numpy(), leaf.grad.numpy()

    return Prepared(run_forward if direction == "forward" else run_backward, ready, None)


def _numpy_program(
    function: Callable[[], Callable[[Any], Any]],
    direction: str,
    x: np.ndarray,
    mix: np.ndarray,
    max_bytes: float,
) -> Prepared:
    start = time.perf_counter()
    forward = function()
    return Prepared(lambda: forward(x), time.perf_counter() - start, None)


@dataclasses.dataclass
class Series:
    """One program over growing n: what was measured so far, to foresee what comes.

    Attributes:
      points: n and seconds for a list, of each length measured.
      ended: Why it is not run any more.
    """

    points: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    ended: str = ""

    def expected(self, n: int, batch: int) -> float:
        """Seconds of a run for lists of n; to compile a longer program need not take longer."""
        if not self.points:
            return 0.0
        length, seconds = self.points[-1]
        power = GROWTH
        if len(self.points) > 1:
            shorter, before = self.points[-2]
            power = math.log(seconds / before) / math.log(length / shorter)
        power = min(max(power, SLOWEST_GROWTH), FASTEST_GROWTH)
        return seconds * batch * (n / length) ** power


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


def inputs(what: str, n: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores `[batch, n]` and the weights of a sum of values or of P, float32."""
    generator = np.random.default_rng(n)
    shape = (batch, n, n) if what == "permutation" else (batch, n)
    return (
        generator.standard_normal((batch, n), np.float32),
        generator.standard_normal(shape, np.float32),
    )


Candidates = dict[str, tuple[Callable[[], Callable[[Any], Any]], str]]


def candidates(of: Subject, what: str, n: int) -> Candidates:
    """The functions to compare, ours first, by name, with what each is written in."""
    function = of.operator.sort if what == "values" else of.operator.permutation

    def ours() -> Callable[[Any], Any]:
        try:
            jax.eval_shape(function, jax.ShapeDtypeStruct((n,), jnp.float32))
        except ValueError as error:  # lists may be too long for it
            raise Skipped(first_line(error)) from None
        return function

    found: Candidates = {of.name: (ours, "jax")}
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
      what: `values` or `permutation`.
      direction: `forward` or `backward`.
      sizes: n and batch, n ascending.
      limits: What it may take.
      yardstick_from: From which n on `jnp.sort` is measured beside the values.

    Returns:
      For each n a record; in it, for the operator and for each peer by name, either what was
      measured or why it was not.
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
        found = _compare(tried, series, direction, inputs(what, n, batch), limits)
        record["ours"] = found.pop(of.name)
        record["peers"] = found
        for measured in found.values():
            if "seconds" in measured and "seconds" in record["ours"]:
                measured["ratio"] = measured["seconds"] / record["ours"]["seconds"]
        records.append(record)
    return records


def _compare(
    tried: Candidates,
    series: dict[str, Series],
    direction: str,
    arrays: tuple[np.ndarray, np.ndarray],
    limits: Limits,
) -> dict[str, dict[str, Any]]:
    """Runs the programs of one comparison in turn; what cannot run says why."""
    batch, n = arrays[0].shape
    found: dict[str, dict[str, Any]] = {}
    ready: dict[str, Prepared] = {}
    for name, (function, framework) in tried.items():
        own = series.setdefault(name, Series())
        expected = own.expected(n, batch)
        if own.ended:
            found[name] = {"skipped": own.ended}
            continue
        if expected > limits.give_up_seconds:
            found[name] = {"skipped": f"would take about {expected:.0f} s"}
            continue
        try:
            program = prepare(function, framework, direction, *arrays, limits.max_bytes)
            # Once before the runs that are timed: here it may fail, and memory is new to it.
            jax.block_until_ready(program.run())
            ready[name] = program
        except Skipped as reason:
            found[name] = {"skipped": str(reason)}
            own.ended = f"{reason} at n = {n}"
        except Exception as error:  # of other people's code, all of them
            found[name] = {"failed": first_line(error)}
            own.ended = f"failed at n = {n}"
    seconds = timing.in_turn({name: p.run for name, p in ready.items()}, limits.runs)
    for name, program in ready.items():
        median = statistics.median(seconds[name])
        # The fastest run says most about the next n: it has the least of what else goes on.
        series[name].points.append((n, min(seconds[name]) / batch))
        found[name] = {
            "seconds": median,
            "fastest": min(seconds[name]),
            "runs": len(seconds[name]),
            "ready_seconds": program.ready_seconds,
            "bytes": program.bytes,
        }
    return {name: found[name] for name in tried}


def deviations(of: Subject) -> list[dict[str, Any]]:
    """How far each peer's results are from ours on small scores: is like compared with like?"""
    found = []
    for what in WHAT:
        if what == "permutation" and not of.operator.has_permutation:
            continue
        x, mix = inputs(what, SMALL[1], SMALL[0])
        tried = candidates(of, what, SMALL[1])
        ours = np.asarray(prepare(*tried[of.name], "forward", x, mix).run())
        for peer in of.peers:
            if peer.name not in tried:
                continue
            record: dict[str, Any] = {
                "operator": of.name,
                "peer": peer.name,
                "alike": peer.alike,
                "what": what,
            }
            try:
                theirs = np.asarray(prepare(*tried[peer.name], "forward", x, mix).run())
                record["deviation"] = float(np.abs(theirs - ours).max())
            except Exception as error:  # of other people's code, all of them
                record["failed"] = first_line(error)
            found.append(record)
    return found


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of packages by the names under which they are imported."""
    owners = importlib.metadata.packages_distributions()
    return {name: importlib.metadata.version(owners[name][0]) for name in packages}
