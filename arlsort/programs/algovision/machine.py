# SPDX-License-Identifier: Apache-2.0
"""How a program of statements runs: integers first, in Python, then everything else, compiled.

AlgoVision's integer variables do not depend on the values of the inputs. So all of them are known
when a program is traced. `Integers` walks through it pass by pass and records the value of every
integer expression. A compiled loop looks these up by the numbers of its passes. So loops compile
once, and lambdas on integers are plain Python.
"""

import contextlib
import contextvars
import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import LambdaType
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from arlsort.checks import error_message
from arlsort.programs.relaxed import Relaxer

State = dict[str, jax.Array]
Site = tuple[int, Any]
"""An integer expression: the id of its statement, and which of the statement's it is."""

INTEGERS = "an int or a list of ints that does not depend on the values of inputs"


EXACT = contextvars.ContextVar("exact", default=False)
"""Whether functions of the program are called by the exact one: `Min` and the like ask."""


@contextlib.contextmanager
def exactness(exact: bool) -> Iterator[None]:
    """Calls functions as the exact program does, or as the relaxed one."""
    token = EXACT.set(exact)
    try:
        yield
    finally:
        EXACT.reset(token)


class Changed:
    """The value of an integer after a `While` that changes it: it depends on the data."""


CHANGED = Changed()


class Statement(Protocol):
    """A step of a program."""

    def simulate(self, integers: "Integers") -> None:
        """Runs it on integers, and records the values of its integer expressions."""

    def run(self, state: State, machine: "Machine") -> State:
        """Runs it on arrays."""


def arguments(function: Callable[..., Any]) -> list[str]:
    """The variables that a function asks for, by the names of its arguments."""
    return list(inspect.getfullargspec(function)[0])


def as_integers(name: str, value: Any) -> int | list[int]:
    """Checks an integer or an iterable of integers.

    Raises:
      TypeError: If it is anything else.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, Iterable) and not isinstance(value, (str, jax.Array)):
        listed = list(value)
        if all(isinstance(one, (int, np.integer)) for one in listed):
            return [int(one) for one in listed]
    received = f"{value} of type {type(value).__name__}"
    raise TypeError(error_message(name, received, INTEGERS))


@dataclasses.dataclass
class Integers:
    """All integers of a program, while it is walked through.

    Attributes:
      shapes: Shapes and dtypes of the arrays of the program, by name.
      values: Integer variables with their values now.
      max_iter: The most passes of a `While`.
      passes: The numbers of the passes of the loops around.
      found: The value of each site, by the numbers of the passes.
    """

    shapes: Mapping[str, jax.ShapeDtypeStruct]
    values: dict[str, Any]
    max_iter: int
    passes: tuple[int, ...] = ()
    found: dict[Site, dict[tuple[int, ...], Any]] = dataclasses.field(default_factory=dict)

    def get(self, name: str) -> Any:
        """An integer variable, or the shape of an array."""
        if name not in self.values and name not in self.shapes:
            known = ", ".join([*self.shapes, *self.values])
            raise ValueError(error_message("variable", repr(name), known))
        value = self.values.get(name, self.shapes.get(name))
        if isinstance(value, Changed):
            received = "a read after a While that changes it, how often depends on the data"
            raise ValueError(error_message(name, received, "a LetInt before it is read"))
        return value

    def call(self, function: Callable[..., Any]) -> Any:
        """Calls a function of variables."""
        return function(*(self.get(name) for name in arguments(function)))

    def evaluate(self, name: str, value: Any) -> int | list[int]:
        """The value of an integer expression: a function, the name of a variable, a number."""
        if isinstance(value, LambdaType):
            return as_integers(name, self.call(value))
        return as_integers(name, self.get(value) if isinstance(value, str) else value)

    def record(self, site: Site, value: Any) -> None:
        """Records the value of an expression."""
        found = self.found.setdefault(site, {})
        if found.setdefault(self.passes, value) != value:
            received = f"one statement in two places, where {site[1]} differs"
            raise ValueError(error_message("Algorithm", received, "a statement for each place"))

    def record_arguments(self, statement: Any, function: Callable[..., Any]) -> None:
        """Records the integer variables that a statement's function asks for."""
        for name in arguments(function):
            if name in self.values:
                self.record((id(statement), name), self.get(name))

    def run(self, statements: Sequence[Statement], *, inside: int | None = None) -> None:
        """Walks through statements, in a pass of a loop or not."""
        outer = self.passes
        self.passes = outer if inside is None else (*outer, inside)
        for statement in statements:
            statement.simulate(self)
        self.passes = outer


@dataclasses.dataclass(frozen=True)
class Machine:
    """The context that statements run in.

    Attributes:
      found: The values of integer expressions, from `Integers`.
      beta: One over the temperature, of conditions that have none of their own.
      max_iter: The most passes of a `While`.
      epsilon: A row with no more weight than this counts as stopped.
      exact: Whether this is the exact program.
      debug: Whether to print the weights of `If` and `While`.
      batch_size: How many rows there are.
      passes: The numbers of the passes of the loops around, traced.
    """

    found: Mapping[Site, Mapping[tuple[int, ...], Any]]
    beta: ArrayLike
    max_iter: int
    epsilon: float
    exact: bool
    debug: bool
    batch_size: int
    passes: tuple[jax.Array, ...] = ()

    def inside(self, number: jax.Array) -> "Machine":
        """The same inside a pass of a loop."""
        return dataclasses.replace(self, passes=(*self.passes, number))

    def relaxer(self, beta: ArrayLike | None = None) -> Relaxer:
        """Where conditions come from."""
        return Relaxer(
            1 / jnp.asarray(self.beta if beta is None else beta, float), exact=self.exact
        )

    def knows(self, statement: Any, slot: Any) -> bool:
        """Whether a statement has an integer there."""
        return (id(statement), slot) in self.found

    def most(self, statement: Any, slot: Any) -> int:
        """The largest that an integer expression ever is."""
        return max(self.found.get((id(statement), slot), {(): 0}).values())

    def value(self, statement: Any, slot: Any) -> Any:
        """The value of an integer expression: a Python value if it is always the same."""
        here = self.found[id(statement), slot]
        found = {key: value for key, value in here.items() if len(key) == len(self.passes)}
        values = list(found.values())
        if all(value == values[0] for value in values):
            return values[0]
        if any(np.shape(value) != np.shape(values[0]) for value in values):
            raise ValueError(error_message(str(slot), "lists of several lengths", "of one length"))
        keys = np.array(list(found))
        table = np.zeros((*(keys.max(axis=0) + 1), *np.shape(values[0])), np.int32)
        for key, value in found.items():
            table[key] = value
        return jnp.asarray(table)[self.passes]

    def get(self, statement: Any, name: str, state: State) -> Any:
        """A variable that a statement asks for, an integer or an array."""
        if self.knows(statement, name):
            return self.value(statement, name)
        if name not in state:
            raise ValueError(error_message("variable", repr(name), ", ".join(state)))
        return state[name]

    def call(self, statement: Any, function: Callable[..., Any], state: State) -> Any:
        """Calls a function of variables, of integers and of arrays."""
        values = [self.get(statement, name, state) for name in arguments(function)]
        with exactness(self.exact):
            return function(*values)
