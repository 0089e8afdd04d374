# SPDX-License-Identifier: Apache-2.0
"""Every temperature above zero has a limit, cold or hot; every other one gives NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from tests.conformance.conftest import (
    RANDOM_SPECS,
    SPECS,
    VALUE_SPECS,
    build,
    has_temperature,
    heat,
    mixing,
)

WITH = [s for s in dict.fromkeys(SPECS + VALUE_SPECS + RANDOM_SPECS) if has_temperature(build(s))]
X = jnp.array([[0.3, -0.1, 0.5, 0.7, 0.1], [0.0, 0.0, 1.0, -1.0, 1.0]])


@jax.jit
def _ranks_and_gradients(operator, x):
    def total(operator, x):
        ranks = operator.rank(x)
        return (ranks * mixing(ranks.shape)).sum(), ranks

    gradients, ranks = jax.grad(total, argnums=(0, 1), has_aux=True, allow_int=True)(operator, x)
    return ranks, gradients[0].temperature, gradients[1]


@pytest.mark.parametrize("spec", WITH)
def test_every_temperature_above_zero_is_finite_and_no_other(spec):
    operator = build(spec)
    for temperature in (0.99**8700, 1e-60, 1e-40, 1e-30, 1e30, 1e39):
        ranks, by_temperature, by_scores = _ranks_and_gradients(heat(operator, temperature), X)
        assert np.isfinite(ranks).all(), temperature
        assert np.isfinite(by_scores).all(), temperature
        assert np.isfinite(by_temperature), temperature
    cold = _ranks_and_gradients(heat(operator, 1e-60), X)[0]
    if not operator.scale_free and not getattr(operator, "stochastic", False):
        atol = type(operator).hard_limit_atol
        np.testing.assert_allclose(cold[0], arlsort.rank(X[0], "hard"), atol=atol)
    # Outside of a transformation these raise.
    invalid = [-1.0, -1e-40, jnp.nan] + ([] if operator.allows_zero_temperature else [0.0])
    leaves, tree = jax.tree.flatten(heat(operator, 0.5))
    for temperature in invalid:
        traced = (
            jax.tree.unflatten(
                tree, [jnp.float32(temperature) if leaf == 0.5 else leaf for leaf in leaves]
            )
            if not operator.needs_key
            else _with(operator, temperature)
        )
        ranks, by_temperature, by_scores = _ranks_and_gradients(traced, X)
        assert np.isnan(ranks).all(), temperature
        np.testing.assert_array_equal(by_scores, jnp.zeros_like(X))
        assert by_temperature == 0


def _with(operator, temperature):
    changed = heat(operator, 0.5)
    object.__setattr__(changed, "temperature", jnp.float32(temperature))
    return changed


def test_temperatures_of_a_batch_are_told_apart():
    temperatures = jnp.array([0.0, 0.1, -0.1, 1e-39])
    ranks = jax.vmap(lambda t: arlsort.SoftSort(temperature=t).rank(X[0]))(temperatures)
    assert np.isnan(ranks).all(axis=1).tolist() == [True, False, True, False]
    hard = jax.vmap(lambda t: arlsort.SoftSort(temperature=t, hard=True).sort(X[0]))(temperatures)
    assert np.isnan(hard).all(axis=1).tolist() == [True, False, True, False]
    outer = arlsort.Perturbed(arlsort.SoftSort(temperature=0.5), key=jax.random.key(0))
    object.__setattr__(outer.operator, "temperature", jnp.float32(-1))
    assert np.isnan(outer.sort(X[0])).all()


def test_functions_with_a_temperature_follow_the_rule():
    order = jnp.argsort(X[0])
    for temperature, valid in ((0.0, False), (-1.0, False), (1e-39, True), (1.0, True)):
        found = jax.jit(lambda t: arlsort.cauchy_log_likelihood(X[0], order, temperature=t))(
            temperature
        )
        assert np.isnan(found) != valid
        found = jax.jit(lambda t: arlsort.comparison_sort(X[0], lambda a, b: a - b, temperature=t))(
            temperature
        )
        assert np.isnan(found).all() != valid


@pytest.mark.parametrize(
    "temperature",
    [np.array(1e-60), np.float64(1e-60), 10**10, np.int64(10**12), np.array(10**12), 10**30],
)
def test_numbers_of_every_kind_are_temperatures(temperature):
    got = arlsort.SoftSort(temperature=temperature).sort(jnp.array([3.0, 1.0]))
    expected = [1.0, 3.0] if temperature < 1 else [2.0, 2.0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_an_int_that_no_float_holds_is_refused():
    with pytest.raises(ValueError, match=r"temperature: received 10*, allowed: a finite number"):
        arlsort.SoftSort(temperature=10**400)
