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
