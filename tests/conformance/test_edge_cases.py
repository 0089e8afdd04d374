# SPDX-License-Identifier: Apache-2.0
"""Contracts 2 and 6: lengths, ties, NaN, infinities, magnitudes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.soft_permutation import is_row_stochastic
from tests.conformance.conftest import ATOL, gradients


def _assert_finite(tree):
    for leaf in jax.tree.leaves(tree):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_every_length(operator, n):
    x = jnp.linspace(1.0, -1.0, 2 * n).reshape(2, n)
    values, weights = operator(x)
    assert values.shape == (2, n)
    assert weights.shape == (2, n, n)
    assert is_row_stochastic(weights, ATOL).all()
    np.testing.assert_allclose(operator.sort(x), values, atol=ATOL)
    assert operator.sort_by(x, x[..., None]).shape == (2, n, 1)
    if n == 1:
        np.testing.assert_array_equal(values, x)
        np.testing.assert_array_equal(jax.grad(lambda s: operator.sort(s).sum())(x), [[1.0], [1.0]])


@pytest.mark.parametrize("n", [5, 17])
def test_batches_without_lists_are_empty(operator, n):
    try:
        operator._validate_length(n)
    except ValueError:
        pytest.skip("longer than it allows")
    x = jnp.zeros((0, n))
    assert operator.permutation(x).shape == (0, n, n)
    assert operator.sort(x).shape == operator.rank(x).shape == (0, n)


def test_ties_have_finite_weights_and_gradients(operator):
    x = jnp.array(
        [[1.0, 1.0, 1.0, 1.0, 1.0], [0.0, 2.0, 0.0, 2.0, 0.0], [-0.0, 0.0, 3.0, 3.0, 1.0]]
    )
    values, weights = operator(x)
    assert is_row_stochastic(weights, ATOL).all()
    np.testing.assert_allclose(values[0], x[0], atol=ATOL)
    _assert_finite(gradients(operator, x))


def test_ties_do_not_know_how_many_lists_there_are(operator):
    # Lists are ordered in other ways where there are many, or under `vmap`; see `networks/order`.
    try:
        operator._validate_length(17)
    except ValueError:
        pytest.skip("longer than it allows")
    row = jnp.asarray(np.random.default_rng(0).integers(0, 4, 17), jnp.float32)
    mix = jnp.arange(17.0) ** 2

    def loss(x):
        return (operator.sort(x) * jnp.broadcast_to(mix, x.shape)).sum()

    alone = jax.jit(jax.grad(loss))(row)
    among = jax.jit(jax.grad(loss))(jnp.tile(row, (20, 1)))
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
    _assert_finite(by_operator)
    np.testing.assert_array_equal(by_scores[1], np.zeros(5))
    np.testing.assert_allclose(by_scores[0], gradients(operator, x)[1][0], rtol=1e-4, atol=ATOL)


def test_infinities_have_finite_weights_and_gradients(operator):
    inf = jnp.inf
    x = jnp.array([[inf, 1.0, -inf, 0.0, 2.0], [inf, inf, 0.0, 1.0, 2.0], [-inf] * 5])
    values, weights = operator(x)
    assert not np.isnan(values).any()
    assert is_row_stochastic(weights, ATOL).all()
    if np.isinf(type(operator).gradient_limit):
        _assert_finite(gradients(operator, x))


@pytest.mark.parametrize("scale", [1e30, 1e-30, 3e38])
def test_every_magnitude_has_finite_weights_and_gradients(operator, scale):
    x = jnp.array([[0.3, -0.8, 0.9, 0.1, -0.2], [0.0, 0.0, 1.0, -1.0, 0.5], [1.0, 0, 0, 0, 0]])
    x = x * scale
    values, weights = operator(x)
    assert np.isfinite(values).all()
    assert is_row_stochastic(weights, ATOL).all()
    assert (np.abs(values) <= np.abs(x).max() * (1 + ATOL)).all()
    if scale <= type(operator).gradient_limit:
        _assert_finite(gradients(operator, x))
