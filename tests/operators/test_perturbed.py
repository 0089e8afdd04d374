# SPDX-License-Identifier: Apache-2.0
import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from arlsort.operators import base
from arlsort.operators.hard import Hard
from arlsort.operators.perturbed import Perturbed
from arlsort.operators.softsort import SoftSort
from arlsort.operators.sorting_network import SortingNetwork
from tests import references

KEY = jax.random.key(5)
X = jnp.array([[0.3, -1.2, 0.8, 0.1], [0.5, 0.4, -0.7, 0.5]])
SAMPLES = 400_000

DISTRIBUTIONS = {
    "gumbel": stats.gumbel_r,
    "gaussian": stats.norm,
    "logistic": stats.logistic,
    "cauchy": stats.cauchy,
}


def test_it_is_the_oracle_on_the_noise_that_was_drawn():
    noise = np.asarray(jax.random.gumbel(KEY, (6, *X.shape))) - np.euler_gamma
    operator = Perturbed(key=KEY, num_samples=6, temperature=0.7)
    expected = [references.RANDOM_ORACLES["perturbed"](X[i], noise[:, i], 0.7) for i in (0, 1)]
    np.testing.assert_allclose(operator.permutation(X), expected, atol=1e-6)


def _second_is_larger(noise, difference, temperature):
    """Probability that `temperature * (z[0] - z[1])` is below the difference, by quadrature."""
    law = DISTRIBUTIONS[noise]

    def joint(z):
        return law.pdf(z) * law.cdf(z + difference / temperature)

    with np.errstate(over="ignore"):  # in the tails of the Gumbel density
        return integrate.quad(joint, -np.inf, np.inf, epsabs=1e-10)[0]


def test_gaussian_pairs_have_a_closed_form():
    expected = stats.norm.cdf(0.6 / (0.5 * np.sqrt(2)))
    assert _second_is_larger("gaussian", 0.6, 0.5) == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("noise", DISTRIBUTIONS)
def test_weights_and_their_derivatives_are_those_of_the_expectation(noise):
    difference, temperature, step = 0.6, 0.5, 1e-4

    @jax.jit
    def both(x, temperature):
        operator = Perturbed(noise=noise, key=KEY, num_samples=SAMPLES, temperature=temperature)
        return operator.permutation(x)[1, 1]

    def closed(difference, temperature):
        return _second_is_larger(noise, difference, temperature)

    by_score = closed(difference + step, temperature) - closed(difference - step, temperature)
    by_heat = closed(difference, temperature + step) - closed(difference, temperature - step)
    arguments = jnp.array([0.1, 0.1 + difference]), jnp.float32(temperature)
    value, (gradient, heat) = jax.value_and_grad(both, argnums=(0, 1))(*arguments)
    # Five standard errors, of indicators times slopes of the log-density of order 1 / temperature.
    atol = 5 / np.sqrt(SAMPLES) / temperature
    assert value == pytest.approx(closed(difference, temperature), abs=atol)
    np.testing.assert_allclose(gradient, np.array([-1, 1]) * by_score / (2 * step), atol=atol)
    assert heat == pytest.approx(by_heat / (2 * step), abs=2 * atol)
    tangents = jnp.zeros(2), jnp.float32(1.0)
    assert jax.jvp(both, arguments, tangents)[1] == pytest.approx(float(heat), rel=1e-4)


def test_gumbel_noise_draws_plackett_luce_orders():
    x, temperature = X[0], 0.8
    operator = Perturbed(key=KEY, num_samples=50_000, temperature=temperature)
    last, jacobian = jax.jit(
        lambda x: (
            operator.permutation(x)[-1],
            jax.jacrev(lambda x: operator.permutation(x)[-1])(x),
        )
    )(x)
    p = np.asarray(jax.nn.softmax(x / temperature))
    atol = 5 / np.sqrt(50_000) / temperature
    np.testing.assert_allclose(last, p, atol=atol)
    np.testing.assert_allclose(jacobian, (np.diag(p) - np.outer(p, p)) / temperature, atol=atol)


def test_what_cannot_change_has_no_variance():
    # Far apart, every draw is the control: the estimator is exactly zero.
    gradient = jax.grad(lambda x: Perturbed(key=KEY).permutation(x)[0, 0])(X[0] * 1e6)
    np.testing.assert_array_equal(gradient, jnp.zeros(4))


def test_the_second_derivative_is_that_of_the_expectation():
    def weight(x):
        return Perturbed(noise="gaussian", key=KEY, num_samples=SAMPLES).permutation(x)[1, 1]

    x = jnp.array([0.0, 0.6])
    scaled = 0.6 / np.sqrt(2)
    expected = -scaled * stats.norm.pdf(scaled) / 2
    assert jax.hessian(weight)(x)[1, 1] == pytest.approx(expected, abs=15 / np.sqrt(SAMPLES))


def test_around_a_smooth_operator_the_gradient_passes_through():
    soft = SoftSort(temperature=0.3)
    operator = Perturbed(soft, "gaussian", KEY, 5, 0.2)
    noise = jax.random.normal(KEY, (5, *X.shape))

    def by_hand(soft, x, temperature):
        return soft.permutation(x[None] + temperature * noise).mean(axis=0)

    def got(soft, x, temperature):
        return dataclasses.replace(operator, operator=soft, temperature=temperature).permutation(x)

    mix = np.arange(32.0).reshape(2, 4, 4) % 5
    one, other = (
        jax.value_and_grad(lambda *a, f=f: (f(*a) * mix).sum(), argnums=(0, 1, 2))(soft, X, 0.2)
        for f in (got, by_hand)
    )
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    weights = operator.permutation(X)
    np.testing.assert_allclose(operator.rank(X), _ranks(weights), atol=1e-5)
    assert not operator.doubly_stochastic
    assert operator(X).converged.all()


def _ranks(weights):
    return np.einsum("i,bij->bj", np.arange(4), weights) / weights.sum(axis=1)


@pytest.mark.parametrize("operator", [Hard(), SortingNetwork("bitonic")])
def test_ranks_of_doubly_stochastic_weights_need_no_weights(operator):
    perturbed = Perturbed(operator, key=KEY, num_samples=9)
    weights = perturbed.permutation(X)
    assert perturbed.doubly_stochastic
    np.testing.assert_allclose(perturbed.rank(X), _ranks(weights), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_straight_through_operator_counts_as_the_exact_sort():
    inside, hard = SoftSort(temperature=5.0, hard=True), Perturbed(key=KEY, num_samples=9)
    perturbed = dataclasses.replace(hard, operator=inside)
    one, other = (jax.jacrev(operator.sort)(X[0]) for operator in (hard, perturbed))
    np.testing.assert_array_equal(one, other)
    assert perturbed.doubly_stochastic


@base.register
@dataclasses.dataclass(frozen=True)
class ValuesOnly(base.Operator):
    """A toy without weights."""

    has_permutation: ClassVar[bool] = False

    def _sort(self, scores):
        return jnp.sort(scores) / 2

    def _rank(self, scores):
        return jnp.tanh(scores)


def test_values_and_ranks_are_averaged_where_there_are_no_weights():
    operator = Perturbed(ValuesOnly(), "gaussian", KEY, 7, 0.4)
    noisy = X[None] + 0.4 * jax.random.normal(KEY, (7, *X.shape))
    np.testing.assert_allclose(operator.sort(X), (jnp.sort(noisy) / 2).mean(0), rtol=1e-5)
    np.testing.assert_allclose(
        operator.rank(X), jnp.tanh(jnp.maximum(noisy, 0.0)).mean(0), rtol=1e-5
    )
    assert not operator.has_permutation
    with pytest.raises(ValueError, match="received Perturbed, which has values only"):
        operator.permutation(X)
    exact = dataclasses.replace(operator, operator=ValuesOnly(hard=True))
    np.testing.assert_allclose(exact.sort(X), jnp.sort(noisy).mean(0), rtol=1e-5)
    np.testing.assert_allclose(exact.rank(X), Perturbed(Hard(), "gaussian", KEY, 7, 0.4).rank(X))


def test_what_is_wrong_is_named():
    with pytest.raises(TypeError, match="operator: received 'hard', allowed: an operator object"):
        Perturbed("hard")
    with pytest.raises(ValueError, match="noise: received 'uniform', allowed: 'gaussian', "):
        Perturbed(noise="uniform")
    with pytest.raises(ValueError, match="num_samples: received 0"):
        Perturbed(num_samples=0)
    with pytest.raises(ValueError, match="key: received None for SoftSort that samples"):
        Perturbed(SoftSort(stochastic=True), key=KEY).sort(X)
