# SPDX-License-Identifier: Apache-2.0
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import arlsort
from arlsort.operators.gumbel_sinkhorn import GumbelSinkhorn
from arlsort.operators.sinkhorn import Sinkhorn, squash
from tests import references
from tests.conformance.conftest import mixing

X = np.array([[0.3, -1.2, 0.8, 0.1, 2.0], [0.5, 0.5, -0.7, 0.5, 0.0]])


@pytest.mark.parametrize("how", ["logistic", "range"])
def test_neither_scale_nor_offset_changes_the_weights(how):
    operator = Sinkhorn(squash=how)
    weights = operator.permutation(X.astype(np.float32))
    for scale, offset in ((1e30, 0.0), (1e-30, 0.0), (4.0, 64.0)):
        moved = (scale * X + offset).astype(np.float32)
        np.testing.assert_allclose(operator.permutation(moved), weights, atol=1e-4)


def test_squashes_fill_the_unit_interval_about_zero():
    with jax.enable_x64(True):
        expected = 1 / (1 + np.exp(-(X[0] - X[0].mean()) / X[0].std())) - 0.5
        np.testing.assert_allclose(squash(X[0], "logistic"), expected, rtol=1e-12)
        np.testing.assert_allclose(squash(X[0], "range"), (X[0] + 1.2) / 3.2 - 0.5, rtol=1e-12)


@pytest.mark.slow
def test_gradients_by_scores_and_temperature_are_those_of_finite_differences():
    value_mix, weight_mix = np.asarray(mixing(X.shape)), np.asarray(mixing((*X.shape, 5)))

    def function(temperature, x):
        values, weights = Sinkhorn(temperature=temperature)(x)
        return (values * value_mix).sum() + (weights * weight_mix).sum()

    with jax.enable_x64(True):
        check_grads(
            jax.jit(function),
            (jnp.asarray(0.02), jnp.asarray(X)),
            order=1,
            modes=("fwd", "rev"),
            eps=1e-7,
            rtol=1e-5,
            atol=1e-5,
        )


def test_it_converges_at_every_temperature_in_float32():
    x = jax.random.normal(jax.random.key(0), (4, 33)).at[1].set(0.0).at[2].set(jnp.arange(33) // 4)

    @jax.jit
    def run(temperature):
        operator = Sinkhorn(temperature=temperature)
        mix = mixing((4, 33, 33))
        gradient = jax.grad(
            lambda o, x: (o.permutation(x) * mix).sum() + o.sort(x)[:, 3].sum(), argnums=(0, 1)
        )
        return operator(x), gradient(operator, x)

    for temperature in (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1.0, 1e4):
        result, gradient = run(jnp.float32(temperature))
        assert result.converged.all(), temperature
        np.testing.assert_allclose(result.permutation.sum(axis=-2), 1.0, atol=1e-5)
        np.testing.assert_allclose(result.permutation.sum(axis=-1), 1.0, atol=1e-5)
        chex.assert_tree_all_finite(gradient)


def test_it_says_which_lists_have_not_converged():
    x = jnp.stack([jnp.arange(6.0), jnp.array([0.0, 0.01, 0.02, 0.03, 0.04, 9.0])])
    result = Sinkhorn(squash="range", temperature=1e-3, max_iterations=1)(x)
    np.testing.assert_array_equal(result.converged, [True, False])
    np.testing.assert_allclose(result.permutation.sum(axis=-1), 1.0, atol=1e-6)


def test_a_gumbel_draw_is_the_oracle_on_the_noise_that_was_drawn():
    key = jax.random.key(2)
    operator = GumbelSinkhorn(temperature=0.5, num_samples=3, key=key)
    noise = np.asarray(jax.random.gumbel(key, (3, *X.shape, 5)), np.float64)
    oracle = references.RANDOM_ORACLES["gumbel_sinkhorn"]
    expected = [oracle(X[i], noise[:, i], 0.5) for i in (0, 1)]
    result = operator(X.astype(np.float32))
    np.testing.assert_allclose(result.permutation, expected, atol=1e-5)
    assert result.converged.all()


@pytest.mark.slow
def test_a_gumbel_draw_has_the_gradient_of_finite_differences():
    mix = np.asarray(mixing((5, 5)))
    with jax.enable_x64(True):
        key = jax.random.key(2)

        def function(temperature, x):
            operator = GumbelSinkhorn(temperature=temperature, num_samples=2, key=key)
            return (operator.permutation(x) * mix).sum()

        check_grads(
            jax.jit(function),
            (jnp.asarray(0.7), jnp.asarray(X[0])),
            order=1,
            modes=("fwd", "rev"),
            eps=1e-6,
            rtol=1e-6,
            atol=1e-6,
        )


def test_cold_draws_are_permutations_and_differ():
    keys = jax.random.split(jax.random.key(1), 20)
    draw = jax.vmap(lambda key: GumbelSinkhorn(temperature=0.03, key=key).permutation(X[1]))
    weights = draw(keys).max(axis=-1)
    assert (weights > 0.9).mean() > 0.8
    assert np.asarray(draw(keys)).std(axis=0).max() > 0.1


@pytest.mark.parametrize("cls", [Sinkhorn, GumbelSinkhorn])
def test_what_is_wrong_is_named(cls):
    with pytest.raises(ValueError, match="max_iterations: received 0, allowed: an int >= 1"):
        cls(max_iterations=0)
    with pytest.raises(TypeError, match=r"max_iterations: received 2\.0"):
        cls(max_iterations=2.0)
    with pytest.raises(ValueError, match="tolerance: received -1, allowed: a number in"):
        cls(tolerance=-1)


def test_an_unknown_squash_is_named():
    with pytest.raises(ValueError, match="squash: received 'tanh', allowed: 'logistic', 'range'"):
        Sinkhorn(squash="tanh")


@pytest.mark.parametrize("operator", [Sinkhorn(), GumbelSinkhorn(key=jax.random.key(0))])
@pytest.mark.parametrize("n", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4))])
def test_gradients_are_finite_beside_an_infinity(operator, n):
    x = jnp.array([-jnp.inf, 0.4, -0.2, 1.5])[:n]
    slopes = jax.grad(lambda x: arlsort.sort(x, operator)[0])(x)
    assert np.isfinite(slopes).all()
