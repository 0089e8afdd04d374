# SPDX-License-Identifier: Apache-2.0
"""Contract 1 and 4: what the weights mean, and what straight-through returns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from arlsort import permutation as permutation_function
from arlsort.soft_permutation import is_doubly_stochastic, is_row_stochastic
from tests.conformance.conftest import (
    ATOL,
    exact,
    gradients,
    has_temperature,
    heat,
    mixing,
    values_and_gradients,
)


def test_rows_sum_to_one_and_columns_where_promised(operator, x):
    weights = operator.permutation(x)
    assert is_row_stochastic(weights, ATOL).all()
    if type(operator).doubly_stochastic:
        assert is_doubly_stochastic(weights, ATOL).all()


def test_values_are_the_weights_times_the_scores_by_every_way(operator, x):
    values, weights = operator(x)
    np.testing.assert_allclose(values, np.einsum("bij,bj->bi", weights, x), atol=ATOL)
    np.testing.assert_allclose(operator.permutation(x), weights, atol=ATOL)
    np.testing.assert_allclose(operator.sort(x), values, atol=ATOL)
    np.testing.assert_allclose(permutation_function(x, operator), weights, atol=ATOL)


def test_rows_are_sorted_by_the_weights(operator, x):
    rows = mixing((*x.shape, 2))
    expected = np.einsum("bij,bjd->bid", operator.permutation(x), rows)
    np.testing.assert_allclose(operator.sort_by(x, rows), expected, atol=ATOL)


def test_small_temperatures_sort_exactly(operator, x):
    # Scores 0.2 apart, in three orders; the operator's class says how near is near.
    order = jnp.argsort(x, axis=-1)
    spaced = 0.2 * order.astype(x.dtype) - 0.4
    cold = heat(operator, type(operator).hard_limit) if has_temperature(operator) else operator
    values, weights = cold(spaced)
    atol = type(operator).hard_limit_atol
    np.testing.assert_allclose(weights, exact(spaced).permutation, atol=atol)
    np.testing.assert_allclose(values, np.sort(spaced, axis=-1), atol=atol)


def test_permuted_scores_permute_the_columns(operator, x):
    order = np.array([3, 0, 4, 1, 2])
    values, weights = operator(x)
    moved_values, moved_weights = operator(x[:, order])
    if type(operator).equivariant or operator.exact_forward:
        np.testing.assert_allclose(moved_weights, weights[..., order], atol=ATOL)
        np.testing.assert_allclose(moved_values, values, atol=ATOL)
    else:  # the class must not be more modest than the operator is
        assert np.abs(moved_weights - weights[..., order]).max() > ATOL


def test_straight_through_is_exact_forward_and_soft_backward(operator, x):
    hard = dataclasses.replace(operator, hard=True)
    (values, weights), backward = values_and_gradients(hard, x)
    np.testing.assert_array_equal(values, np.sort(x, axis=-1))
    np.testing.assert_array_equal(hard.sort(x), values)
    np.testing.assert_array_equal(weights, exact(x).permutation)
    rows = mixing((*x.shape, 2))
    np.testing.assert_array_equal(
        hard.sort_by(x, rows), np.take_along_axis(np.array(rows), np.argsort(x)[..., None], axis=1)
    )
    soft = gradients(operator, x)
    for got, expected in zip(jax.tree.leaves(backward), jax.tree.leaves(soft), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=ATOL)
