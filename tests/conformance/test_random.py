# SPDX-License-Identifier: Apache-2.0
"""The contracts for operators that draw random numbers: a key decides, and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators import registry
from arlsort.soft_permutation import is_doubly_stochastic, is_row_stochastic
from tests.conformance.conftest import ATOL, RANDOM_SPECS, exact, mixing, traced_once


@pytest.fixture(params=RANDOM_SPECS)
def spec(request) -> str:
    return request.param


def test_without_a_key_it_says_so(operator, x):
    keyless = dataclasses.replace(operator, key=None)
    for call in (keyless, keyless.sort, keyless.permutation, keyless.rank):
        with pytest.raises(
            ValueError, match="key: received None for .*, allowed: a jax.random key"
        ):
            call(x)


def test_the_key_decides_and_compiles_nothing(operator, x):
    run = traced_once(lambda operator, x: operator.permutation(x))
    first, again = run(operator, x), run(operator, x)
    other = run(dataclasses.replace(operator, key=jax.random.key(1)), x)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


def test_weights_are_stochastic_by_every_way(operator, x):
    values, weights = operator(x)
    assert is_row_stochastic(weights, ATOL).all()
    if operator.doubly_stochastic:
        assert is_doubly_stochastic(weights, ATOL).all()
    np.testing.assert_allclose(values, np.einsum("bij,bj->bi", weights, x), atol=ATOL)
    np.testing.assert_allclose(operator.permutation(x), weights, atol=ATOL)
    np.testing.assert_allclose(operator.sort(x), values, atol=ATOL)
    rows = mixing((*x.shape, 2))
    expected = np.einsum("bij,bjd->bid", weights, rows)
    np.testing.assert_allclose(operator.sort_by(x, rows), expected, atol=ATOL)


def test_no_row_depends_on_another_and_each_has_its_own_noise(operator, x):
    wild = x.at[1].set(jnp.nan).at[2].set(jnp.array([jnp.inf, -jnp.inf, 1e30, 0.0, 0.0]))
    np.testing.assert_array_equal(operator.permutation(x)[0], operator.permutation(wild)[0])
    assert np.isnan(operator.permutation(wild)[1]).all()
    same = operator.permutation(jnp.tile(x[:1], (3, 1)))
    assert np.abs(same[0] - same[1]).max() > 1e-4


@jax.jit
def _gradient(operator, x):
    def total(x):
        weights = operator.permutation(x)
        return (weights * mixing(weights.shape)).sum()

    return jax.grad(total)(x)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, np.inf])
def test_ties_infinities_and_magnitudes_are_finite(operator, scale):
    x = jnp.array([[1.0, 1.0, 1.0, 1.0, 1.0], [0.3, -0.8, 0.9, 0.1, -0.2], [1.0, 1, -1, -1, 1]])
    x = x * scale
    values, weights = operator(x)
    assert not np.isnan(values).any()
    assert is_row_stochastic(weights, ATOL).all()
    if scale <= type(operator).gradient_limit:
        assert np.isfinite(_gradient(operator, x)).all()


def test_straight_through_is_exact_forward(operator, x):
    hard = dataclasses.replace(operator, hard=True)
    np.testing.assert_array_equal(hard.sort(x), np.sort(x, axis=-1))
    np.testing.assert_array_equal(hard.permutation(x), exact(x).permutation)


def test_half_precision_keeps_its_dtype(operator, x):
    values, weights = jax.eval_shape(operator, x.astype(jnp.bfloat16))
    assert values.dtype == weights.dtype == jnp.bfloat16


def test_every_random_row_is_here():
    assert {spec.split(":")[0] for spec in RANDOM_SPECS} >= {
        name
        for name in registry.names()
        if "key" in {f.name for f in dataclasses.fields(registry.REGISTRY[name].operator)}
    }
