# SPDX-License-Identifier: Apache-2.0
"""Total variation: equal to the quadratic program, exactly differentiated, for any length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import quadratic

N = 12


def series(rows, n=N, seed=0):
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal(size=(rows, n)) * 4 * (rng.uniform(size=(rows, n)) < 0.3), axis=-1)
    return steps + rng.normal(size=(rows, n))


def optimality(y, weight, z):
    """How far z is from the minimiser: its dual must be within the weight, and at it at jumps."""
    dual = np.cumsum(y - z, axis=-1)
    beyond = np.maximum(np.abs(dual) - weight, 0.0).max()
    jump = np.diff(z, axis=-1)
    sign = np.sign(jump) * (np.abs(jump) > 1e-9)
    off = np.abs(np.where(sign != 0, dual[..., :-1] + weight * sign, 0.0)).max()
    return max(beyond, off, np.abs(dual[..., -1]).max())


@jax.jit
def value_and_slopes(y, weight, of):
    def loss(y, weight):
        return (of * quadratic.total_variation(y, weight)).sum()

    z = quadratic.total_variation(y, weight)
    along = jax.jvp(lambda y: quadratic.total_variation(y, weight), (y,), (of,))[1]
    return z, jax.grad(loss, argnums=(0, 1))(y, weight), along


def test_values_are_optimal_and_gradients_are_central_differences():
    y, step = series(8), 1e-6
    weight = np.geomspace(1e-3, 30.0, 8)  # nothing joined to all joined
    rng = np.random.default_rng(1)
    of, move = rng.normal(size=y.shape), rng.normal(size=y.shape)
    with jax.enable_x64(True):
        z, (by_y, by_weight), along = value_and_slopes(y, weight, of)
        around = [
            value_and_slopes(y + a * step * move, weight + b * step, of)[0]
            for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))
        ]
        up, down, more, less = map(np.asarray, around)
        z, by_y, by_weight, along = map(np.asarray, (z, by_y, by_weight, along))
    assert z.dtype == np.float64
    assert optimality(y, weight[:, None], z) < 1e-12
    assert np.ptp(z[-1]) == 0 and (np.diff(z[0]) != 0).all()
    slopes = (of * (up - down)).sum(axis=-1) / (2 * step)
    np.testing.assert_allclose((by_y * move).sum(axis=-1), slopes, atol=1e-7)
    slopes = (of * (more - less)).sum(axis=-1) / (2 * step)
    np.testing.assert_allclose(by_weight, slopes, atol=1e-7)
    np.testing.assert_allclose(along, by_y, atol=1e-12)  # the Jacobian is its own transpose


def test_it_is_the_quadratic_program_of_its_dual():
    y, weight = series(4).astype(np.float32), np.float32(1.5)
    D = np.diff(np.eye(N, dtype=np.float32), axis=0)
    G = np.concatenate([np.eye(N - 1, dtype=np.float32), -np.eye(N - 1, dtype=np.float32)])
    h = np.full(2 * N - 2, weight)
    found = quadratic.solve(D @ D.T, -y @ D.T, G, h)
    assert found.converged.all()
    expected = y - np.asarray(found.z) @ D
    np.testing.assert_allclose(quadratic.total_variation(y, weight), expected, atol=1e-5)


@pytest.mark.slow
def test_ten_thousand_elements():
    y = series(2, 10_000, seed=3)
    found = quadratic.total_variation(jnp.asarray(y, jnp.float32), 5.0)
    z = np.asarray(found, float)
    exact = np.cumsum(y - z, axis=-1)
    assert np.abs(exact).max() < 5.0 + 0.05  # sums of 10,000 roundings
    assert len(np.unique(z[0])) < 5_000


def test_limits_ties_and_rows_without_a_number():
    y = np.zeros((6, 5), np.float32)
    y[1:] = [2.0, 2.0, -1.0, 4.0, 4.0]
    y[2, 3], y[3, 0] = np.nan, np.inf
    weight = np.array([1.0, 0.0, 1.0, 1.0, 1e30, np.nan], np.float32)
    result = jax.jit(
        jax.vmap(
            lambda y, w: (
                quadratic.total_variation(y, w),
                jax.grad(lambda y: quadratic.total_variation(y, w).sum())(y),
            )
        )
    )
    z, slope = map(np.asarray, result(y, weight))
    np.testing.assert_array_equal(z[:2], y[:2])
    assert np.isnan(z[[2, 3, 5]]).all() and not slope[[2, 3, 5]].any()
    np.testing.assert_allclose(z[4], y[4].mean(), rtol=1e-6)
    np.testing.assert_allclose(slope[[0, 1, 4]], 1.0, rtol=1e-6)
    for shape in ((0,), (3, 0), (0, 4)):
        assert (
            jax.eval_shape(quadratic.total_variation, np.zeros(shape, np.float32), 1.0).shape
            == shape
        )
    one = quadratic.total_variation(np.array([3.0], np.float32), 2.0)
    assert one.tolist() == [3.0]


@pytest.mark.parametrize(
    "y, weight, error, words",
    [
        (np.zeros(3, np.float32), -1.0, ValueError, "weight: received -1.0"),
        (
            np.zeros((2, 3), np.float32),
            np.array([1.0, -2.0], np.float32),
            ValueError,
            "weight: received an array with -2.0, allowed: numbers >= 0",
        ),
        (np.zeros(3, np.float32), "1", TypeError, "weight"),
        (
            np.zeros(3, np.float32),
            np.ones(3, np.float32),
            ValueError,
            r"weight: received shape \(3,\)",
        ),
        (np.zeros(3, int), 1.0, TypeError, "y: received dtype"),
    ],
)
def test_errors_name_the_argument(y, weight, error, words):
    with pytest.raises(error, match=words):
        quadratic.total_variation(y, weight)
