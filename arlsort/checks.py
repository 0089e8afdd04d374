# SPDX-License-Identifier: Apache-2.0
"""How arguments are checked and errors are worded, alike in the whole package."""

import math
import operator as python_operator
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

FLOATS = ("float16", "bfloat16", "float32", "float64")
MOST = 2**31 - 1


def error_message(argument: str, received: Any, allowed: Any) -> str:
    """Words an error: which argument, what was received, what is allowed."""
    return f"{argument}: received {received}, allowed: {allowed}"


def one_of(allowed: Iterable[Any]) -> str:
    """Lists the allowed values of an argument, for `error_message`."""
    return ", ".join(map(str, allowed)) or "none"


def check_scores(argument: str, x: Any) -> jax.Array:
    """Returns `x` as a JAX array after checking that it is a floating array of rank 1 or more."""
    if not isinstance(x, (jax.Array, np.ndarray)):
        raise TypeError(error_message(argument, type(x).__name__, "a JAX or NumPy array"))
    if str(x.dtype) not in FLOATS:
        raise TypeError(error_message(argument, f"dtype {x.dtype}", " or ".join(FLOATS)))
    if x.ndim == 0:
        raise ValueError(error_message(argument, "a scalar", "an array of rank 1 or more"))
    return jnp.asarray(x)


def check_mask(argument: str, mask: Any, shape: tuple[int, ...], of: str = "x") -> jax.Array:
    """Returns a mask as booleans of a shape, after checking that it is one or broadcasts to it.

    Raises:
      TypeError: If it is not an array of booleans.
      ValueError: If it does not broadcast to the shape.
    """
    if isinstance(mask, (bool, list, tuple)):
        mask = np.asarray(mask)
    if not isinstance(mask, (jax.Array, np.ndarray)):
        raise TypeError(error_message(argument, type(mask).__name__, "an array of booleans"))
    if mask.dtype != np.bool_:
        raise TypeError(error_message(argument, f"dtype {mask.dtype}", "bool"))
    try:
        if mask.ndim < len(shape):
            mask = jnp.expand_dims(mask, tuple(range(len(shape) - mask.ndim)))
        return jnp.broadcast_to(mask, shape)
    except ValueError:
        allowed = f"one that broadcasts to that of {of}, {shape}"
        raise ValueError(error_message(argument, f"shape {mask.shape}", allowed)) from None


def check_order(
    x: jax.Array, order: jax.Array, noise_scales: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Checks scores, their order and noise scales; by value where it is known.

    Raises:
      TypeError: If one has the wrong type or dtype.
      ValueError: If one is of another shape than `x`, an order is not one of 0 to n - 1, or a noise
        scale is not positive and finite.
    """
    x = check_scores("x", x)
    try:
        order = jnp.asarray(order)
    except (TypeError, ValueError):
        raise TypeError(error_message("order", type(order).__name__, "integers")) from None
    if not jnp.issubdtype(order.dtype, jnp.integer):
        raise TypeError(error_message("order", f"dtype {order.dtype}", "integers"))
    _check_shape("order", order, x)
    if noise_scales is not None:
        noise_scales = check_noise_scales(x, noise_scales)
    n = x.shape[-1]
    if (known := _values(order)) is not None:
        wrong = (np.sort(known, axis=-1) != np.arange(n)).any(axis=-1)
        if wrong.any():
            allowed = f"each of 0 to {n - 1} once in every list"
            raise ValueError(error_message("order", known[wrong][0].tolist(), allowed))
    return x, order, noise_scales


def check_noise_scales(x: jax.Array, noise_scales: Any) -> jax.Array:
    """Checks the noise scales of scores; by value where it is known.

    Raises:
      TypeError: If they have the wrong type or dtype.
      ValueError: If they are of another shape than `x`, or one is not positive and finite.
    """
    noise_scales = check_scores("noise_scales", noise_scales)
    _check_shape("noise_scales", noise_scales, x)
    if (known := _values(noise_scales)) is not None:
        dtype = np.float64 if x.dtype == np.float64 else np.float32
        scales: Any = known.astype(dtype)
        smallest = float(jnp.finfo(dtype).tiny)
        wrong = ~((scales >= smallest) & (scales < np.inf))
        if wrong.any():
            allowed = f"finite numbers of at least {smallest:.3g}"
            raise ValueError(error_message("noise_scales", known[wrong][0], allowed))
    return noise_scales


def _check_shape(argument: str, array: jax.Array, x: jax.Array) -> None:
    if array.shape != x.shape:
        raise ValueError(error_message(argument, f"shape {array.shape}", f"that of x, {x.shape}"))


def _values(array: jax.Array) -> np.ndarray | None:
    """The values of an array, or None if they are traced or on other hosts."""
    if isinstance(array, jax.core.Tracer) or not array.is_fully_addressable:
        return None
    return np.asarray(array)


def check_number(
    argument: str, value: Any, allowed: str, low: float, high: float, *, above_low: bool = False
) -> None:
    """Checks a hyperparameter that must lie in [low, high], or (low, high] with `above_low`.

    A tracer passes: inside a transformation the value is not known.
    """
    if isinstance(value, jax.core.Tracer):
        return
    numeric = type(value) in (int, float) or (
        isinstance(value, (jax.Array, np.ndarray, np.generic))
        and any(jnp.issubdtype(value.dtype, kind) for kind in (np.floating, np.integer))
    )
    if not numeric:
        raise TypeError(error_message(argument, repr(value), allowed))
    if np.ndim(value):
        received = f"shape {np.shape(value)}"
        raise ValueError(error_message(argument, received, "a scalar; use jax.vmap for several"))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    inside = low < number <= high if above_low else low <= number <= high
    if not inside or math.isinf(number):
        raise ValueError(error_message(argument, repr(value), allowed))


def check_positive(argument: str, value: Any) -> None:
    """Checks that a concrete hyperparameter is finite and greater than zero."""
    check_number(argument, value, "a finite number > 0", 0.0, math.inf, above_low=True)


def check_count(argument: str, value: Any) -> None:
    """Checks that a static hyperparameter is an int of at least 1 that XLA can count to."""
    if type(value) is not int:
        raise TypeError(error_message(argument, repr(value), "an int >= 1"))
    if not 1 <= value <= MOST:
        allowed = "an int >= 1" if value < 1 else f"an int <= {MOST}"
        raise ValueError(error_message(argument, value, allowed))


def check_training(config: Any) -> None:
    """Checks the settings of every training: lengths, the optimiser, spreads.

    Raises:
      ValueError: If one is not allowed; the message names it.
    """
    if not config.lengths or any(type(n) is not int or n < 2 for n in config.lengths):
        raise ValueError(error_message("lengths", config.lengths, "one or more ints >= 2"))
    for field in ("warmup_steps", "noise_scale_spread"):
        check_not_negative(field, getattr(config, field))
    for field in ("learning_rate", "grad_clip"):
        if not 0 < getattr(config, field) < math.inf:
            raise ValueError(error_message(field, getattr(config, field), "a finite number > 0"))
    if not 0 <= config.ema_decay < 1:
        raise ValueError(error_message("ema_decay", config.ema_decay, "a number in [0, 1)"))
    if not 0 < config.min_spread <= config.max_spread < math.inf:
        spreads = f"{config.min_spread}, {config.max_spread}"
        allowed = "0 < min_spread <= max_spread, both finite"
        raise ValueError(error_message("min_spread, max_spread", spreads, allowed))


def check_not_negative(argument: str, value: float) -> None:
    """Checks that a setting of training is finite and not below zero."""
    if not 0 <= value < math.inf:
        raise ValueError(error_message(argument, value, "a finite number >= 0"))


def check_integer(argument: str, value: Any) -> int:
    """Returns a static integer of any integer type as an int."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return python_operator.index(value)
    except TypeError:
        raise TypeError(error_message(argument, repr(value), "a static int")) from None


def check_places(k: Any, n: int) -> int:
    """Returns k, how many of n, as an int from 0 to n."""
    k = check_integer("k", k)
    if not 0 <= k <= n:
        raise ValueError(error_message("k", k, f"0 to {n}, the length of the axis"))
    return k


def check_key(operator: str, value: Any) -> None:
    """Checks that an operator has one key of `jax.random`, of the new kind or of the old."""
    allowed = "a jax.random key; use jax.vmap for several"
    if value is None:
        raise ValueError(error_message("key", f"None for {operator} that samples", allowed))
    if not isinstance(value, (jax.Array, np.ndarray)):
        raise TypeError(error_message("key", repr(value), allowed))
    typed = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    if not typed and value.dtype != jnp.uint32:
        raise TypeError(error_message("key", f"dtype {value.dtype}", allowed))
    if value.ndim != (0 if typed else 1):
        raise ValueError(error_message("key", f"shape {value.shape}", allowed))


def check_flag(argument: str, value: Any) -> None:
    """Checks that a flag is a bool: `"no"` is not, and would count as True."""
    if not isinstance(value, bool):
        raise TypeError(error_message(argument, repr(value), "True or False"))


def check_choice(argument: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Checks that a static hyperparameter is one of a few values of one type."""
    if type(value) is not type(allowed[0]) or value not in allowed:
        raise ValueError(error_message(argument, repr(value), one_of(map(repr, allowed))))
