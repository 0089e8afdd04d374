# SPDX-License-Identifier: Apache-2.0
"""Float hyperparameters of an operator as it computes: cast, clipped, checked."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arlsort.numerics import finite

TEMPERATURE = "temperature"
"""The field whose numbers are clipped and must be positive, in whichever operator it is."""


def in_dtype(operator: Any, dtype: jnp.dtype) -> Any:
    """Casts the hyperparameters of an operator to the dtype of the computation; keys stay.

    Temperatures are clipped, `finite.temperature`. A negative one becomes 1, so that results are
    finite; where `valid` is false they are replaced by NaN.
    """

    def cast(path: tuple[Any, ...], leaf: Any) -> Any:
        known = getattr(leaf, "dtype", None)
        number = known is None or jnp.issubdtype(known, np.number)
        if not number or jnp.ndim(leaf):
            return leaf
        if getattr(path[-1], "name", None) == TEMPERATURE:
            return finite.temperature(leaf, dtype)
        return jnp.asarray(leaf, dtype)

    return jax.tree_util.tree_map_with_path(cast, operator)


def valid(operator: Any) -> jax.Array:
    """Tells whether all temperatures, also of operators inside, are allowed; a scalar."""
    found = jnp.ones((), bool)
    for field in dataclasses.fields(operator):
        value = getattr(operator, field.name)
        if field.name == TEMPERATURE:
            found &= finite.is_positive(value, or_zero=type(operator).allows_zero_temperature)
        elif dataclasses.is_dataclass(value):
            found &= valid(value)
    return found


def representable(name: str, value: Any) -> Any:
    """Brings a temperature known to Python into the range of the dtype that it becomes in JAX.

    A Python float of 1e-60 is positive; in float32 it would be zero, and an int of 1e10 none.
    """
    if name != TEMPERATURE or isinstance(value, (bool, jax.Array)):
        return value
    if isinstance(value, (int, np.integer)) or (
        isinstance(value, (np.generic, np.ndarray)) and not np.ndim(value)
    ):
        value = float(value)
    if not isinstance(value, float):
        return value
    info = np.finfo(np.float64 if jax.config.read("jax_enable_x64") else np.float32)
    low, high = float(info.tiny), float(info.max)
    if low <= value <= high or not 0 < value < math.inf:
        return value
    return low if value < 1 else high


def same(one: Any, other: Any) -> bool:
    """Tells whether two values of a field are equal: arrays by every bit, never raising."""
    if one is other:
        return True
    if isinstance(one, jax.core.Tracer) or isinstance(other, jax.core.Tracer):
        return False
    return bool(identity(one) == identity(other))


def identity(value: Any) -> Any:
    """A hashable value that equal hyperparameters share."""
    if not isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return value
    kind = str(value.dtype)
    if isinstance(value, jax.Array):
        if value.is_deleted() or not value.is_fully_addressable:
            return id(value)
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            with jax.ensure_compile_time_eval():  # also while something else is traced
                value = jax.random.key_data(value)
    return kind, np.shape(value), np.asarray(value).tobytes()
