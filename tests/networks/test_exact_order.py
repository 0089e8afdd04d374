# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.networks import exact_order


@pytest.fixture(params=["cpu", "gpu"])
def _backend(request, monkeypatch):
    """Where lists are sorted by networks, and where not."""
    monkeypatch.setattr(jax, "default_backend", lambda: request.param)


@pytest.mark.usefixtures("_backend")
@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 40])
@pytest.mark.parametrize("lists", [(), (2,), (4, 5)])
def test_order_sorts(n, lists):
    x = np.random.default_rng(n).integers(-9, 9, size=(*lists, n)).astype(np.float32)
    ascending, index = exact_order.sort(jnp.asarray(x))
    np.testing.assert_array_equal(ascending, np.sort(x, axis=-1))
    np.testing.assert_array_equal(exact_order.values(jnp.asarray(x)), ascending)
    np.testing.assert_array_equal(np.sort(index, axis=-1), np.broadcast_to(np.arange(n), x.shape))
    np.testing.assert_array_equal(np.take_along_axis(x, np.asarray(index), -1), ascending)
    np.testing.assert_array_equal(index, np.argsort(x, axis=-1, kind="stable"))
    place = exact_order.inverse(index)
    np.testing.assert_array_equal(exact_order.at(ascending, place), x)
    np.testing.assert_array_equal(
        exact_order.at(place, index), np.broadcast_to(np.arange(n), x.shape)
    )


@pytest.mark.parametrize("n", [5, 40])
def test_gradients_go_back_to_where_the_scores_were(n):
    x = jax.random.normal(jax.random.key(0), (20, n))
    mix = jnp.broadcast_to(jnp.arange(n, dtype=x.dtype), x.shape)
    got, expected = (
        jax.grad(lambda x, sort=sort: (sort(x) * mix).sum())(x)
        for sort in (lambda x: exact_order.sort(x)[0], jnp.sort)
    )
    np.testing.assert_array_equal(got, expected)
    got = jax.grad(lambda x: (exact_order.values(x) * mix).sum())(x)
    np.testing.assert_array_equal(got, expected)


def test_infinities_are_scores():
    x = jnp.array([[np.inf, 1.0, -np.inf]] * 20)
    np.testing.assert_array_equal(exact_order.sort(x)[0], jnp.sort(x))
    wide = jnp.tile(x, (1, 7))
    np.testing.assert_array_equal(exact_order.sort(wide)[0], jnp.sort(wide))
    np.testing.assert_array_equal(exact_order.values(wide), jnp.sort(wide))


def test_zeros_of_both_signs_are_equal():
    x = jnp.array([0.0, -0.0, -1.0, 0.0, -0.0] * 4)
    np.testing.assert_array_equal(exact_order.argsort(x), np.argsort(x, kind="stable"))
    np.testing.assert_array_equal(exact_order.values(x), np.sort(x))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("lists", [1, 20])
def test_indices_need_not_fit_into_the_dtype_of_the_scores(dtype, lists):
    x = jax.random.normal(jax.random.key(0), (lists, 700)).astype(dtype)  # with many ties
    np.testing.assert_array_equal(exact_order.argsort(x), jnp.argsort(x))
    np.testing.assert_array_equal(exact_order.values(x), jnp.sort(x))
