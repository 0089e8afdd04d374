# SPDX-License-Identifier: Apache-2.0
"""Contracts 2 and 3: transformations, dtypes, and a temperature that never recompiles."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conformance.conftest import (
    ATOL,
    has_temperature,
    heat,
    traced_once,
    values_and_gradients,
    wide,
)


def test_a_call_is_the_same_inside_of_jit_and_of_a_gradient(operator, x):
    chex.assert_trees_all_close(values_and_gradients(operator, x)[0], operator(x), atol=ATOL)


@pytest.mark.slow
def test_jit_is_eager(operator, x):
    row = x[0, :4]
    with jax.disable_jit():
        eager = operator(row)
    chex.assert_trees_all_close(jax.jit(operator)(row), eager, atol=ATOL)


@jax.jit
def _mapped(operator, x):
    return jax.vmap(operator)(x)


def test_vmap_is_batch(operator, x):
    chex.assert_trees_all_close(_mapped(operator, x), operator(x), atol=ATOL)


def test_any_leading_dimensions(operator, x):
    one = operator.permutation(x)
    np.testing.assert_allclose(operator.permutation(x[None, :, None])[0, :, 0], one, atol=ATOL)
    assert jax.eval_shape(operator.permutation, x[1]).shape == (5, 5)
    assert jax.eval_shape(operator.permutation, x[:0]).shape == (0, 5, 5)


@pytest.mark.slow
def test_a_list_alone_is_that_of_a_batch(operator, x):
    chex.assert_trees_all_close(
        operator(x[1]), jax.tree.map(lambda part: part[1], operator(x)), atol=ATOL
    )


def test_no_row_depends_on_another(operator, x):
    wild = x.at[1].set(jnp.nan).at[2].set(jnp.array([jnp.inf, -jnp.inf, 1e30, 0.0, 0.0]))
    for a, b in zip(operator(x), operator(wild), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_forward_and_reverse_mode_agree(spec):
    found = wide(spec)
    # Both in float64: hidden units that differ in the order of their sums only.
    np.testing.assert_allclose(found.forward, found.reverse, rtol=1e-8, atol=1e-10)


def test_gradients_are_those_of_finite_differences(spec, operator):
    if operator.exact_forward:
        pytest.skip("its gradients are those of another function")
    tolerance, found = type(operator).gradient_rtol, wide(spec)
    np.testing.assert_allclose(found.reverse, found.slopes, rtol=tolerance, atol=tolerance)


def test_half_precision_is_float32_rounded(operator, x):
    short = x.astype(jnp.bfloat16)
    for got, expected in zip(operator(short), operator(short.astype(jnp.float32)), strict=True):
        np.testing.assert_array_equal(got, expected.astype(jnp.bfloat16))


@pytest.mark.slow
def test_float16_is_float32_rounded(operator, x):
    short = x.astype(jnp.float16)
    for got, expected in zip(operator(short), operator(short.astype(jnp.float32)), strict=True):
        np.testing.assert_array_equal(got, expected.astype(jnp.float16))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_keeps_its_dtype(operator, x, dtype):
    short = x.astype(dtype)
    assert all(part.dtype == dtype for part in jax.eval_shape(operator, short))
    assert jax.eval_shape(operator.sort, short).dtype == dtype
    assert jax.eval_shape(operator.sort_by, x, short[..., None]).dtype == dtype


def test_float64_stays_float64(spec, operator, x):
    found = wide(spec).result
    assert all(part.dtype == jnp.float64 for part in found)
    for got, expected in zip(operator(x), found, strict=True):
        np.testing.assert_allclose(got, expected, atol=ATOL)
    with jax.enable_x64(True):
        assert all(part.dtype == jnp.float32 for part in jax.eval_shape(operator, x))


@pytest.mark.slow
def test_float32_is_the_same_where_float64_is_allowed(operator, x):
    with jax.enable_x64(True):
        found = operator(x)
    chex.assert_trees_all_close(found, operator(x), atol=ATOL)


def test_a_new_temperature_changes_the_weights_and_compiles_nothing(operator, x):
    if not has_temperature(operator):
        assert not jax.tree.leaves(operator)  # nothing to anneal
        return
    permutation = traced_once(lambda operator, x: operator.permutation(x))
    cool, warm = permutation(heat(operator, 0.25), x), permutation(heat(operator, 0.5), x)
    if operator.exact_forward:
        np.testing.assert_array_equal(cool, warm)
    else:
        assert np.abs(cool - warm).max() > 1e-3
