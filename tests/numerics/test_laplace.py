# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from arlsort.numerics import decaying, laplace


def _sums(keep, source):
    result = np.array(source)
    for j in range(1, len(source)):
        result[j] += keep[j - 1] * result[j - 1]
    return result


@pytest.mark.parametrize("reverse", [False, True])
def test_decaying_sums_are_those_of_a_loop_and_so_are_their_gradients(reverse):
    generator = np.random.default_rng(0)
    keep, source = generator.uniform(size=6), generator.normal(size=7)
    turn = slice(None, None, -1) if reverse else slice(None)
    with jax.enable_x64(True):
        got = decaying.sums(keep, jnp.asarray(source), reverse=reverse)
        check_grads(
            lambda k, s: decaying.sums(k, s, reverse=reverse) @ np.arange(7.0),
            (jnp.asarray(keep), jnp.asarray(source)),
            order=1,
            modes=("fwd", "rev"),
            eps=1e-6,
            rtol=1e-6,
        )
    np.testing.assert_allclose(got, _sums(keep[turn], source[turn])[turn], rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0, 1e4])
def test_the_sum_is_k_at_threshold_k(spread):
    points = np.sort(np.random.default_rng(1).normal(size=9) * spread)
    points[4] = points[3]
    with jax.enable_x64(True):
        at = jax.tree.map(np.asarray, laplace.thresholds(jnp.asarray(points), jnp.asarray(2.0)))
    for k in range(1, 9):
        below = at.below[k]
        # From the nearer of the two points around it; the other may be beyond the cutoff.
        if below and at.left[k] <= at.right[k]:
            b = points[below - 1] + 2.0 * at.left[k]
        else:
            b = points[below] - 2.0 * at.right[k]
        u = (b - points) / 2.0
        total = np.where(u <= 0, np.exp(-abs(u)) / 2, 1 - np.exp(-abs(u)) / 2).sum()
        np.testing.assert_allclose(total, k, rtol=0, atol=1e-10)
        assert (points[:below] <= b).all() and (points[below:] >= b).all()
    assert (at.below[at.cell] <= np.arange(9)).all()
    assert (np.arange(9) < at.below[at.cell + 1]).all()
