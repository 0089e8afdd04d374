# SPDX-License-Identifier: Apache-2.0
"""The k largest by their rows alone are those of the whole permutation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from tests.conformance.conftest import ATOL, mixing

K = 2


@jax.jit
def rows(operator, x):
    return arlsort.top_k(x, K, operator)


def test_rows_alone_are_those_of_the_permutation(operator, x):
    values, weights = rows(operator, x)
    every_value, every_weight = operator(x)
    np.testing.assert_allclose(values, every_value[:, ::-1][:, :K], atol=ATOL)
    np.testing.assert_allclose(weights, every_weight[:, ::-1][:, :K], atol=ATOL)


def test_the_mask_is_the_sum_of_the_rows_cut_off_at_one(operator, x):
    mask = np.asarray(arlsort.top_k_mask(x, K, operator))
    sums = np.asarray(operator(x).permutation, np.float64)[:, ::-1][:, :K].sum(axis=1)
    np.testing.assert_allclose(mask.sum(axis=-1), K, atol=ATOL)
    for got, shares in zip(mask, sums, strict=True):
        factor = 1.0  # grows as long as something is cut off
        for _ in range(200):
            factor *= K / np.minimum(1, factor * shares).sum()
        np.testing.assert_allclose(got, np.minimum(1, factor * shares), atol=2e-5)


@pytest.mark.slow
def test_gradients_of_rows_alone_are_those_of_the_permutation(operator, x):
    if operator.exact_forward:
        pytest.skip("its rows have the gradient of other ones")

    def alone(x):
        values, weights = arlsort.top_k(x, K, operator)
        return (values * mixing(values.shape)).sum() + (weights * mixing(weights.shape)).sum()

    def of_all(x):
        values, weights = operator(x, descending=True)
        values, weights = values[:, :K], weights[:, :K]
        return (values * mixing(values.shape)).sum() + (weights * mixing(weights.shape)).sum()

    got, want = jax.jit(jax.grad(alone))(x), jax.jit(jax.grad(of_all))(x)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["lapsum", "softsort", "neuralsort", "odd_even"])
def test_no_array_of_n_times_n_is_formed(name):
    n, size = 512, 0

    def walk(jaxpr):
        nonlocal size
        for equation in jaxpr.eqns:
            for variable in equation.outvars:
                size = max(size, getattr(variable.aval, "size", 0))
            for inner in jax.core.jaxprs_in_params(equation.params):
                walk(inner)

    def total(x):
        values, weights = arlsort.top_k(x, K, name)
        return values.sum() + (weights * mixing(weights.shape)).sum()

    with jax.numpy_rank_promotion("allow"):
        closed = jax.make_jaxpr(jax.grad(total))(jnp.linspace(0.0, 1.0, n))
    walk(closed.jaxpr)
    assert 0 < size < n * n / 2
