# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.soft_permutation import (
    apply,
    from_order,
    harden,
    is_doubly_stochastic,
    is_row_stochastic,
    to_ranks,
)

ORDER = np.array([[2, 0, 3, 1], [0, 1, 2, 3]])
SOFT = jnp.array([[0.5, 0.4, 0.1], [0.4, 0.2, 0.4], [0.1, 0.4, 0.5]])


def test_apply_gathers_scalars_and_rows():
    weights = from_order(ORDER)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    np.testing.assert_array_equal(apply(weights, x), np.take_along_axis(x, ORDER, -1))
    rows = np.stack([x, -x], axis=-1)
    expected = np.take_along_axis(rows, ORDER[..., None], 1)
    np.testing.assert_array_equal(apply(weights, rows), expected)
    with pytest.raises(ValueError, match=r"x: received rank 1, allowed: 2 \(scalars\) or 3 \(rows"):
        apply(weights, x[0])


def test_what_is_infinite_has_no_say_where_it_has_no_weight():
    weights = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.0, 0.5, 0.5]])
    np.testing.assert_array_equal(
        apply(weights, jnp.array([1.0, jnp.inf, 2.0])), [1, np.inf, np.inf]
    )
    rows = jnp.array([[1.0, jnp.nan], [jnp.inf, 2.0], [-jnp.inf, 4.0]])
    expected = [[1, np.nan], [np.nan, 3], [np.nan, 3]]
    np.testing.assert_array_equal(apply(weights, rows), expected)
    gradient = jax.grad(lambda x: apply(weights, x)[0])(jnp.array([1.0, jnp.inf, 2.0]))
    np.testing.assert_array_equal(gradient, [1, 0, 0])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_short_floats_keep_their_dtype(dtype):
    x = jnp.array([1.0, 2.0, 3.0], dtype)
    weights = from_order(jnp.array([1, 0, 2]), dtype)
    got = apply(weights, x)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.astype(jnp.float32), [2, 1, 3])


def test_ranks_of_an_exact_permutation_are_its_inverse():
    np.testing.assert_array_equal(to_ranks(from_order(ORDER)), np.argsort(ORDER, axis=-1))


def test_ranks_are_means_even_where_columns_do_not_sum_to_one():
    weights = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(to_ranks(weights), [0.5, 2.0, 1.0])  # the last has no weight
    assert np.isfinite(jax.jacobian(to_ranks)(weights)).all()


def test_ranks_keep_dtype_and_nan():
    assert to_ranks(SOFT.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    assert np.isnan(to_ranks(jnp.full((2, 2), jnp.nan))).all()


def test_harden_is_always_a_permutation_and_keeps_exact_ones():
    np.testing.assert_array_equal(harden(from_order(ORDER)), from_order(ORDER))
    same_argmax = jnp.array([[0.6, 0.2, 0.2], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    assert is_doubly_stochastic(harden(same_argmax))
    assert not jax.grad(lambda weights: harden(weights)[0, 0])(SOFT).any()


def test_stochastic_tells_rows_from_columns_and_signs():
    assert is_doubly_stochastic(SOFT)
    rows_only = jnp.array([[0.9, 0.1], [0.9, 0.1]])
    assert is_row_stochastic(rows_only)
    assert not is_doubly_stochastic(rows_only)
    assert not is_row_stochastic(jnp.array([[1.5, -0.5], [0.0, 1.0]]))
    np.testing.assert_array_equal(
        is_doubly_stochastic(jnp.stack([jnp.eye(2), rows_only])), [True, False]
    )
