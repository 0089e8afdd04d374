# SPDX-License-Identifier: Apache-2.0
"""Cholesky factors and solves are those of NumPy, batched in every way, and do not hang."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.numerics import factorisations

ROOT = Path(__file__).resolve().parents[2]
# Several batches at a time, more than there are threads.
TOGETHER = """
import faulthandler
faulthandler.dump_traceback_later(240, exit=True)
import jax, jax.numpy as jnp
from arlsort import quadratic

key = jax.random.key(0)
root, G = jax.random.normal(key, (2, 512, 20, 20))
Q, p, h = root @ root.mT / 20 + 0.1 * jnp.eye(20), jax.random.normal(key, (512, 20)), jnp.ones(20)


@jax.jit
def together(p):
    return sum(quadratic.solve(Q, i * p, G, h).z.sum() for i in range(1, 5))


for _ in range(40):
    assert jnp.isfinite(together(p))
"""


@pytest.fixture(params=[False, True], ids=["batches", "alone"])
def alone(request, monkeypatch):
    monkeypatch.setattr(factorisations, "_waits", lambda: request.param)


def test_they_are_numpys_and_vmap_maps_them(alone):
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(2, 3, 4, 4)).astype(np.float32)
    matrices, rights = roots @ roots.swapaxes(-1, -2) + np.eye(4, dtype=np.float32), roots[..., 0]
    expected = np.linalg.cholesky(matrices)
    both = jax.vmap(jax.vmap(factorisations.cholesky))
    np.testing.assert_allclose(both(jnp.asarray(matrices)), expected, rtol=1e-4, atol=1e-4)
    solve = jax.vmap(jax.vmap(factorisations.solve))
    found = solve(jnp.asarray(expected), jnp.asarray(rights))
    answers = np.linalg.solve(matrices, rights[..., None])[..., 0]
    np.testing.assert_allclose(found, answers, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_either_may_be_shared(alone, axes):
    rng = np.random.default_rng(1)
    factors = np.tril(rng.uniform(1.0, 2.0, size=(3, 4, 4))).astype(np.float32)
    rights = rng.normal(size=(3, 4)).astype(np.float32)
    pairs = list(zip((factors, rights), axes, strict=True))
    given = [each if axis == 0 else each[0] for each, axis in pairs]
    found = jax.jit(jax.vmap(factorisations.solve, in_axes=axes))(*map(jnp.asarray, given))
    for i in range(3):
        factor, right = (each[i if axis == 0 else 0] for each, axis in pairs)
        np.testing.assert_allclose(found[i], np.linalg.solve(factor @ factor.T, right), rtol=1e-3)


def test_a_matrix_that_is_not_positive_is_nan_alone(alone):
    found = jax.vmap(factorisations.cholesky)(jnp.stack([jnp.eye(2), -jnp.eye(2)]))
    np.testing.assert_array_equal(jnp.isnan(found).any(axis=(1, 2)), [False, True])


@pytest.mark.slow
def test_several_programs_at_a_time_do_not_wait_for_one_another():
    done = subprocess.run(
        [sys.executable, "-c", TOGETHER],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
