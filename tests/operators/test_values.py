# SPDX-License-Identifier: Apache-2.0
"""Every operator's weights are those of its paper."""

import jax
import numpy as np
import pytest

from arlsort.operators import registry
from tests import references

X = np.array([[0.3, -1.2, 0.8, 0.1, 2.0], [0.5, 0.5, -0.7, 0.5, 0.0]])


def test_every_method_has_an_oracle():
    oracles = references.ORACLES | references.VALUE_ORACLES | references.RANDOM_ORACLES
    assert set(registry.names()) - references.WITHOUT_ORACLE == set(oracles)


@pytest.mark.parametrize("name", references.ORACLES)
def test_the_defaults_are_the_oracle_in_float64(name):
    with jax.enable_x64(True):
        values, weights = registry.get(name)(X)
    expected = np.stack([references.ORACLES[name](row) for row in X])
    # Rounding of double precision through some tens of operations.
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(values, np.einsum("bij,bj->bi", expected, X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", references.VALUE_ORACLES)
def test_the_default_values_and_ranks_are_the_oracle_in_float64(name):
    with jax.enable_x64(True):
        operator = registry.get(name)
        values, ranks = operator.sort(X), operator.rank(X)
    for row, *got in zip(X, values, ranks, strict=True):
        for have, expected in zip(got, references.VALUE_ORACLES[name](row), strict=True):
            np.testing.assert_allclose(have, expected, rtol=0, atol=1e-12)
