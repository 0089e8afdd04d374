# SPDX-License-Identifier: Apache-2.0
"""The contracts for operators that have values and ranks but no permutation."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from tests.conformance.conftest import ATOL, STEP, VALUE_SPECS, N, heat, mixing, traced_once

WAYS = ("sort", "rank")


@pytest.fixture(params=VALUE_SPECS)
def spec(request) -> str:
    return request.param


@pytest.fixture(params=WAYS)
def way(request) -> str:
    return request.param


def _call(way, operator, x):
    return getattr(operator, way)(x)


@functools.partial(jax.jit, static_argnums=0)
def _gradient(way, operator, x):
    def total(operator, x):
        result = _call(way, operator, x)
        return (result * mixing(result.shape).astype(result.dtype)).sum()

    return jax.grad(total, argnums=(0, 1))(operator, x)


MIX = np.asarray(mixing((N,)))


@functools.partial(jax.jit, static_argnums=0)
def _derivatives(way, temperature, operator, x):
    """A weighted sum with its derivatives by (temperature, scores) in both modes, compiled once."""

    def total(temperature, x):
        return _call(way, heat(operator, temperature), x) @ MIX

    reverse = jax.grad(total, argnums=(0, 1))(temperature, x)
    forward = jax.jacfwd(total, argnums=(0, 1))(temperature, x)
    return total(temperature, x), reverse, forward


def test_sums_are_those_of_the_exact_sort_where_promised(way, operator, x):
    exact = x if way == "sort" else np.broadcast_to(np.arange(5.0), x.shape)
    sums = _call(way, heat(operator, 10.0), x).sum(-1)
    if way == "rank" or operator.preserves_sum:
        np.testing.assert_allclose(sums, exact.sum(-1), rtol=1e-4, atol=1e-4)
    else:  # nor may it be more modest than it is
        assert np.abs(sums - exact.sum(-1)).max() > 1e-3


def test_values_ascend_and_ranks_follow_the_scores(operator, x):
    assert (np.diff(operator.sort(x), axis=-1) >= -ATOL).all()
    ranks = np.take_along_axis(np.asarray(operator.rank(x)), np.argsort(x), axis=-1)
    assert (np.diff(ranks, axis=-1) >= -ATOL).all()


def test_what_needs_weights_is_refused(operator, x):
    for call in (arlsort.permutation, arlsort.argsort, lambda *a: arlsort.top_k(a[0], 2, a[1])):
        with pytest.raises(ValueError, match=r"which has values only, allowed: .*SoftSort"):
            call(x, operator)
    assert arlsort.median(x, operator).shape == (3,)


def test_small_temperatures_sort_exactly(way, operator, x):
    spaced = 0.2 * jnp.argsort(x, axis=-1).astype(x.dtype) - 0.4
    cold = heat(operator, type(operator).hard_limit)
    expected = getattr(arlsort, way)(spaced, "hard")
    np.testing.assert_allclose(
        _call(way, cold, spaced), expected, atol=type(operator).hard_limit_atol
    )


@functools.partial(jax.jit, static_argnums=0)
def _mapped(way, operator, x):
    return jax.vmap(lambda row: _call(way, operator, row))(x)


def test_vmap_is_batch_of_any_dimensions(way, operator, x):
    batch = _call(way, operator, x)
    np.testing.assert_allclose(_mapped(way, operator, x), batch, atol=ATOL)
    np.testing.assert_allclose(_call(way, operator, x[None, :, None])[0, :, 0], batch, atol=ATOL)
    assert jax.eval_shape(getattr(operator, way), x[:0]).shape == (0, 5)


@pytest.mark.slow
def test_jit_is_eager(way, operator, x):
    with jax.disable_jit():
        eager = _call(way, operator, x[0])
    np.testing.assert_allclose(eager, _call(way, operator, x)[0], atol=ATOL)


def test_permuted_scores(operator, x):
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(operator.sort(x[:, order]), operator.sort(x), atol=ATOL)
    np.testing.assert_allclose(operator.rank(x[:, order]), operator.rank(x)[:, order], atol=ATOL)


@pytest.mark.parametrize("temperature", [0.03, 0.3, 3.0])
def test_derivatives_are_those_of_finite_differences_in_both_modes(way, operator, temperature):
    row, tolerance = np.array([0.3, -0.4, 1.1, 0.2, 0.95]), type(operator).gradient_rtol
    with jax.enable_x64(True):

        def run(temperature, row):
            arguments = way, jnp.asarray(temperature), operator, jnp.asarray(row)
            return jax.device_get(_derivatives(*arguments))

        _, (by_heat, by_scores), forward = run(temperature, row)
        units = [STEP * np.array(unit) for unit in np.eye(N)]
        slopes = [run(temperature, row + u)[0] - run(temperature, row - u)[0] for u in units]
        slope = run(temperature + STEP, row)[0] - run(temperature - STEP, row)[0]
    close = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    close(by_scores, np.array(slopes) / (2 * STEP))
    close(by_heat, slope / (2 * STEP))
    np.testing.assert_allclose(forward[0], by_heat, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(forward[1], by_scores, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_every_length(way, operator, n):
    x = jnp.linspace(1.0, -1.0, 2 * n).reshape(2, n)
    result = _call(way, operator, x)
    assert result.shape == (2, n)
    assert np.isfinite(result).all()


def test_nan_spoils_its_row_and_no_other(way, operator, x):
    with_nan = x.at[1, 3].set(jnp.nan)
    result, clean = _call(way, operator, with_nan), _call(way, operator, x)
    assert np.isnan(result[1]).all()
    for row in (0, 2):
        np.testing.assert_array_equal(result[row], clean[row])
    by_operator, by_scores = _gradient(way, operator, with_nan)
    chex.assert_tree_all_finite(by_operator)
    np.testing.assert_array_equal(by_scores[1], np.zeros(5))


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1.0, 3e38, np.inf])
def test_ties_infinities_and_magnitudes_are_finite(way, operator, scale):
    x = jnp.array([[1.0, 1.0, 1.0, 1.0, 1.0], [0.5, 0.2, -0.5, 0.5, -0.2], [1.0, -1, 1.0, -1, 0.5]])
    x = x * scale
    result = _call(way, operator, x)
    assert not np.isnan(result).any()
    if way == "rank":
        assert (result >= -ATOL).all() and (result <= 4 + ATOL).all()
    if scale <= type(operator).gradient_limit:
        chex.assert_tree_all_finite(_gradient(way, operator, x))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_float32_rounded(way, operator, x, dtype):
    x = x.astype(dtype)
    got, expected = _call(way, operator, x), _call(way, operator, x.astype(jnp.float32))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, expected.astype(dtype))


def test_a_new_temperature_compiles_nothing(way, operator, x):
    run = traced_once(lambda operator, x: _call(way, operator, x))
    cool, warm = run(heat(operator, 0.25), x), run(heat(operator, 2.0), x)
    assert np.abs(cool - warm).max() > 1e-3


def test_straight_through_is_exact_forward_and_soft_backward(way, operator, x):
    hard = dataclasses.replace(operator, hard=True)
    np.testing.assert_array_equal(_call(way, hard, x), getattr(arlsort, way)(x, "hard"))
    for got, expected in zip(
        jax.tree.leaves(_gradient(way, hard, x)),
        jax.tree.leaves(_gradient(way, operator, x)),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=ATOL)
