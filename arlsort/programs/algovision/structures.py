# SPDX-License-Identifier: Apache-2.0
"""The control structures: `If`, `While` and `For`."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
from jax.typing import ArrayLike

from arlsort.checks import error_message
from arlsort.programs import control, states
from arlsort.programs.algovision.conditions import Condition
from arlsort.programs.algovision.machine import CHANGED, Integers, Machine, State, Statement


def run_all(statements: Sequence[Statement], state: State, machine: Machine) -> State:
    """Runs statements one after the other."""
    for statement in statements:
        state = statement.run(state, machine)
    return state


def _listed(branch: Any) -> tuple[Statement, ...]:
    if branch is None:
        return ()
    return tuple(branch) if isinstance(branch, (list, tuple)) else (branch,)


class _Relaxed:
    """A statement with its own options; None takes those of the algorithm."""

    epsilon: float | None
    hard: bool | None
    debug: bool | None

    def _run(self, state: State, machine: Machine) -> State:
        raise NotImplementedError

    def run(self, state: State, machine: Machine) -> State:
        """Runs it, with its own options."""
        if self.epsilon is not None:
            machine = dataclasses.replace(machine, epsilon=self.epsilon)
        if self.debug is not None:
            machine = dataclasses.replace(machine, debug=self.debug)
        if self.hard is None or self.hard == machine.exact:
            return self._run(state, machine)
        soft = self._run(state, dataclasses.replace(machine, exact=False))
        if not self.hard:
            return soft
        exact = self._run(state, dataclasses.replace(machine, exact=True))
        return states.straight_through(soft, exact)


class If(_Relaxed):
    """Runs both branches, and mixes the states: `p if_true + (1 - p) if_false`.

    Args:
      condition: Gives every row its p.
      if_true: A statement, a list of statements, or None.
      if_false: The same.
      epsilon: A branch that has no more weight than this changes nothing, row by row.
      hard: Whether the branch is exact, with the gradient of the relaxed one.
      debug: Whether to print p.
    """

    def __init__(
        self,
        condition: Condition,
        if_true: Any = None,
        if_false: Any = None,
        epsilon: float | None = None,
        hard: bool | None = None,
        debug: bool | None = None,
    ) -> None:
        self.condition = condition
        self.if_true, self.if_false = _listed(if_true), _listed(if_false)
        self.epsilon, self.hard, self.debug = epsilon, hard, debug

    def simulate(self, integers: Integers) -> None:
        """Walks through both branches; integers must agree after them."""
        self.condition.simulate(integers)
        before = dict(integers.values)
        integers.run(self.if_true)
        after, integers.values = integers.values, before
        integers.run(self.if_false)
        for name, value in integers.values.items():
            if after[name] != value:
                received = f"{after[name]} if true and {value} if false"
                raise ValueError(error_message(name, received, "an int that is the same in both"))

    def _run(self, state: State, machine: Machine) -> State:
        p = self.condition(state, machine)
        if machine.debug:
            jax.debug.print("If: {}", p)

        def branch(statements: Sequence[Statement], weight: jax.Array) -> State:
            return states.select(
                weight > machine.epsilon, run_all(statements, state, machine), state
            )

        then, otherwise = branch(self.if_true, p), branch(self.if_false, 1 - p)
        return machine.relaxer().if_(p, then, otherwise)


class While(_Relaxed):
    """Runs statements while a condition holds, and mixes the states by the weight to stop there.

    Args:
      condition: Gives every row the weight to go on.
      *sequence: The statements.
      max_iter: The most passes.
      epsilon: A row stops once its weight to have gone on is not above this.
      hard: Whether the loop is exact, with the gradient of the relaxed one.
      debug: Whether to print the weights.
    """

    def __init__(
        self,
        condition: Condition,
        *sequence: Statement,
        max_iter: int | None = None,
        epsilon: float | None = None,
        hard: bool | None = None,
        debug: bool | None = None,
    ) -> None:
        self.condition, self.sequence, self.max_iter = condition, sequence, max_iter
        self.epsilon, self.hard, self.debug = epsilon, hard, debug

    def simulate(self, integers: Integers) -> None:
        """Walks through all passes. Their number is not known, so integers that change are lost."""
        before = dict(integers.values)
        self.condition.simulate(integers)
        most = integers.max_iter if self.max_iter is None else self.max_iter
        for k in range(most):
            integers.run(self.sequence, inside=k)
        for name, value in before.items():
            if integers.values[name] != value:
                integers.values[name] = CHANGED

    def _run(self, state: State, machine: Machine) -> State:
        most = machine.max_iter if self.max_iter is None else self.max_iter
        if most == 0:
            return state

        def weigh(state: State) -> jax.Array:
            p = self.condition(state, machine)
            if machine.debug:
                jax.debug.print("While: {}", p)
            return p

        def body(k: jax.Array, state: State) -> State:
            return run_all(self.sequence, state, machine.inside(k))

        return machine.relaxer().while_(
            weigh, body, state, max_steps=most, tolerance=machine.epsilon, skip=True, remat=True
        )


class For:
    """Runs statements for every integer of a range.

    Args:
      var: The name of the integer inside the loop; not one from outside.
      range_or_list: How many passes; or the integers; or a variable or a function that gives them.
      *sequence: The statements.
    """

    def __init__(self, var: str, range_or_list: Any, *sequence: Statement) -> None:
        later = isinstance(range_or_list, (str, int)) or callable(range_or_list)
        self.var, self.sequence = var, sequence
        self.range_or_list = range_or_list if later else list(range_or_list)

    def simulate(self, integers: Integers) -> None:
        """Walks through all passes."""
        if self.var in integers.values or self.var in integers.shapes:
            raise ValueError(error_message("For", repr(self.var), "a name that there is not yet"))
        given = integers.evaluate(self.var, self.range_or_list)
        listed = list(range(given)) if isinstance(given, int) else given
        integers.record((id(self), "passes"), len(listed))
        for k, value in enumerate(listed):
            integers.values[self.var] = value
            integers.run(self.sequence, inside=k)
        integers.values.pop(self.var, None)

    def run(self, state: State, machine: Machine) -> State:
        """Runs as many passes as the longest of its ranges has, those of this one count."""
        most = machine.most(self, "passes")
        if most == 0:
            return state
        stop: ArrayLike = machine.value(self, "passes")

        def body(k: jax.Array, state: State) -> State:
            return run_all(self.sequence, state, machine.inside(k))

        fixed = isinstance(stop, int) and stop == most
        return control.for_(most, body, state, stop=None if fixed else stop)
