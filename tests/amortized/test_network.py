# SPDX-License-Identifier: Apache-2.0
"""The network computes quickly what it says, however many levels are taken at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.amortized import network
from arlsort.amortized.config import NetworkConfig
from arlsort.numerics import noise as laws
from arlsort.numerics.mean_permutation import mean_permutation

NOISES = ("gaussian", "cauchy")


def _untrained(noise, x, noise_scales=None, config=None):
    net = network.transform(config or NetworkConfig(), noise)
    params = net.init(jax.random.key(0), jnp.zeros((2, 2)), jnp.ones(2))
    return net.apply(params, None, x[..., :, None] - x[..., None, :], noise_scales)


@pytest.mark.parametrize(("noise", "atol"), [("gaussian", 2e-4), ("cauchy", 1e-6)])
def test_quick_distribution_functions_are_near(noise, atol):
    v = jnp.concatenate([jnp.linspace(-30, 30, 1201), jnp.array([-1e6, 1e6])])
    quick, exact = network._BELOW[noise], laws.law(noise).below
    np.testing.assert_allclose(quick(v), exact(v), atol=atol)
    slopes = (jax.vmap(jax.grad(function))(v) for function in (quick, exact))
    np.testing.assert_allclose(*slopes, atol=4 * atol)


@pytest.mark.parametrize("noise", NOISES)
def test_an_untrained_network_is_a_rough_integral(noise):
    x = jnp.array([[0.0, 0.5, 0.5, 3.0, 20.0], [1.0, -2.0, 2.0, 4.0, -4.0]])
    scales = jnp.array([[1.0, 2.0, 0.5, 1.0, 3.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    mean = mean_permutation(x, noise, scales, nodes=500)
    np.testing.assert_allclose(_untrained(noise, x, scales), mean, atol=0.1)


@pytest.mark.parametrize("scaled", [False, True])
def test_it_does_not_matter_how_many_levels_are_taken_at_a_time(scaled, monkeypatch):
    x = jax.random.normal(jax.random.key(1), (3, 6))
    scales = jnp.exp(x[::-1]) if scaled else None

    def weighted(x):
        found = _untrained("cauchy", x, scales, NetworkConfig(levels=3))
        return (found * jnp.arange(36.0).reshape(6, 6)[None]).sum(), found

    results = []
    for comparisons in (1, 2 * x.size * 6, 10**9):
        monkeypatch.setattr(network, "_COMPARISONS", comparisons)
        (_, found), slope = jax.value_and_grad(weighted, has_aux=True)(x)
        results.append((found, slope))
    for found, slope in results[1:]:
        np.testing.assert_allclose(found, results[0][0], atol=1e-6)
        np.testing.assert_allclose(slope, results[0][1], rtol=1e-4, atol=1e-4)
