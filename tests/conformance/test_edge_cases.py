# SPDX-License-Identifier: Apache-2.0
"""Contracts 2 and 6: lengths, ties, NaN, infinities, magnitudes."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.soft_permutation import is_row_stochastic
from tests.conformance.conftest import ATOL, gradients


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_every_length_has_its_shapes(operator, n):
    x = np.zeros((2, n), np.float32)
    values, weights = jax.eval_shape(operator, x)
    assert (values.shape, weights.shape) == ((2, n), (2, n, n))
    assert jax.eval_shape(operator.sort, x).shape == (2, n)
    assert jax.eval_shape(operator.rank, x).shape == (2, n)
    assert jax.eval_shape(operator.sort_by, x, x[..., None]).shape == (2, n, 1)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_every_length_has_its_weights(operator, n):
    x = jnp.linspace(1.0, -1.0, 2 * n).reshape(2, n)
    values, weights = operator(x)
    assert is_row_stochastic(weights, ATOL).all()
    np.testing.assert_allclose(values, np.einsum("bij,bj->bi", weights, x), atol=ATOL)
    if n == 1:
        np.testing.assert_array_equal(values, x)
        np.testing.assert_array_equal(jax.grad(lambda s: operator.sort(s).sum())(x), [[1.0], [1.0]])


@pytest.mark.slow
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_every_length_is_the_same_by_every_way(operator, n):
    x = jnp.linspace(1.0, -1.0, 2 * n).reshape(2, n)
    values, weights = operator(x)
    np.testing.assert_allclose(operator.sort(x), values, atol=ATOL)
    np.testing.assert_allclose(operator.permutation(x), weights, atol=ATOL)
    np.testing.assert_allclose(operator.sort_by(x, x[..., None])[..., 0], values, atol=ATOL)
    assert operator.rank(x).shape == (2, n)


def _ways_without_lists(operator, n):
    try:
        operator._validate_length(n)
    except ValueError:
        pytest.skip("longer than it allows")
    return (operator.permutation, (0, n, n)), (operator.sort, (0, n)), (operator.rank, (0, n))


@pytest.mark.parametrize("n", [5, 17])
def test_batches_without_lists_have_their_shapes(operator, n):
    for way, shape in _ways_without_lists(operator, n):
        assert jax.eval_shape(way, np.zeros((0, n), np.float32)).shape == shape


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 17])
def test_batches_without_lists_are_empty(operator, n):
    for way, shape in _ways_without_lists(operator, n):
        assert way(jnp.zeros((0, n))).shape == shape


def test_ties_have_finite_weights_and_gradients(operator):
    x = jnp.array(
        [[1.0, 1.0, 1.0, 1.0, 1.0], [0.0, 2.0, 0.0, 2.0, 0.0], [-0.0, 0.0, 3.0, 3.0, 1.0]]
    )
    values, weights = operator(x)
    assert is_row_stochastic(weights, ATOL).all()
    np.testing.assert_allclose(values[0], x[0], atol=ATOL)
    chex.assert_tree_all_finite(gradients(operator, x))


@pytest.mark.slow
def test_ties_do_not_know_how_many_lists_there_are(operator):
    # Lists are ordered in other ways where there are many, or under `vmap`: `networks/exact_order`.
    try:
        operator._validate_length(17)
    except ValueError:
        pytest.skip("longer than it allows")
    row = jnp.asarray(np.random.default_rng(0).integers(0, 4, 17), jnp.float32)
    mix = jnp.arange(17.0) ** 2

    @jax.jit
    @jax.grad
    def gradient(x):
        return (operator.sort(x) * jnp.broadcast_to(mix, x.shape)).sum()

    alone, among = gradient(row), gradient(jnp.tile(row, (20, 1)))
    np.testing.assert_allclose(among[0], alone, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(among[19], alone, rtol=1e-4, atol=1e-2)


def test_tied_inputs_share_weight_where_order_does_not_matter(operator):
    x = jnp.array([[0.5, -1.0, 0.5, 2.0, -1.0]] * 3)
    weights = operator.permutation(x)
    apart = np.abs(weights[..., jnp.array([0, 1])] - weights[..., jnp.array([2, 4])]).max()
    shares = type(operator).equivariant and not operator.hard
    assert apart < ATOL if shares else apart > 0


def test_nan_spoils_its_row_and_no_other(operator, x):
    with_nan = x.at[1, 3].set(jnp.nan)
    values, weights = operator(with_nan)
    clean_values, clean_weights = operator(x)
    assert np.isnan(values[1]).all()
    assert np.isnan(weights[1]).all()
    assert np.isnan(operator.sort(with_nan)[1]).all()
    assert np.isnan(operator.sort_by(with_nan, x[..., None])[1]).all()
    for row in (0, 2):
        np.testing.assert_array_equal(values[row], clean_values[row])
        np.testing.assert_array_equal(weights[row], clean_weights[row])
    by_operator, by_scores = gradients(operator, with_nan)
    chex.assert_tree_all_finite(by_operator)
    np.testing.assert_array_equal(by_scores[1], np.zeros(5))
    np.testing.assert_allclose(by_scores[0], gradients(operator, x)[1][0], rtol=1e-4, atol=ATOL)


def test_infinities_have_finite_weights_and_gradients(operator):
    inf = jnp.inf
    x = jnp.array([[inf, 1.0, -inf, 0.0, 2.0], [inf, inf, 0.0, 1.0, 2.0], [-inf] * 5])
    values, weights = operator(x)
    assert not np.isnan(values).any()
    assert is_row_stochastic(weights, ATOL).all()
    if np.isinf(type(operator).gradient_limit):
        chex.assert_tree_all_finite(gradients(operator, x))


@pytest.mark.parametrize("scale", [1e30, 1e-30, 3e38])
def test_every_magnitude_has_finite_weights_and_gradients(operator, scale):
    x = jnp.array([[0.3, -0.8, 0.9, 0.1, -0.2], [0.0, 0.0, 1.0, -1.0, 0.5], [1.0, 0, 0, 0, 0]])
    x = x * scale
    values, weights = operator(x)
    assert np.isfinite(values).all()
    assert is_row_stochastic(weights, ATOL).all()
    assert (np.abs(values) <= np.abs(x).max() * (1 + ATOL)).all()
    if scale <= type(operator).gradient_limit:
        chex.assert_tree_all_finite(gradients(operator, x))
