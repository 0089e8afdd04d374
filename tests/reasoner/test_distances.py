# SPDX-License-Identifier: Apache-2.0
"""Distances from the mean permutation are those of their definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.numerics.mean_permutation import mean_permutation
from arlsort.reasoner import distances

X = jnp.array([[0.0, 4.0, 1.0, 2.5], [3.0, 3.0, -1.0, 0.0]])


@pytest.mark.parametrize("noise", ["gaussian", "cauchy"])
def test_the_mean_permutation_is_at_distance_zero(noise):
    found = distances.distance(lambda x: mean_permutation(x, noise), X, 0.3, noise)
    np.testing.assert_array_equal(found, np.zeros(3))


def test_a_uniform_permutation_is_as_far_as_its_definition_says():
    found = distances.distance(lambda x: jnp.full((2, 4, 4), 0.25), X, 0.3, "gaussian")
    unit = (X - X.mean(-1, keepdims=True)) / np.ptp(X, axis=-1, keepdims=True)
    mean = np.asarray(mean_permutation(unit / 0.3), np.float64)
    entropy = -(mean * np.log(mean + 1e-12)).sum(-1)
    np.testing.assert_allclose(found.divergence, np.log(4) - entropy.mean(), rtol=1e-3)
    errors = np.abs(np.einsum("bij,bj->bi", mean, unit)).max(-1)
    np.testing.assert_allclose(found.value_error, errors.mean(), rtol=1e-3)
    np.testing.assert_allclose(found.worst_value_error, errors.max(), rtol=1e-3)


def test_lists_follow_their_laws():
    for name, law in distances.LAWS.items():
        lists = law(jax.random.key(0), 50, 6)
        assert lists.shape == (50, 6) and (np.ptp(lists, axis=-1) > 0).all(), name
    assert set(np.unique(distances.zeros_and_ones(jax.random.key(0), 9, 5))) == {0.0, 1.0}
