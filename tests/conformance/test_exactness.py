# SPDX-License-Identifier: Apache-2.0
"""What is exact is what JAX gives: ties, directions, ranks in short dtypes, infinite rows."""

import dataclasses

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
)

TIES = jnp.array([[5.0, 1.0, 5.0, 1.0, 5.0], [0.0, 2.0, -0.0, 2.0, 2.0], [3.0, 1.0, 2.0, 0.0, 4.0]])
EXACT = dict.fromkeys(SPECS + VALUE_SPECS + RANDOM_SPECS)


def _exact(spec):
    operator = build(spec)
    return operator if operator.exact_forward else dataclasses.replace(operator, hard=True)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("spec", EXACT)
def test_ties_are_in_the_order_of_jax(spec, descending):
    operator = _exact(spec)
    order = jnp.argsort(TIES, axis=-1, descending=descending)
    ranks = arlsort.rank(TIES, operator, descending=descending)
    np.testing.assert_array_equal(ranks, jnp.argsort(order, axis=-1))
    if operator.has_permutation:
        weights = arlsort.permutation(TIES, operator, descending=descending)
        np.testing.assert_array_equal(weights, jax.nn.one_hot(order, 5))


@pytest.mark.parametrize("spec", ["hard", "bitonic:error_free=true", "softsort"])
def test_every_function_has_the_ties_of_jax(spec):
    operator = _exact(spec)
    rows = jnp.stack([TIES, jnp.arange(15.0).reshape(3, 5)], axis=-1)
    for descending in (False, True):
        order = jnp.argsort(TIES, axis=-1, descending=descending)
        soft = arlsort.argsort(TIES, operator, descending=descending)
        np.testing.assert_array_equal(soft, order)
        moved = arlsort.sort_by(TIES, rows, operator, descending=descending)
        np.testing.assert_array_equal(moved, jnp.take_along_axis(rows, order[..., None], axis=1))
        values = arlsort.sort(TIES, operator, descending=descending)
        np.testing.assert_array_equal(values, jnp.sort(TIES, axis=-1, descending=descending))
    values, weights = arlsort.top_k(TIES, 2, operator)
    largest, index = jax.lax.top_k(TIES, 2)
    np.testing.assert_array_equal(values, largest)
    np.testing.assert_array_equal(weights, jax.nn.one_hot(index, 5))


@pytest.mark.parametrize("spec", ["softsort", "sinkhorn", "odd_even:error_free=true"])
@pytest.mark.parametrize("name", ["sort", "rank", "permutation"])
def test_without_a_gradient_no_relaxation_is_computed(spec, name):
    def operations(operator):
        compiled = jax.jit(getattr(operator, name)).lower(jnp.ones((20, 40))).compile()
        return compiled.cost_analysis()["flops"]

    assert operations(_exact(spec)) < 1.1 * operations(build("hard"))


@pytest.mark.parametrize("name", ["sort", "permutation"])
def test_what_only_the_relaxation_depends_on_may_be_mapped(name):
    def mean(temperature, x):
        return (getattr(arlsort, name)(x, arlsort.SoftSort(temperature, hard=True)) ** 2).sum()

    temperatures, x = jnp.array([0.1, 1.0, 3.0]), TIES[2]
    for at in (0, 1):
        each = jax.vmap(jax.grad(mean, at), (0, None))(temperatures, x)
        whole = jax.grad(lambda *a: jax.vmap(mean, (0, None))(*a).sum(), at)(temperatures, x)
        expected = each if at == 0 else each.sum(axis=0)
        np.testing.assert_allclose(whole, expected, rtol=1e-5, atol=1e-6)
    assert each.any()


def test_the_gradient_of_an_exact_sort_goes_where_its_values_come_from():
    x, rows = TIES[0], jnp.arange(10.0).reshape(5, 2)
    by_rows = jax.grad(lambda r: arlsort.sort_by(x, r, "hard", descending=True)[0, 0])(rows)
    np.testing.assert_array_equal(by_rows, jnp.zeros_like(rows).at[0, 0].set(1.0))
    by_scores = jax.grad(lambda x: arlsort.top_k(x, 1, "hard")[0][0])(x)
    np.testing.assert_array_equal(by_scores, [1.0, 0, 0, 0, 0])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", ["hard", "lapsum"])
def test_ranks_and_indices_do_not_leave_the_list(name, dtype):
    n = 1000
    x = jnp.arange(n, dtype=jnp.float32) % 128 * 2
    for descending in (False, True):
        for way in (arlsort.rank, arlsort.argsort):
            result = np.asarray(way(x.astype(dtype), name, descending=descending), np.float32)
            assert result.min() >= 0
            assert n - 1 - (8 if name == "hard" else n) < result.max() <= n - 1


def test_ranks_beyond_float16_are_its_largest():
    ranks = arlsort.rank(jnp.arange(70_000).astype(jnp.float16), "hard")
    assert ranks.dtype == jnp.float16
    assert float(ranks.max()) == float(jnp.finfo(jnp.float16).max)


@pytest.mark.parametrize("spec", SPECS)
def test_infinite_rows_go_where_they_have_weight(spec):
    operator = build(spec)
    inf = jnp.inf
    x = jnp.array([[0.0, 40.0, 20.0, 60.0, 80.0]] * 3)
    rows = jnp.array(
        [[[inf, 1.0], [1, -inf], [2, 2], [3, 3], [4, 4]], [[1.0, 1]] * 5, [[inf, jnp.nan]] * 5]
    )
    if operator.scale_free or operator.exact_forward or "temperature" not in dir(operator):
        cold = operator
    else:
        cold = heat(operator, 0.1)
    weights = np.asarray(cold.permutation(x))
    with np.errstate(invalid="ignore"):
        parts = np.where(weights[..., None] > 0, weights[..., None] * np.asarray(rows)[:, None], 0)
        expected = parts.sum(axis=2)
    got = cold.sort_by(x, rows)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    one = jax.vmap(cold.sort_by)(x, rows)
    np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spec", ["softsort", "hard", "bitonic:error_free=true", "perturbed"])
def test_float32_rows_are_sorted_where_float64_is_allowed(spec):
    keys = jnp.array([2.0, 1.0, 3.0], jnp.float32)
    with jax.enable_x64(True):
        got = arlsort.sort_by(keys, keys[:, None], heat_if_any(spec))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got[:, 0], [1, 2, 3], atol=1e-3)


def heat_if_any(spec):
    operator = build(spec)
    return heat(operator, 1e-3) if has_temperature(operator) else operator


def test_error_free_values_are_exact_at_infinities_too():
    operator = arlsort.SortingNetwork("bitonic", error_free=True)
    got = arlsort.sort(jnp.array([jnp.inf, 1.0, -jnp.inf]), operator)
    np.testing.assert_array_equal(got, [-jnp.inf, 1.0, jnp.inf])


def test_descending_is_a_flag_of_methods_as_well():
    x = jnp.array([2.0, 1.0])
    for method in ("sort", "rank", "permutation", "argsort", "__call__"):
        with pytest.raises(TypeError, match="descending: received 'no', allowed: True or False"):
            getattr(arlsort.SoftSort(), method)(x, descending="no")
