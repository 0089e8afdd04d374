# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.numerics import rowwise
from arlsort.operators.neuralsort import NeuralSort
from arlsort.operators.softsort import SoftSort

X = jax.random.normal(jax.random.key(0), (2, 3, 12))
MIX = jax.random.normal(jax.random.key(1), (2, 3, 12, 12))


def _results(cls, temperature, x):
    rows = cls(temperature=temperature)._rows(x)
    with_nan = jnp.zeros(x.shape[:-1], bool)
    return rowwise.matrix(rows, with_nan), rowwise.mix(rows, x[..., None])


def _gradients(cls):
    def loss(temperature, x):
        weights, values = _results(cls, temperature, x)
        return (weights * MIX).sum() + (values**2).sum()

    return jax.grad(loss, argnums=(0, 1))(0.3, X)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [SoftSort, NeuralSort])
@pytest.mark.parametrize("size", [48, 300])  # some rows of a list; some lists
def test_blocks_change_nothing(cls, size, monkeypatch):
    whole = _results(cls, 0.3, X), _gradients(cls)
    monkeypatch.setattr(rowwise, "_BLOCK", {})
    monkeypatch.setattr(rowwise, "_LARGE_BLOCK", size)
    blocked = _results(cls, 0.3, X), _gradients(cls)
    for got, expected in zip(jax.tree.leaves(blocked), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_blocks_divide_their_lists(monkeypatch):
    monkeypatch.setattr(rowwise, "_BLOCK", {})
    monkeypatch.setattr(rowwise, "_LARGE_BLOCK", 2**18)
    assert rowwise._block_shape(32, 8, 8) == (32, 8)
    assert rowwise._block_shape(32, 128, 128) == (32, 128)
    assert rowwise._block_shape(32, 256, 256) == (4, 256)
    assert rowwise._block_shape(32, 4096, 4096) == (1, 64)
    assert rowwise._block_shape(32, 4093, 4093) == (1, 4093)  # a prime number


@pytest.mark.parametrize("n", [5, 40, 200])
def test_distances_are_their_means(n):
    points = np.sort(np.random.default_rng(n).normal(size=(3, n)).round(1), axis=-1)  # with ties
    apart = rowwise.mean_distance(jnp.asarray(points, jnp.float32))
    differences = points[:, :, None] - points[:, None, :]
    np.testing.assert_allclose(apart, np.abs(differences).mean(axis=-1), rtol=1e-5)
    mix = np.random.default_rng(1).normal(size=(3, n))
    gradient = jax.grad(lambda x: (rowwise.mean_distance(x) * mix).sum())(
        jnp.asarray(points, jnp.float32)
    )
    signs = np.sign(differences)
    expected = (mix * signs.sum(axis=-1) + (signs * mix[:, None, :]).sum(axis=-1)) / n
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 60])
def test_distances_of_equal_points_are_equal(n):
    points = jnp.sort(1e30 * jnp.tile(jnp.array([1.0, -0.3, 1.0, 0.7, -0.3]), n // 5))
    apart = rowwise.mean_distance(points)
    for value in (-0.3e30, 0.7e30, 1e30):
        assert len(set(np.asarray(apart)[np.isclose(points, value)].tolist())) == 1
    loops = np.abs(np.subtract.outer(np.asarray(points), np.asarray(points))).mean(axis=1)
    np.testing.assert_allclose(apart, loops, rtol=1e-5)
