# SPDX-License-Identifier: Apache-2.0
"""Quadratic programs are those of qpax, qpth and qpsolvers, and so are their gradients."""

import jax
import numpy as np
import pytest

from arlsort import quadratic
from tests.peers.quadratic_reference import NAMES, PACKAGES
from tests.test_quadratic import gradients, programs, put

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("package", PACKAGES)
def test_solutions_and_gradients_are_those_of_the_package(package):
    pytest.importorskip(package)
    arrays = programs(8, n=20, m=20, e=3, seed=4)
    weights = np.random.default_rng(5).normal(size=(8, 20))
    z, slopes = PACKAGES[package](weights, arrays)
    of_duals = np.zeros((8, 20)), np.zeros((8, 3))
    with jax.enable_x64(True):
        own = quadratic.solve(*put(arrays, float))
        found, _ = gradients(*(put(a, float) for a in ((weights, *of_duals), arrays, arrays)))
        own, found = jax.tree.map(np.asarray, (own, found))
    np.testing.assert_allclose(own.z, z, atol=1e-5)
    for name, ours, theirs in zip(NAMES, found, slopes, strict=True):
        deviation = np.abs(ours - theirs).max() / np.abs(ours).max()
        print(f"{package} {name}: {deviation:.2g}")
        assert deviation < 1e-4


@pytest.mark.parametrize("solver", ["quadprog", "osqp", "clarabel", "daqp"])
def test_solutions_are_those_of_qpsolvers(solver):
    package = pytest.importorskip("qpsolvers")
    if solver not in package.available_solvers:
        pytest.skip(f"qpsolvers has no {solver} here")
    arrays = programs(8, n=20, m=20, e=3, seed=4)
    with jax.enable_x64(True):
        own = np.asarray(quadratic.solve(*put(arrays, float)).z)
    options = {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iter": 100_000} if solver == "osqp" else {}
    theirs = [package.solve_qp(*row, solver=solver, **options) for row in zip(*arrays, strict=True)]
    np.testing.assert_allclose(own, np.stack(theirs), atol=1e-5)
