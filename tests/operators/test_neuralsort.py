# SPDX-License-Identifier: Apache-2.0
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators.neuralsort import NeuralSort
from tests import references

X = jnp.array([[0.3, -1.2, 0.8, 0.1], [0.5, 0.4, -0.7, 0.5]])


def test_sampling_is_the_mean_over_gumbel_perturbed_scores():
    key = jax.random.key(3)
    operator = NeuralSort(temperature=0.7, stochastic=True, num_samples=6, key=key)
    weights = operator.permutation(X)
    noise = np.asarray(jax.random.gumbel(key, (6, *X.shape)), np.float64)
    draws = [[references.neuralsort(row, 0.7) for row in X + noise[s]] for s in range(6)]
    np.testing.assert_allclose(weights, np.mean(draws, axis=0), rtol=0, atol=1e-6)


def test_the_key_decides_and_does_not_recompile():
    traces = []

    @jax.jit
    def sort(operator, x):
        traces.append(None)
        return operator.sort(x)

    operator = NeuralSort(stochastic=True, num_samples=2, key=jax.random.key(0))
    first, again = sort(operator, X), sort(operator, X)
    other = sort(dataclasses.replace(operator, key=jax.random.key(1)), X)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    assert len(traces) == 1


def test_rows_of_a_batch_have_their_own_noise():
    operator = NeuralSort(stochastic=True, key=jax.random.key(0))
    a, b = operator.permutation(jnp.stack([X[0], X[0]]))
    assert np.abs(a - b).max() > 1e-3


def test_a_distant_origin_costs_no_accuracy():
    near = NeuralSort().permutation(X)
    shifted = NeuralSort().permutation(X.astype(jnp.float32) + 1024.0)
    # 1024 + x is rounded to 2**-13 on the way in; nothing may be lost after that.
    np.testing.assert_allclose(near, shifted, atol=1e-3)


def test_a_key_is_needed_for_sampling_and_only_for_that():
    with pytest.raises(ValueError, match="key: received None for NeuralSort that samples"):
        NeuralSort(stochastic=True).sort(X)
    with pytest.raises(ValueError, match="key: received a value with stochastic=False"):
        NeuralSort(key=jax.random.key(0))
    with pytest.raises(ValueError, match="num_samples: received a value with stochastic=False"):
        NeuralSort(num_samples=3)
    with pytest.raises(ValueError, match="num_samples: received 0"):
        NeuralSort(stochastic=True, num_samples=0)
    with pytest.raises(TypeError, match=r"num_samples: received 2\.0"):
        NeuralSort(stochastic=True, num_samples=2.0)
