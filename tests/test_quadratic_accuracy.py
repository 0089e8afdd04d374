# SPDX-License-Identifier: Apache-2.0
"""A thousand random programs, with repeated and with nearly active constraints among them."""

import jax
import numpy as np
import pytest

from arlsort import quadratic
from tests.test_quadratic import ARGUMENTS, gradients, put

pytestmark = pytest.mark.slow
ROWS, N, M, E = 1000, 50, 50, 5
MARGIN = 1e-3  # of duals and slacks that are nearly zero
STEP = 1e-5
solve = jax.jit(quadratic.solve)


def hard_programs(rows, seed=0):
    """Programs of known solutions, most of them with something that solvers trip over.

    A fifth of the constraints is nearly active, or active with hardly any dual; in every second
    program a constraint is there twice, in every third one Q is singular.
    """
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(rows, N, N)) / np.sqrt(N)
    root[::3, :, : N // 10] = 0.0  # of rank 9 N / 10
    Q = root @ root.mT + np.where(np.arange(rows) % 3 > 0, 0.1, 0.0)[:, None, None] * np.eye(N)
    G, z = rng.normal(size=(rows, M, N)), rng.normal(size=(rows, N))
    G[::2, 1] = G[::2, 0]
    active = np.arange(M) < M // 2
    weak = rng.uniform(size=(rows, M)) < 0.2
    weak[:, :2] = False
    size = np.where(weak, MARGIN, rng.uniform(0.1, 1.0, size=(rows, M)))
    dual, slack = np.where(active, size, 0.0), np.where(active, 0.0, size)
    p = -np.einsum("rij,rj->ri", Q, z) - np.einsum("rmn,rm->rn", G, dual)
    h = np.einsum("rmn,rn->rm", G, z) + slack
    A = rng.normal(size=(rows, E, N))
    p -= np.einsum("ren,re->rn", A, rng.normal(size=(rows, E)))
    return (Q, p, G, h, A, np.einsum("ren,rn->re", A, z)), z


def test_gradients_are_central_differences_in_both_precisions():
    rng = np.random.default_rng(1)
    arrays, z = hard_programs(ROWS)
    weights = (rng.normal(size=(ROWS, N)), np.zeros((ROWS, M)), np.zeros((ROWS, E)))
    directions = tuple(rng.normal(size=a.shape) / max(np.sqrt(a[0].size), 1.0) for a in arrays)
    single, _ = gradients(*(put(a, np.float32) for a in (weights, arrays, directions)))
    assert solve(*put(arrays, np.float32)).converged.all()
    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, solve(*put(arrays, float)))
        double, _ = gradients(*(put(a, float) for a in (weights, arrays, directions)))
        single, double = jax.tree.map(np.asarray, (single, double))
        assert found.converged.all()
        np.testing.assert_allclose(found.z, z, atol=1e-8)
        for i, name in enumerate(ARGUMENTS):
            sides = []
            for sign in (1, -1):
                moved = list(arrays)
                moved[i] = arrays[i] + sign * STEP * directions[i]
                sides.append(jax.tree.map(np.asarray, solve(*put(moved, float))))
            up, down = sides
            smooth = ((up.inequality_dual > 0) == (down.inequality_dual > 0)).all(axis=-1)
            if name in ("G", "h"):
                smooth[::2] = False  # a repeated constraint that is moved alone makes a kink
            slopes = (weights[0] * (up.z - down.z)).sum(axis=-1) / (2 * STEP)
            own = (double[i] * directions[i]).reshape(ROWS, -1).sum(axis=-1)
            scale = np.abs(double[i]).reshape(ROWS, -1).max(axis=-1)
            error = (np.abs(own - slopes) / scale)[smooth]
            apart = np.abs(single[i] - double[i]).reshape(ROWS, -1).max(axis=-1) / scale
            print(
                f"{name}: {smooth.sum()} programs, float64 against central differences "
                f"{error.max():.2g}, float32 against float64 worst {apart.max():.2g}, "
                f"99 % {np.quantile(apart, 0.99):.2g}, median {np.median(apart):.2g}"
            )
            assert smooth.sum() > 0.4 * ROWS
            assert error.max() < 1e-7
            assert apart.max() < 1e-4
