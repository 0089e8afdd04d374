# SPDX-License-Identifier: Apache-2.0
"""`Algorithm`, with its inputs, outputs and variables."""

from types import LambdaType
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from arlsort.checks import check_positive, error_message
from arlsort.programs import states
from arlsort.programs.algovision.machine import (
    Integers,
    Machine,
    State,
    Statement,
    arguments,
    as_integers,
    exactness,
)
from arlsort.programs.algovision.structures import run_all


def _check_name(name: Any) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(error_message("name", repr(name), "a name as in Python"))
    return name


class _Port:
    """An input or output: its name, shape without batch axis, and dtype."""

    def __init__(self, name: str, shape: tuple[int, ...] | None = None, dtype: Any = None) -> None:
        self.name, self.shape, self.dtype = _check_name(name), shape, dtype

    def check(self, value: jax.Array) -> None:
        """Raises ValueError if an array has the wrong shape or dtype."""
        if self.shape is not None and value.shape[1:] != tuple(self.shape):
            allowed = f"shape {tuple(self.shape)} after the batch axis"
            raise ValueError(error_message(self.name, f"shape {value.shape}", allowed))
        if self.dtype is not None and value.dtype != jnp.dtype(self.dtype):
            raise ValueError(error_message(self.name, f"dtype {value.dtype}", self.dtype))


class Input(_Port):
    """An argument of an algorithm, with a leading batch axis."""


class Output(_Port):
    """What an algorithm returns."""


class Variable:
    """A differentiable variable: an array without batch axis, or a function of those before it."""

    def __init__(self, name: str, initial_value: Any) -> None:
        self.name, self.initial_value = _check_name(name), initial_value


class VariableInt:
    """An integer variable: an int, a list of ints, or a function of the variables before it."""

    def __init__(self, name: str, initial_value: Any) -> None:
        known = isinstance(initial_value, LambdaType)
        self.name = _check_name(name)
        self.initial_value = initial_value if known else as_integers(name, initial_value)


Var, VarInt = Variable, VariableInt


class Algorithm:
    """A program of statements, called with arrays that have a leading batch axis.

    Args:
      *sequence: Inputs, outputs, variables and statements.
      beta: One over the temperature; a call may have another one.
      max_iter: The most passes of a `While`.
      epsilon: A row of a `While` stops once its weight is not above this; a branch of an `If` with
        no more weight changes nothing. That is so row by row.
      hard: Whether results are those of the exact program, with the gradient of the relaxed one.
      debug: Whether to print the weights of every `If` and `While`.

    Call it under `jax.jit`: a call alone is traced anew each time. Arrays and networks from outside
    may be closures of the functions in it.

    Raises:
      TypeError: If something else is in the sequence, or an integer is a float.
      ValueError: If there is no input or no output; at the call, if names, shapes or integers do
        not fit. The variable is named.

    Example:
      >>> import jax.numpy as jnp
      >>> from arlsort.programs.algovision import GT, If, Let
      >>> rectified = Algorithm(
      ...     Input("x"), If(GT("x", 0.0), if_false=Let("x", 0.0)), Output("x"), beta=2.0
      ... )
      >>> print(rectified(jnp.array([-1.0, 1.0])).round(2))
      [-0.12  0.88]

    References:
      Petersen et al., Learning with Algorithmic Supervision via Continuous Relaxations,
      NeurIPS 2021.
    """

    def __init__(
        self,
        *sequence: Any,
        beta: ArrayLike = 10.0,
        max_iter: int = 2**10,
        epsilon: float = 1e-5,
        hard: bool = False,
        debug: bool = False,
    ) -> None:
        self.inputs = [one for one in sequence if isinstance(one, Input)]
        self.outputs = [one for one in sequence if isinstance(one, Output)]
        self.variables = [one for one in sequence if isinstance(one, Variable)]
        self.integers = [one for one in sequence if isinstance(one, VariableInt)]
        declared = (Input, Output, Variable, VariableInt)
        self.statements: list[Statement] = [
            one for one in sequence if not isinstance(one, declared)
        ]
        for one in self.statements:
            if not hasattr(one, "simulate"):
                raise TypeError(error_message("Algorithm", repr(one), "statements and variables"))
        for kind, found in (("Input", self.inputs), ("Output", self.outputs)):
            if not found:
                raise ValueError(error_message("Algorithm", f"no {kind}", "one or more"))
        self.beta, self.max_iter, self.epsilon = beta, max_iter, epsilon
        self.hard, self.debug = hard, debug

    def __call__(self, *inputs: ArrayLike, beta: ArrayLike | None = None) -> Any:
        beta = self.beta if beta is None else beta
        check_positive("beta", beta)
        arrays = tuple(map(jnp.asarray, inputs))
        options = (self.max_iter, self.epsilon)
        results = []
        for exact in (False, True) if self.hard else (False,):
            with exactness(exact):
                state = self._start(arrays)
            integers = self._integers(state)
            batch_size = arrays[0].shape[0]
            machine = Machine(integers.found, beta, *options, exact, self.debug, batch_size)
            results.append(self._outputs(run_all(self.statements, state, machine)))
        return states.straight_through(*results) if self.hard else results[0]

    def _start(self, inputs: tuple[jax.Array, ...]) -> State:
        if len(inputs) != len(self.inputs):
            received = f"{len(inputs)} inputs"
            raise ValueError(error_message("Algorithm", received, len(self.inputs)))
        state: State = {}
        for port, value in zip(self.inputs, inputs, strict=True):
            self._check_new(port.name, state)
            port.check(value)
            if value.ndim == 0 or value.shape[0] != inputs[0].shape[0]:
                received = f"shape {value.shape}"
                raise ValueError(error_message(port.name, received, "the same leading batch axis"))
            state[port.name] = value
        floats = [value.dtype for value in state.values() if states.is_float(value)]
        for variable in self.variables:
            self._check_new(variable.name, state)
            value = variable.initial_value
            if isinstance(value, LambdaType):
                value = value(*(state[name] for name in arguments(value)))
            value = jnp.asarray(value)
            if states.is_float(value) and floats:
                value = value.astype(jnp.result_type(*floats))  # as a row is, so are its variables
            state[variable.name] = jnp.broadcast_to(value, (inputs[0].shape[0], *value.shape))
        return state

    def _integers(self, state: State) -> Integers:
        shapes = {
            name: jax.ShapeDtypeStruct(value.shape, value.dtype) for name, value in state.items()
        }
        integers = Integers(shapes, {}, self.max_iter)
        for variable in self.integers:
            self._check_new(variable.name, {**state, **integers.values})
            integers.values[variable.name] = integers.evaluate(
                variable.name, variable.initial_value
            )
        integers.run(self.statements)
        return integers

    def _outputs(self, state: State) -> Any:
        for port in self.outputs:
            if port.name not in state:
                raise ValueError(error_message("Output", repr(port.name), ", ".join(state)))
            port.check(state[port.name])
        values = tuple(state[port.name] for port in self.outputs)
        return values if len(values) > 1 else values[0]

    def _check_new(self, name: str, known: Any) -> None:
        if name in known:
            raise ValueError(error_message(name, "a second variable", "every name once"))
