# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators.neuralsort import NeuralSort

X = jnp.array([[0.3, -1.2, 0.8, 0.1], [0.5, 0.4, -0.7, 0.5]])


def test_a_distant_origin_costs_no_accuracy():
    near = NeuralSort().permutation(X)
    shifted = NeuralSort().permutation(X.astype(jnp.float32) + 1024.0)
    # 1024 + x is rounded to 2**-13 on the way in; nothing may be lost after that.
    np.testing.assert_allclose(near, shifted, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("n", [7, 300])
def test_gradients_are_those_of_the_formula(n):
    # At n = 300 float32 cannot tell the largest logits of some rows apart.
    x = np.random.default_rng(0).normal(size=(4, n)).astype(np.float32)
    mix = np.random.default_rng(1).normal(size=(4, n, n))

    def formula(x):
        apart = jnp.abs(x[:, :, None] - x[:, None, :]).sum(axis=-1)
        factor = (2 * jnp.arange(n) - (n - 1))[None, :, None]
        weights = jax.nn.softmax(factor * x[:, None, :] - apart[:, None, :], axis=-1)
        return (weights * mix).sum()

    with jax.enable_x64(True):
        expected = jax.grad(formula)(jnp.asarray(x, jnp.float64))
        got = jax.grad(lambda x: (NeuralSort().permutation(x) * mix).sum())(jnp.asarray(x))
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_gradients_far_from_zero_are_those_of_the_formula():
    # There float32 has ties; as everywhere, they draw each other neither way.
    x = (np.random.default_rng(2).normal(size=(40, 16)) + 1e4).astype(np.float32)
    assert (np.diff(np.sort(x, axis=-1)) == 0).any()
    mix = np.random.default_rng(3).normal(size=(40, 16, 16))

    def formula(x):
        apart = x[:, :, None] - x[:, None, :]
        apart = (apart * jax.lax.stop_gradient(jnp.sign(apart))).sum(axis=-1)
        factor = (2 * jnp.arange(16) - 15)[None, :, None]
        logits = factor * x[:, None, :] - apart[:, None, :]
        return (jax.nn.softmax(logits / 0.03, axis=-1) * mix).sum()

    with jax.enable_x64(True):
        expected = jax.grad(formula)(jnp.asarray(x, jnp.float64))
        got = jax.grad(lambda x: (NeuralSort(0.03).permutation(x) * mix).sum())(jnp.asarray(x))
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_short_list_has_the_weights_that_it_has_alone():
    x = jax.random.normal(jax.random.key(4), (6, 31))
    x = x.at[0, 3].set(-1e9)  # one list of several clusters
    together = NeuralSort(0.01).permutation(x)
    alone = jnp.stack([NeuralSort(0.01).permutation(row) for row in x])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
