# SPDX-License-Identifier: Apache-2.0
"""The ten conditions, of variables by name, functions of variables, and numbers."""

from collections.abc import Callable
from types import LambdaType
from typing import Any

import jax
from jax.typing import ArrayLike

from arlsort.checks import check_positive, error_message
from arlsort.programs import conditions as weights
from arlsort.programs.algovision.machine import Integers, Machine, State
from arlsort.programs.relaxed import Relaxer


class Condition:
    """Gives every row a weight; joined by `&`, `|` and `~`."""

    def __init__(self, left: Any, right: Any, beta: ArrayLike | None = None) -> None:
        if beta is not None:
            check_positive("beta", beta)
        self.left, self.right, self.beta = left, right, beta

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """The weight of values of both sides."""
        raise NotImplementedError

    def simulate(self, integers: Integers) -> None:
        """Records the integers that it asks for."""
        for side in (self.left, self.right):
            if isinstance(side, LambdaType):
                integers.record_arguments(self, side)
            elif isinstance(side, str) and side in integers.values:
                integers.record((id(self), side), integers.get(side))

    def __call__(self, state: State, machine: Machine) -> jax.Array:
        left, right = (self._side(side, state, machine) for side in (self.left, self.right))
        weight = self.weigh(machine.relaxer(self.beta), left, right)
        if weight.shape not in ((), (machine.batch_size,)):
            of = f" of {self.left!r}" if isinstance(self.left, str) else ""
            allowed = f"shape {(machine.batch_size,)}, a weight for each row"
            received = f"shape {weight.shape}"
            raise ValueError(error_message(f"{type(self).__name__}{of}", received, allowed))
        return weight

    def _side(self, side: Any, state: State, machine: Machine) -> Any:
        if isinstance(side, LambdaType):
            return machine.call(self, side, state)
        return machine.get(self, side, state) if isinstance(side, str) else side

    def __and__(self, other: "Condition") -> "Condition":
        return _Joined(weights.and_, self, other)

    def __or__(self, other: "Condition") -> "Condition":
        return _Joined(weights.or_, self, other)

    def __invert__(self) -> "Condition":
        return _Joined(weights.not_, self)


class _Joined(Condition):
    """Conditions joined by a function of their weights."""

    def __init__(self, join: Callable[..., jax.Array], *parts: Condition) -> None:
        super().__init__(None, None)
        self.join, self.parts = join, parts

    def simulate(self, integers: Integers) -> None:
        for part in self.parts:
            part.simulate(integers)

    def __call__(self, state: State, machine: Machine) -> jax.Array:
        return self.join(*(part(state, machine) for part in self.parts))


class Eq(Condition):
    """`sech(beta (left - right) / 2)^2`: 1 where both are equal."""

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """Weighs `left == right`."""
        return r.equal(left, right)


class NEq(Condition):
    """One less `Eq`."""

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """Weighs `left != right`."""
        return r.not_equal(left, right)


class LT(Condition):
    """`sigmoid(-beta (left - right))`."""

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """Weighs `left < right`."""
        return r.less(left, right)


class LEq(Condition):
    """As `LT`; in the exact program `left <= right`."""

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """Weighs `left <= right`."""
        return r.less_equal(left, right)


class GT(Condition):
    """`sigmoid(beta (left - right))`."""

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """Weighs `left > right`."""
        return r.greater(left, right)


class GEq(Condition):
    """As `GT`; in the exact program `left >= right`."""

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """Weighs `left >= right`."""
        return r.greater_equal(left, right)


class CatProbEq(Condition):
    """`sech(beta (1 - cos))` of class probabilities, over the last axis."""

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """Weighs that both are of one class."""
        return r.same(left, right)


class CosineSimilarity(Condition):
    """The cosine itself, over the last axis."""

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """Gives the cosine."""
        return r.cosine(left, right)


class IsTrue(Condition):
    """A variable that is a weight."""

    def __init__(self, var: Any) -> None:
        super().__init__(var, None)

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """Gives the variable."""
        return r.is_true(left)


class IsFalse(IsTrue):
    """One less `IsTrue`."""

    def weigh(self, r: Relaxer, left: jax.Array, right: jax.Array) -> jax.Array:
        """Gives one less the variable."""
        return r.is_false(left)
