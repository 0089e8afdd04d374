# SPDX-License-Identifier: Apache-2.0
"""The instructions: `Let` for arrays, `LetInt` for integers, `Print`."""

from collections.abc import Callable
from types import LambdaType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arlsort.checks import error_message
from arlsort.programs import states
from arlsort.programs.algovision.machine import Integers, Machine, State, arguments

FORMS = "Let(name, value), Let([names], function), with a list of indices after a name or both"


class Let:
    """Sets a variable: `Let(name, value)`, `Let([names], function)`, with indices or without.

    A value is the name of a variable, a function of variables by the names of its arguments, a
    number or an array without batch axis. `Let(name, value, [indices])` reads at indices,
    `Let(name, [indices], value)` writes at them; with indices after both it does both.
    An index is an integer, the name of an integer variable, a function of those, a slice, or None
    for a whole axis. Instead of all indices on the left there may be one array of weights, of as
    many axes as the variable: then `new = w value + (1 - w) old`.
    """

    def __init__(self, *args: Any) -> None:
        kinds = tuple("list" if isinstance(arg, list) else "value" for arg in args)
        self.left: list[Any] | None = None
        self.right: list[Any] | None = None
        match kinds:
            case ("list", "value") if isinstance(args[1], LambdaType):
                self.variable, self.value = args
            case ("value", "value"):
                self.variable, self.value = args
            case ("value", "list", "value"):
                self.variable, self.left, self.value = args
            case ("value", "value", "list"):
                self.variable, self.value, self.right = args
            case ("value", "list", "value", "list"):
                self.variable, self.left, self.value, self.right = args
            case _:
                raise TypeError(error_message("Let", args, FORMS))

    def simulate(self, integers: Integers) -> None:
        """Records its integers; sets a variable that is one."""
        if isinstance(self.variable, str) and self.variable in integers.values:
            value = integers.evaluate(self.variable, self.value)
            integers.values[self.variable] = value
            integers.record((id(self), "integer"), value)
            return
        if isinstance(self.value, LambdaType):
            integers.record_arguments(self, self.value)
        elif isinstance(self.value, str) and self.value in integers.values:
            integers.record((id(self), self.value), integers.get(self.value))
        for side, indices in (("left", self.left), ("right", self.right)):
            for place, index in enumerate(indices or ()):
                _simulate_index(self, integers, (side, place), index)

    def run(self, state: State, machine: Machine) -> State:
        """Writes the value."""
        names = self.variable if isinstance(self.variable, list) else [self.variable]
        if machine.knows(self, "integer"):
            return state
        for name in names:
            if name not in state:
                raise ValueError(error_message("Let", repr(name), ", ".join(state)))
        value = self._value(state, machine)
        if isinstance(self.variable, list) or isinstance(value, (tuple, list)):
            if not isinstance(value, (tuple, list)) or len(value) != len(names):
                received = f"{value} for {names}"
                raise ValueError(error_message("Let", received, "a value for every variable"))
            new = [_whole(name, one, state[name]) for name, one in zip(names, value, strict=True)]
            return {**state, **dict(zip(names, new, strict=True))}
        if self.right is not None:
            value = value[self._indices("right", self.right, state, machine)]
        (name,) = names
        if self.left is None:
            return {**state, name: _whole(name, value, state[name])}
        return {**state, name: self._written(name, value, state, machine)}

    def _value(self, state: State, machine: Machine) -> Any:
        if isinstance(self.value, LambdaType):
            return machine.call(self, self.value, state)
        if isinstance(self.value, str):
            return machine.get(self, self.value, state)
        if isinstance(self.value, (int, float)):
            return self.value
        value = jnp.asarray(self.value)
        return jnp.broadcast_to(value, (machine.batch_size, *value.shape))

    def _indices(self, side: str, indices: list[Any], state: State, machine: Machine) -> Any:
        found: list[Any] = [slice(None)]
        for place, index in enumerate(indices):
            if machine.knows(self, (side, place)):
                index = machine.value(self, (side, place))
            elif isinstance(index, LambdaType):
                index = machine.call(self, index, state)
            elif isinstance(index, str):
                index = machine.get(self, index, state)
            found.append(slice(None) if index is None else index)
        return tuple(found)

    def _written(self, name: str, value: Any, state: State, machine: Machine) -> jax.Array:
        old = state[name]
        assert self.left is not None
        places = self._indices("left", self.left, state, machine)
        if any(_is_weights(place) for place in places):
            return self._mixed(name, value, old, places)
        region = jax.eval_shape(lambda array: array[places], old)
        return old.at[places].set(_filling(name, value, region))

    def _mixed(self, name: str, value: Any, old: jax.Array, places: tuple[Any, ...]) -> jax.Array:
        states.check_floating(name, old)
        weights = states.check_weight(name, places[1]).astype(old.dtype)
        if weights.ndim == old.ndim - 1 and not isinstance(self.left[0], (str, LambdaType)):  # type: ignore[index]
            weights = jnp.broadcast_to(weights, old.shape)
        if len(places) > 2 or weights.shape != old.shape:
            received = f"an index of shape {np.shape(places[1])} among {len(places) - 1}"
            allowed = f"integers and slices, or one array of weights, shape {old.shape}"
            raise ValueError(error_message(name, received, allowed))
        new = _filling(name, value, jax.ShapeDtypeStruct(old.shape, old.dtype))
        return states.between(weights, new, old)


def _simulate_index(statement: Let, integers: Integers, slot: tuple[str, int], index: Any) -> None:
    site = (id(statement), slot)
    if isinstance(index, LambdaType):
        if all(name in integers.values for name in arguments(index)):
            integers.record(site, _index(statement, integers, slot, integers.call(index)))
        else:
            integers.record_arguments(statement, index)
    elif isinstance(index, str):
        if index in integers.values:
            integers.record(site, _index(statement, integers, slot, integers.get(index)))
    elif isinstance(index, int):
        _index(statement, integers, slot, index)


def _index(statement: Let, integers: Integers, slot: tuple[str, int], value: Any) -> int:
    """Checks an index: JAX would take the nearest place there is."""
    side, place = slot
    name = statement.variable if side == "left" else statement.value
    if not isinstance(value, (int, np.integer)):
        raise TypeError(error_message(f"an index of {name}", value, "an int"))
    known = integers.shapes.get(name) if isinstance(name, str) else None
    if known is not None:
        if len(known.shape) < place + 2:
            received = f"{place + 1} indices for shape {known.shape}"
            raise ValueError(error_message(name, received, "one for each axis but the batch"))
        size = known.shape[place + 1]
        if not -size <= value < size:
            allowed = f"{-size} to {size - 1}; if no pass gets there, give While a max_iter"
            raise ValueError(error_message(f"an index of {name}", value, allowed))
    return int(value)


def _is_weights(place: Any) -> bool:
    return hasattr(place, "ndim") and place.ndim > 0


def _whole(name: str, value: Any, old: jax.Array) -> jax.Array:
    """A value in place of a whole variable."""
    _check_kind(name, value, old.dtype)
    if np.shape(value) not in ((), old.shape):
        raise ValueError(error_message(name, f"shape {np.shape(value)}", f"shape {old.shape}"))
    return jnp.broadcast_to(jnp.asarray(value, old.dtype), old.shape)


def _filling(name: str, value: Any, region: jax.ShapeDtypeStruct) -> jax.Array:
    """A value for a part of a variable: of its shape, or of its leading axes."""
    _check_kind(name, value, region.dtype)
    shape = np.shape(value)
    if shape != region.shape[: len(shape)]:
        allowed = f"shape {region.shape} or its leading axes"
        raise ValueError(error_message(name, f"shape {shape}", allowed))
    array = jnp.asarray(value, region.dtype)
    array = array.reshape(*shape, *(1,) * (len(region.shape) - len(shape)))
    return jnp.broadcast_to(array, region.shape)


def _check_kind(name: str, value: Any, dtype: Any) -> None:
    """Raises TypeError if an integer variable would round a float."""
    if states.is_float(value) and not jnp.issubdtype(dtype, jnp.floating):
        received = f"{jnp.result_type(value)} for a variable of {dtype}"
        raise TypeError(error_message(name, received, f"{dtype}, or a Var of floats"))


class LetInt:
    """Sets an integer variable: to an int, a list of ints, a variable, or a function of those."""

    def __init__(self, variable: str, value: Any) -> None:
        self.variable, self.value = variable, value

    def simulate(self, integers: Integers) -> None:
        """Sets it."""
        if self.variable not in integers.values:
            known = ", ".join(integers.values)
            raise ValueError(error_message("LetInt", repr(self.variable), known))
        integers.values[self.variable] = integers.evaluate(self.variable, self.value)

    def run(self, state: State, machine: Machine) -> State:
        """Does nothing: integers are known before."""
        return state


class Print:
    """Prints what a function of variables gives, by `jax.debug.print`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def simulate(self, integers: Integers) -> None:
        """Records the integers that the function asks for."""
        integers.record_arguments(self, self.function)

    def run(self, state: State, machine: Machine) -> State:
        """Prints."""
        jax.debug.print("{}", machine.call(self, self.function, state))
        return state
