# SPDX-License-Identifier: Apache-2.0
"""An interpreter of the formulas in NumPy, one row at a time, and the same programs in ours.

A program is a list of statements on named numbers:

  ("let", name, expression)
  ("if", condition, statements, statements)
  ("while", condition, statements, most)
  ("for", count, stop, statements)

An expression is a number, a name, or `(operator, expression, expression)`; a condition is
`(kind, expression, expression)`, `("and", condition, condition)`, the same with "or", or
`("not", condition)`.
"""

import math
import operator

import numpy as np

from arlsort import programs
from tests import references

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
COMPARISONS = ("greater", "less", "equal", "not_equal")


def density_over_peak(distribution: str, difference: float, temperature: float) -> float:
    v = difference / temperature
    if distribution == "logistic_art":
        v = v / (abs(difference) + 1e-10) ** 0.25
    if distribution in ("logistic", "logistic_art"):
        return 1 / math.cosh(v / 2) ** 2 if abs(v) < 700 else 0.0
    if distribution == "gaussian":
        return math.exp(-(v**2) / 2)
    if distribution == "reciprocal":
        return 4 / (2 + abs(v)) ** 2
    if distribution == "cauchy":
        return 1 / (1 + v**2)
    return 1.0 if abs(v) <= 0.25 else 1 / (16 * v**2)


class Interpreter:
    """Runs programs by their formulas; exact ones by the control flow of Python."""

    def __init__(self, temperature: float, distribution: str, exact: bool) -> None:
        self.temperature, self.distribution, self.exact = temperature, distribution, exact

    def value(self, expression, state):
        if isinstance(expression, tuple):
            kind, *parts = expression
            left, right = (self.value(part, state) for part in parts)
            if kind != "min":
                return OPERATORS[kind](left, right)
            if self.exact:
                return min(left, right)
            shares = np.exp(-(np.array([left, right]) - min(left, right)) / self.temperature)
            return float(shares @ [left, right] / shares.sum())
        return state[expression] if isinstance(expression, str) else expression

    def weight(self, condition, state) -> float:
        kind, *parts = condition
        if kind in ("and", "or"):
            p, q = (self.weight(part, state) for part in parts)
            return p * q if kind == "and" else p + q - p * q
        if kind == "not":
            return 1 - self.weight(parts[0], state)
        difference = self.value(parts[0], state) - self.value(parts[1], state)
        if self.exact:
            signs = {"greater": difference > 0, "less": difference < 0, "equal": difference == 0}
            return float(signs.get(kind, difference != 0))
        if kind in ("equal", "not_equal"):
            same = density_over_peak(self.distribution, difference, self.temperature)
            return same if kind == "equal" else 1 - same
        difference = -difference if kind == "less" else difference
        return references.swap_weight(self.distribution, difference, self.temperature, 0.25)

    def run(self, program, state):
        for kind, *parts in program:
            state = getattr(self, f"run_{kind}")(*parts, state)
        return state

    def run_let(self, name, expression, state):
        return {**state, name: self.value(expression, state)}

    def run_if(self, condition, then, otherwise, state):
        p = self.weight(condition, state)
        if self.exact:
            return self.run(then if p else otherwise, state)
        one, other = self.run(then, state), self.run(otherwise, state)
        return {name: p * one[name] + (1 - p) * other[name] for name in state}

    def run_while(self, condition, body, most, state):
        if self.exact:
            for _ in range(most):
                if not self.weight(condition, state):
                    break
                state = self.run(body, state)
            return state
        p = self.weight(condition, state)
        total = {name: (1 - p) * value for name, value in state.items()}
        for _ in range(most):
            state = self.run(body, state)
            now = p * self.weight(condition, state)
            total = {name: total[name] + (p - now) * state[name] for name in state}
            p = now
        return {name: total[name] + p * state[name] for name in state}

    def run_for(self, count, stop, body, state):
        for _ in range(min(count, stop)):
            state = self.run(body, state)
        return state


def relaxed(program):
    """The same program in the language of `programs`."""

    def value(r, expression, s):
        if not isinstance(expression, tuple):
            return s[expression] if isinstance(expression, str) else expression
        kind, *parts = expression
        values = [value(r, part, s) for part in parts]
        return r.minimum(*values) if kind == "min" else OPERATORS[kind](*values)

    def weight(r, condition, s):
        kind, *parts = condition
        if kind in COMPARISONS:
            return getattr(r, kind)(*(value(r, part, s) for part in parts))
        joins = {"and": programs.and_, "or": programs.or_, "not": programs.not_}
        return joins[kind](*(weight(r, part, s) for part in parts))

    def run(r, statements, s):
        for kind, *parts in statements:
            if kind == "let":
                s = {**s, parts[0]: value(r, parts[1], s)}
            elif kind == "if":
                condition, then, otherwise = parts
                branches = (lambda s, b=branch: run(r, b, s) for branch in (then, otherwise))
                s = r.if_(weight(r, condition, s), *branches, s)
            elif kind == "while":
                condition, body, most = parts
                s = r.while_(
                    lambda s, c=condition: weight(r, c, s),
                    lambda _, s, b=body: run(r, b, s),
                    s,
                    max_steps=most,
                )
            else:
                count, stop, body = parts
                s = programs.for_(
                    count, lambda _, s, b=body: run(r, b, s), s, stop=min(stop, count)
                )
        return s

    return programs.relaxed(lambda r, s: run(r, program, s))
