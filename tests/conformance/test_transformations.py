# SPDX-License-Identifier: Apache-2.0
"""Contracts 2 and 3: transformations, dtypes, and a temperature that never recompiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tests.conformance.conftest import ATOL, has_temperature, heat, mixing


def test_jit_is_eager(operator, x):
    row = x[0, :4]
    with jax.disable_jit():
        eager = operator(row)
    for a, b in zip(jax.jit(operator)(row), eager, strict=True):
        np.testing.assert_allclose(a, b, atol=ATOL)


def test_vmap_is_batch(operator, x):
    for a, b in zip(jax.vmap(operator)(x), operator(x), strict=True):
        np.testing.assert_allclose(a, b, atol=ATOL)


def test_any_leading_dimensions(operator, x):
    one = operator.permutation(x)
    np.testing.assert_allclose(operator.permutation(x[None, :, None])[0, :, 0], one, atol=ATOL)
    np.testing.assert_allclose(operator.permutation(x[1]), one[1], atol=ATOL)
    assert operator.permutation(x[:0]).shape == (0, 5, 5)


def test_no_row_depends_on_another(operator, x):
    wild = x.at[1].set(jnp.nan).at[2].set(jnp.array([jnp.inf, -jnp.inf, 1e30, 0.0, 0.0]))
    for a, b in zip(operator(x), operator(wild), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_forward_and_reverse_mode_agree(operator, x):
    # Hidden units that differ in the order of their sums only.
    row = x[0]
    forward, reverse = jax.jacfwd(operator.sort)(row), jax.jacrev(operator.sort)(row)
    assert forward.shape == (5, 5)
    np.testing.assert_allclose(forward, reverse, rtol=1e-3, atol=1e-4)


def test_gradients_are_those_of_finite_differences(operator):
    if operator.exact_forward:
        pytest.skip("its gradients are those of another function")
    x = np.array([0.3, -0.4, 1.1, 0.2])
    tolerance = type(operator).gradient_rtol
    with jax.enable_x64(True):

        def function(scores):
            values, weights = operator(scores)
            value_mix, weight_mix = np.asarray(mixing((4,))), np.asarray(mixing((4, 4)))
            return (values * value_mix).sum() + (weights * weight_mix).sum()

        check_grads(
            function,
            (jnp.asarray(x),),
            order=1,
            modes=("fwd", "rev"),
            eps=1e-6,
            rtol=tolerance,
            atol=tolerance,
        )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_float32_rounded(operator, x, dtype):
    x = x.astype(dtype)
    for got, expected in zip(operator(x), operator(x.astype(jnp.float32)), strict=True):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected.astype(dtype))
    assert operator.sort(x).dtype == dtype
    assert operator.sort_by(x.astype(jnp.float32), x[..., None]).dtype == dtype


def test_float64_stays_float64(operator, x):
    with jax.enable_x64(True):
        wide = operator(np.asarray(x, np.float64))
        assert all(part.dtype == jnp.float64 for part in wide)
        for got, expected in zip(operator(x), wide, strict=True):
            assert got.dtype == jnp.float32
            np.testing.assert_allclose(got, expected, atol=ATOL)


def test_a_new_temperature_changes_the_weights_and_compiles_nothing(operator, x):
    if not has_temperature(operator):
        assert not jax.tree.leaves(operator)  # nothing to anneal
        return
    traces = []

    @jax.jit
    def permutation(operator, x):
        traces.append(None)
        return operator.permutation(x)

    cool, warm = permutation(heat(operator, 0.25), x), permutation(heat(operator, 0.5), x)
    assert len(traces) == 1
    if operator.exact_forward:
        np.testing.assert_array_equal(cool, warm)
    else:
        assert np.abs(cool - warm).max() > 1e-3
