# SPDX-License-Identifier: Apache-2.0
"""The mean permutation by integration is that of noisy sorts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from arlsort.numerics import noise as laws
from arlsort.numerics.mean_permutation import mean_permutation

EVERY_LAW = [
    law if law in ("gaussian", "cauchy") else pytest.param(law, marks=pytest.mark.slow)
    for law in laws.LAWS
]
COPIES = 40_000
SAMPLING = 5 / (2 * COPIES**0.5)  # five standard errors of a probability


def noisy_sorts(scores, noise, scales=1.0):
    drawn = laws.sample(jax.random.key(0), noise, (COPIES, len(scores)))
    order = np.argsort(scores + scales * np.asarray(drawn), axis=-1)
    return np.stack([np.bincount(at, minlength=len(scores)) for at in order.T]) / COPIES


@pytest.mark.parametrize("noise", EVERY_LAW)
def test_it_is_the_mean_of_noisy_sorts(noise):
    scores = np.array([0.3, 4.0, 0.3, -30.0, 2.5, 2.0, 1.0], np.float32)
    scales = np.array([1.0, 3.0, 0.4, 1.0, 1.0, 0.7, 2.0], np.float32)
    found = jax.jit(mean_permutation, static_argnums=1)(scores, noise)
    np.testing.assert_allclose(found, noisy_sorts(scores, noise), atol=SAMPLING)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-3)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-3)
    found = mean_permutation(jnp.asarray(scores), noise, jnp.asarray(scales))
    np.testing.assert_allclose(found, noisy_sorts(scores, noise, scales), atol=SAMPLING)


@pytest.mark.parametrize("noise", EVERY_LAW)
def test_two_elements_are_in_order_as_their_law_says(noise):
    differences = jnp.array([0.0, 0.1, 1.0, 7.0, 40.0])
    scores = jnp.stack([jnp.zeros(5), differences], axis=-1)
    found = mean_permutation(scores, noise)[:, 1, 1]
    expected = laws.probability_not_larger(differences, noise)
    np.testing.assert_allclose(found, expected, atol=3e-4)


@pytest.mark.parametrize("noise", EVERY_LAW)
def test_more_nodes_change_nothing(noise):
    scores = jax.random.uniform(jax.random.key(1), (3, 15)) * jnp.array([[3.0], [30.0], [300.0]])
    found = mean_permutation(scores, noise)
    np.testing.assert_allclose(found, mean_permutation(scores, noise, nodes=512), atol=1e-3)


@pytest.mark.parametrize("noise", EVERY_LAW)
def test_gradients_are_finite_however_far_scores_are_apart(noise):
    scores = jnp.array([0.0, 200.0, -1000.0, 0.0])
    weights = jnp.arange(16.0).reshape(4, 4)
    assert jnp.isfinite(
        jax.grad(lambda x: jnp.vdot(weights, mean_permutation(x, noise)))(scores)
    ).all()


def test_short_lists_and_short_dtypes():
    assert mean_permutation(jnp.zeros((2, 0))).shape == (2, 0, 0)
    assert mean_permutation(jnp.zeros(1)).tolist() == [[1.0]]
    found = mean_permutation(jnp.array([0.0, 1.0], jnp.float16))
    assert found.dtype == jnp.float32
    with pytest.raises(TypeError, match="scores: received dtype int32"):
        mean_permutation(jnp.arange(3))
    with pytest.raises(ValueError, match="noise: received 'uniform'"):
        mean_permutation(jnp.zeros(3), "uniform")


def test_gradients_are_those_of_finite_differences():
    weights = jax.random.normal(jax.random.key(2), (5, 5))
    with jax.enable_x64(True):
        scores = jnp.array([0.3, 1.0, 0.3, -2.0, 0.9], jnp.float64)
        check_grads(lambda x: jnp.vdot(weights, mean_permutation(x)), (scores,), 1, ["rev"])
