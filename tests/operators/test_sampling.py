# SPDX-License-Identifier: Apache-2.0
"""Plackett-Luce sampling, for both operators that have it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators import registry
from arlsort.operators.neuralsort import NeuralSort
from arlsort.operators.softsort import SoftSort
from tests import references

X = jnp.array([[0.3, -1.2, 0.8, 0.1], [0.5, 0.4, -0.7, 0.5]])

ORACLES = {NeuralSort: references.neuralsort, SoftSort: references.softsort}


@pytest.fixture(params=ORACLES)
def cls(request):
    return request.param


def test_it_is_the_mean_over_gumbel_perturbed_scores(cls):
    key = jax.random.key(3)
    operator = cls(temperature=0.7, stochastic=True, num_samples=6, key=key)
    weights = operator.permutation(X)
    noise = np.asarray(jax.random.gumbel(key, (6, *X.shape)), np.float64)
    draws = [[ORACLES[cls](row, 0.7) for row in X + noise[s]] for s in range(6)]
    np.testing.assert_allclose(weights, np.mean(draws, axis=0), rtol=0, atol=1e-6)


def test_a_cold_draw_has_the_largest_with_the_probability_of_a_softmax(cls):
    operator = cls(temperature=1e-4, stochastic=True, num_samples=20_000, key=jax.random.key(0))
    last = operator.permutation(X)[:, -1]
    np.testing.assert_allclose(last, jax.nn.softmax(X), atol=4 * 0.5 / np.sqrt(20_000))


def test_a_key_is_needed_for_sampling_and_only_for_that(cls):
    with pytest.raises(ValueError, match=f"key: received None for {cls.__name__} that samples"):
        cls(stochastic=True).sort(X)
    with pytest.raises(ValueError, match="key: received a value with stochastic=False"):
        cls(key=jax.random.key(0))
    with pytest.raises(ValueError, match="num_samples: received a value with stochastic=False"):
        cls(num_samples=3)
    with pytest.raises(ValueError, match="num_samples: received 0"):
        cls(stochastic=True, num_samples=0)
    with pytest.raises(TypeError, match=r"num_samples: received 2\.0"):
        cls(stochastic=True, num_samples=2.0)
    with pytest.raises(TypeError, match="stochastic: received 'no'"):
        cls(stochastic="no")


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (3, TypeError),
        ("a", TypeError),
        (jnp.ones(3), TypeError),
        (jax.random.split(jax.random.key(0), 3), ValueError),
        (jax.random.split(jax.random.PRNGKey(0), 3), ValueError),
    ],
)
@pytest.mark.parametrize("name", ["neuralsort", "perturbed", "gumbel_sinkhorn"])
def test_what_is_no_key_is_named(name, key, error):
    options = {"stochastic": True} if name == "neuralsort" else {}
    operator = dataclasses.replace(registry.get(name), key=key, **options)
    with pytest.raises(error, match="key: received"):
        operator.sort(jnp.arange(3.0))


@pytest.mark.parametrize("key", [jax.random.key(0), jax.random.PRNGKey(0)])
def test_keys_of_both_kinds_are_taken(key):
    assert np.isfinite(NeuralSort(stochastic=True, key=key).sort(jnp.arange(3.0))).all()
