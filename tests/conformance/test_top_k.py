# SPDX-License-Identifier: Apache-2.0
"""The k largest by their rows alone are those of the whole permutation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from tests.conformance.conftest import ATOL, build, mixing

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


@pytest.mark.parametrize("spec", ["softsort", "softsort:power=2", "neuralsort"])
@pytest.mark.parametrize("masked", [False, True])
def test_few_rows_of_many_are_those_of_the_permutation(spec, masked):
    x = jax.random.normal(jax.random.key(0), (3, 40))
    operator = build(spec)
    where = jnp.arange(40)[None] < jnp.array([[40], [30], [1]]) if masked else None

    def of_all(x):
        weights = arlsort.permutation(x, operator, descending=True, where=where)[:, :K]
        return (weights * mixing(weights.shape)).sum()

    def alone(x):
        weights = arlsort.top_k(x, K, operator, where=where)[1]
        return (weights * mixing(weights.shape)).sum()

    got, want = (jax.jit(jax.value_and_grad(f))(x) for f in (alone, of_all))
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("spec", ["softsort", "neuralsort"])
@pytest.mark.parametrize("n, width", [(40, 1), (40, 8), (150, 1), (150, 8), (300, 8)])
def test_rows_of_any_width_are_mixed_by_the_permutation(spec, n, width):
    draw, other = jax.random.split(jax.random.key(n))
    x, items = jax.random.normal(draw, (2, n)), jax.random.normal(other, (2, n, width))

    def total(mixed):
        return (mixed * mixing(mixed.shape)).sum()

    def alone(x, items):
        return total(arlsort.sort_by(x, items, spec))

    def of_all(x, items):
        return total(jnp.matmul(arlsort.permutation(x, spec), items, precision="highest"))

    got, want = (jax.jit(jax.value_and_grad(f, (0, 1)))(x, items) for f in (alone, of_all))
    np.testing.assert_allclose(got[0], want[0], rtol=1e-4, atol=1e-4)
    for one, other in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def _largest_array(jaxpr):
    """The number of elements of the largest array in a program, with all programs inside."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    sizes = [0]
    for equation in jaxpr.eqns:
        sizes += [getattr(variable.aval, "size", 0) for variable in equation.outvars]
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")
        ):
            if hasattr(getattr(value, "jaxpr", value), "eqns"):
                sizes.append(_largest_array(value))
    return max(sizes)


@pytest.mark.parametrize(
    "name", ["lapsum", "softsort", "neuralsort", pytest.param("bitonic", marks=pytest.mark.slow)]
)
def test_no_array_of_n_times_n_is_formed(name):
    n = 512

    def total(x, rows):
        values, weights = rows(x)
        values, weights = values[:K], weights[:K]
        return values.sum() + (weights * mixing(weights.shape)).sum()

    def largest(rows):
        x = jnp.linspace(0.0, 1.0, n)
        return _largest_array(jax.make_jaxpr(jax.grad(lambda x: total(x, rows)))(x))

    operator = arlsort.operators.get(name)
    assert largest(operator) >= n * n
    assert largest(lambda x: arlsort.top_k(x, K, operator)) < n * n / 2
