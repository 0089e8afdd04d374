# SPDX-License-Identifier: Apache-2.0
"""Every test here runs for every row of the registry; nothing here knows a method by name."""

import dataclasses
from collections.abc import Callable
from typing import Any

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
def operator(request) -> Operator:
    return build(request.param)


@pytest.fixture
def x() -> jax.Array:
    """A batch of the one shape that most tests share, so that it is compiled once."""
    return jnp.asarray(np.random.default_rng(7).normal(size=(BATCH, N)), jnp.float32)


def has_temperature(operator: Operator) -> bool:
    return any(field.name == "temperature" for field in dataclasses.fields(operator))


def heat(operator: Operator, temperature: float) -> Operator:
    return dataclasses.replace(operator, temperature=temperature)


def mixing(shape: tuple[int, ...]) -> jax.Array:
    """Fixed weights of no symmetry, to make one number of an array."""
    return jnp.asarray(np.random.default_rng(11).normal(size=shape), jnp.float32)


def weighted_sum(operator: Operator, x: jax.Array) -> jax.Array:
    """One number that depends on every value and every weight."""
    result = operator(x)
    return sum(
        (part * mixing(part.shape).astype(part.dtype)).sum(dtype=jnp.float32) for part in result
    )


# Jitted once for all tests: (gradient by the operator's leaves, gradient by the scores).
gradients: Callable[[Operator, jax.Array], Any] = jax.jit(jax.grad(weighted_sum, argnums=(0, 1)))


def exact(x: jax.Array) -> Relaxation:
    return registry.get("hard")(x)
