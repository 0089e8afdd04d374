# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np

from arlsort.numerics import filling


def _by_bisection(shares, total):
    low, high = 0.0, 1e12
    for _ in range(400):
        middle = (low * high) ** 0.5 if low else high / 2
        low, high = (
            (middle, high) if np.minimum(1, middle * shares).sum() < total else (low, middle)
        )
    return np.minimum(1, high * shares)


def test_shares_are_scaled_and_cut_off_at_one():
    rng = np.random.default_rng(3)
    shares = np.exp(3 * rng.normal(size=(20, 7)))
    totals = rng.integers(1, 7, size=20).astype(np.float64)
    fill = jax.jit(filling.fill, static_argnames="most")
    got = fill(jnp.log(jnp.asarray(shares, jnp.float32)), jnp.asarray(totals), most=6)
    for have, share, total in zip(got, shares, totals, strict=True):
        np.testing.assert_allclose(have, _by_bisection(share, total), atol=1e-5)


def test_what_has_no_share_gets_none_and_what_is_far_below_shares_the_rest():
    logs = jnp.array([[0.0, -jnp.inf, -500.0, -500.0], [1.0, 1.0, 1.0, 1.0]])
    np.testing.assert_allclose(
        filling.fill(logs, jnp.array([2.0, 4.0]), 4), [[1, 0, 0.5, 0.5], [1, 1, 1, 1]], atol=1e-6
    )
    slope = jax.grad(lambda x: filling.fill(x, jnp.array([2.0, 4.0]), 4)[0, 2])(logs)
    np.testing.assert_allclose(slope, [[0, 0, 0.25, -0.25], [0, 0, 0, 0]], atol=1e-6)


def test_equal_shares_are_alike_among_the_largest_and_behind_them():
    rng = np.random.default_rng(4)
    shares = np.exp(2.0 * rng.integers(-2, 3, size=(50, 40)))
    totals = rng.integers(1, 40, size=50).astype(np.float64)
    for share, total in zip(shares, totals, strict=True):
        got = filling.fill(jnp.log(jnp.asarray(share, jnp.float32)), jnp.asarray(total), int(total))
        np.testing.assert_allclose(got, _by_bisection(share, total), atol=2e-5)
        assert all(np.ptp(got[share == value]) < 1e-6 for value in np.unique(share))
