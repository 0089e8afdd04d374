# SPDX-License-Identifier: Apache-2.0
"""Every test here runs for every row of the registry; nothing here knows a method by name.

Nearly all of the time of a test is compilation. So there is one shape `[BATCH, N]` for all that
does not promise something of shapes: what one test asks at it is compiled for all. Hostile scores
are rows of such a batch; shapes and dtypes are asked of `jax.eval_shape`, which compiles nothing;
gradients are those of `values_and_gradients` and `wide`. What would be compiled for one test alone
is marked slow.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators import parse, registry
from arlsort.operators.base import Operator, Relaxation

N = 5
BATCH = 3

# float32 rounding through a network of some tens of operations, on weights of order one.
ATOL = 1e-5


KEY = jax.random.key(0)


def _specs(variants: str) -> list[str]:
    """Every row with its defaults, and with the variants of one kind that it names."""
    rows = registry.REGISTRY.items()
    return [
        f"{name}:{v}" if v else name for name, row in rows for v in ("", *getattr(row, variants))
    ]


def build(spec: str) -> Operator:
    """An operator from a string, with a key if it needs one."""
    operator = parse(spec)
    return dataclasses.replace(operator, key=KEY) if operator.needs_key else operator


# With a permutation and without randomness; with values only; and random.
SPECS = [s for s in _specs("variants") if build(s).has_permutation and not build(s).needs_key]
VALUE_SPECS = [s for s in _specs("variants") if not build(s).has_permutation]
RANDOM_SPECS = sorted({s for v in ("variants", "random") for s in _specs(v) if build(s).needs_key})


@pytest.fixture(params=SPECS)
def spec(request) -> str:
    return request.param


@pytest.fixture
def operator(spec) -> Operator:
    return build(spec)


def scores() -> jax.Array:
    return jnp.asarray(np.random.default_rng(7).normal(size=(BATCH, N)), jnp.float32)


@pytest.fixture
def x() -> jax.Array:
    """A batch of the one shape that all tests share."""
    return scores()


def has_temperature(operator: Operator) -> bool:
    return any(field.name == "temperature" for field in dataclasses.fields(operator))


def heat(operator: Operator, temperature: float) -> Operator:
    return dataclasses.replace(operator, temperature=temperature)


def mixing(shape: tuple[int, ...]) -> jax.Array:
    """Fixed weights of no symmetry, to make one number of an array."""
    return jnp.asarray(_mixing(shape))


def _mixing(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(11).normal(size=shape).astype(np.float32)


@jax.jit
def values_and_gradients(operator: Operator, x: jax.Array) -> tuple[Relaxation, Any]:
    """The result, and gradients by the operator's leaves and by the scores.

    They are of one number that depends on every value and every weight. Jitted once for all tests:
    at one shape it is one program for each kind of operator.
    """

    def loss(operator: Operator, x: jax.Array) -> tuple[jax.Array, Relaxation]:
        result = operator(x)
        parts = [part * mixing(part.shape).astype(part.dtype) for part in result]
        return sum(part.sum(dtype=jnp.float32) for part in parts), result

    gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)(operator, x)
    return gradient[1], gradient[0]


def gradients(operator: Operator, x: jax.Array) -> Any:
    """The gradients of `values_and_gradients` alone."""
    return values_and_gradients(operator, x)[1]


STEP = 1e-6


class Wide(NamedTuple):
    """What an operator gives in float64.

    Attributes:
      result: Of a batch of scores.
      slopes: Central differences of a weighted sum of the values, and of one of the weights, by the
        scores of the first list, `[2, N]`.
      forward: The same derivatives in forward mode.
      reverse: And in reverse mode.
    """

    result: Relaxation
    slopes: np.ndarray
    forward: np.ndarray
    reverse: np.ndarray


def weigh(values: jax.Array, weights: jax.Array) -> jax.Array:
    """A weighted sum of the values and one of the weights, `[..., 2]`."""
    return jnp.stack([values @ _mixing((N,)), (weights * _mixing((N, N))).sum((-1, -2))], axis=-1)


@jax.jit
def _jacobians(operator: Operator, row: jax.Array) -> tuple[jax.Array, jax.Array]:
    def sums(row: jax.Array) -> jax.Array:
        return weigh(*operator(row))

    return jax.jacfwd(sums)(row), jax.jacrev(sums)(row)


@functools.cache
def wide(spec: str) -> Wide:
    """Runs an operator in float64, for all tests at once: on the scores of the fixture `x`."""
    operator, x = build(spec), scores()
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        row = np.asarray(x[0], np.float64)
        moved = [row + sign * STEP * unit for sign in (1, -1) for unit in np.eye(N)]
        result = operator(np.concatenate([np.asarray(x, np.float64), moved]))
        up, down = np.asarray(weigh(*result))[BATCH:].reshape(2, N, 2)
        forward, reverse = _jacobians(operator, jnp.asarray(row))
    slopes = ((up - down) / (2 * STEP)).T
    return Wide(
        jax.tree.map(lambda part: part[:BATCH], result),
        *(np.asarray(part) for part in (slopes, forward, reverse)),
    )


def traced_once(function: Callable) -> Callable:
    """Jits a function that may be traced once: what is called with after that compiles nothing."""
    chex.clear_trace_counter()  # it takes the functions of all operators for one
    return jax.jit(chex.assert_max_traces(function, n=1))


def exact(x: jax.Array) -> Relaxation:
    return registry.get("hard")(x)
