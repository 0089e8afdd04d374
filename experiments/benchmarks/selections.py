# SPDX-License-Identifier: Apache-2.0
"""What picks of a sorted list, as it is timed: each function, and the same through the whole P."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

import arlsort
from arlsort.operators.base import Operator

PICKED = 5
QUANTILE = 0.9
WIDTH = 8
"""How many rows are picked, which quantile is taken, how many numbers a row of `sort_by` has."""

Function = Callable[[jax.Array], Any]


def _rows(x: jax.Array) -> jax.Array:
    """Rows to sort, the same for any scores."""
    n = x.shape[-1]
    rows = jnp.cos(jnp.arange(n * WIDTH, dtype=x.dtype)).reshape(n, WIDTH)
    return jnp.broadcast_to(rows, (*x.shape, WIDTH))


def _top_k_of_whole(x: jax.Array, operator: Operator) -> tuple[jax.Array, jax.Array]:
    values, weights = operator(x, descending=True)
    return values[..., :PICKED], weights[..., :PICKED, :]


def _mask_of_whole(x: jax.Array, operator: Operator) -> jax.Array:
    return operator.permutation(x, descending=True)[..., :PICKED, :].sum(axis=-2)


def _quantile_of_whole(x: jax.Array, operator: Operator) -> jax.Array:
    values, _ = operator(x)
    place = QUANTILE * (x.shape[-1] - 1)
    low, part = int(place), place - int(place)
    return values[..., low] * (1 - part) + values[..., min(low + 1, x.shape[-1] - 1)] * part


def _sort_by_of_whole(x: jax.Array, operator: Operator) -> jax.Array:
    return jnp.matmul(operator.permutation(x), _rows(x), precision=lax.Precision.HIGHEST)


Pair = tuple[Callable[[jax.Array, Operator], Any], Callable[[jax.Array, Operator], Any]]

FUNCTIONS: Mapping[str, Pair] = {
    "top_k": (lambda x, operator: arlsort.top_k(x, PICKED, operator), _top_k_of_whole),
    "top_k_mask": (lambda x, operator: arlsort.top_k_mask(x, PICKED, operator), _mask_of_whole),
    "quantile": (lambda x, operator: arlsort.quantile(x, QUANTILE, operator), _quantile_of_whole),
    "sort_by": (lambda x, operator: arlsort.sort_by(x, _rows(x), operator), _sort_by_of_whole),
}
"""By name: the function of scores and operator, and what it is compared with."""


def function(name: str, operator: Operator) -> Function:
    """A function of the scores `[..., n]`."""
    return lambda x: FUNCTIONS[name][0](x, operator)


def through_whole(name: str, operator: Operator) -> Function | None:
    """The same by way of the whole permutation; None if the operator has none."""
    if not operator.has_permutation:
        return None
    return lambda x: FUNCTIONS[name][1](x, operator)


def result(name: str, n: int, batch: int) -> Any:
    """What comes out for a batch of lists of n, as shapes and dtypes."""
    shapes: dict[str, tuple[tuple[int, ...], ...]] = {
        "top_k": ((batch, PICKED), (batch, PICKED, n)),
        "top_k_mask": ((batch, n),),
        "quantile": ((batch,),),
        "sort_by": ((batch, n, WIDTH),),
    }
    parts = tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes[name])
    return parts if name == "top_k" else parts[0]
