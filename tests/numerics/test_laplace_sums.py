# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.numerics import laplace_sums
from arlsort.operators.softsort import SoftSort


def _direct(points, temperature, rows):
    apart = points[..., :, None] - points[..., None, :]
    distance = apart * jnp.sign(jax.lax.stop_gradient(apart))
    return jnp.einsum("...ij,...dj->...di", jnp.exp(-distance / temperature), rows)


def _problem(n):
    generator = np.random.default_rng(n)
    points = np.sort(generator.normal(size=(2, n)).round(1), axis=-1)  # with ties
    rows, mix = generator.normal(size=(2, 2, 3, n))
    return jnp.asarray(points), jnp.asarray(rows), jnp.asarray(mix)


def test_sums_and_derivatives_are_those_of_all_pairs():
    with jax.enable_x64(True):
        points, rows, mix = _problem(40)

        def all_of(function):
            def loss(points, temperature, rows):
                return (function(points, temperature, rows) ** 2 * mix).sum()

            slopes = jax.grad(loss, argnums=(0, 1, 2))
            at = (points, jnp.asarray(0.3), rows)
            return function(*at), jax.jvp(slopes, at, (mix[:, 0], jnp.asarray(1.0), rows))

        got, expected = (jax.jit(all_of, static_argnums=0)(f) for f in (laplace_sums.sums, _direct))
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_points_that_are_far_apart_have_no_weight_for_each_other():
    points = jnp.asarray([[-3e33, -1.0, 0.0, 1e20, 3e33]], jnp.float32)
    sums = laplace_sums.sums(points, jnp.float32(1.0), jnp.ones((1, 1, 5), jnp.float32))
    beside = 1.0 + np.exp(-1.0)
    np.testing.assert_allclose(sums[0, 0], [1.0, beside, beside, 1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("where", [None, "some"])
def test_long_lists_have_the_values_of_their_weights(where):
    n = 150
    x = np.random.default_rng(0).normal(size=(2, n)).round(1).astype(np.float32)
    mask = None if where is None else np.random.default_rng(1).random((2, n)) < 0.7
    mix = np.random.default_rng(2).normal(size=(2, n)).astype(np.float32)

    operator = SoftSort(temperature=0.3)

    def by_sums(x):
        return operator.sort(x, where=mask)

    def by_weights(x):
        items = x if mask is None else jnp.where(mask, x, 0.0)
        return (operator.permutation(x, where=mask) @ items[..., None])[..., 0]

    def both(x):
        return [jax.jvp(way, (x,), (mix,)) for way in (by_sums, by_weights)]

    got, expected = jax.jit(both)(x)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-4, atol=1e-4)


def test_a_far_list_changes_no_bit_of_a_near_one():
    x = np.random.default_rng(0).normal(size=(2, 150)).astype(np.float32)
    operator = SoftSort()
    beside_far = operator.permutation(np.stack([x[0], 1e3 * x[1]]))
    np.testing.assert_array_equal(beside_far[0], operator.permutation(x)[0])
    direct = np.exp(-np.abs(np.sort(x[0])[:, None] - x[0][None, :]).astype(np.float64))
    np.testing.assert_allclose(beside_far[0], direct / direct.sum(-1, keepdims=True), rtol=3e-6)
