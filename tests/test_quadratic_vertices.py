# SPDX-License-Identifier: Apache-2.0
"""Solutions of quadratic programs beside SciPy's, most of all at degenerate vertices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from arlsort import quadratic
from tests.test_quadratic import ROWS, TOLERANCE, E, M, N, programs, put, solve


def vertices(rows, n, active, m, e=0, curved=True, few=False, seed=0):
    """Programs whose solution is known, with so many inequalities active there.

    Args:
      rows: Programs.
      n: Variables.
      active: Inequalities that are met with equality.
      m: All inequalities.
      e: Equalities.
      curved: Whether Q is positive definite; else it is zero.
      few: Whether only n of the active inequalities have a dual in the solution that is built.
      seed: Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(rows, n, n)) * curved
    Q, z = root @ root.mT, rng.normal(size=(rows, n))
    G, A = rng.normal(size=(rows, m, n)), rng.normal(size=(rows, e, n))
    dual = rng.uniform(0.1, 1.0, size=(rows, m)) * (np.arange(m) < (n if few else active))
    slack = rng.uniform(0.1, 1.0, size=(rows, m)) * (np.arange(m) >= active)
    p = -np.einsum("rij,rj->ri", Q, z) - np.einsum("rmn,rm->rn", G, dual)
    return (Q, p, G, np.einsum("rmn,rn->rm", G, z) + slack, A, np.einsum("ren,rn->re", A, z)), z


def by_least_distance(Q, p, G, h, A, b):
    """The solution by SciPy's nonnegative least squares, for Q positive definite.

    With `Q = LLᵀ` and `x = Lᵀz + L⁻¹p` it is the shortest x that meets the constraints, and that is
    in the residual of a least squares problem (Lawson and Hanson, Solving Least Squares Problems).
    """
    root = np.linalg.cholesky(Q)
    shift = np.linalg.solve(root, p)
    C, d = np.concatenate([G, A, -A]), np.concatenate([h, b, -b])
    rows = -np.linalg.solve(root, C.T)  # of inequalities rowsᵀx >= bounds
    bounds = -(d - rows.T @ shift)
    target = np.append(np.zeros(len(p)), 1.0)
    matrix = np.concatenate([rows, bounds[None]])
    dual, _ = scipy.optimize.nnls(matrix, target, maxiter=1000)
    left = matrix @ dual - target
    return np.linalg.solve(root.T, -left[:-1] / left[-1] - shift)


def check(arrays, z, dtype):
    with jax.enable_x64(dtype == np.float64):
        found = jax.tree.map(np.asarray, solve(*put(arrays, dtype)))
    np.testing.assert_allclose(found.z, z, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])
    assert found.converged.all() and not found.infeasible.any()
    least = TOLERANCE[dtype] * found.inequality_dual.max(axis=-1, keepdims=True)
    assert (found.inequality_dual >= -least).all()


def test_solutions_are_those_of_nonnegative_least_squares():
    arrays = programs(ROWS, seed=3)
    with jax.enable_x64(True):
        found = np.asarray(solve(*put(arrays, float)).z)
    expected = np.stack([by_least_distance(*row) for row in zip(*arrays, strict=True)])
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.slow
def test_solutions_between_bounds_are_those_of_scipy():
    rng, rows, n = np.random.default_rng(2), 32, 12
    matrix, target = rng.normal(size=(rows, 2 * n, n)), 3 * rng.normal(size=(rows, 2 * n))
    bounds = np.concatenate([np.eye(n), -np.eye(n)]), np.full(2 * n, 0.3)
    program = matrix.mT @ matrix, -np.einsum("rij,ri->rj", matrix, target), *bounds
    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, solve(*put(program, float)))
    each = [
        scipy.optimize.lsq_linear(*row, bounds=(-0.3, 0.3), tol=1e-14)
        for row in zip(matrix, target, strict=True)
    ]
    np.testing.assert_allclose(found.z, np.stack([one.x for one in each]), atol=1e-6)
    assert found.converged.all()


@pytest.mark.slow
@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_points_of_the_birkhoff_polytope_are_those_of_scipy(ridge):
    # The corners are as degenerate as they come: of n² variables 2n - 1 are not at their bound.
    k, rows = 4, 32
    cost = np.random.default_rng(5).normal(size=(rows, k * k))
    sums = np.concatenate([np.kron(np.eye(k), np.ones(k)), np.kron(np.ones(k), np.eye(k))])
    Q, G, h, b = ridge * np.eye(k * k), -np.eye(k * k), np.zeros(k * k), np.ones(2 * k)
    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, solve(*put((Q, cost, G, h, sums, b), float)))
    if ridge < 0.01:  # so small that the nearest corner is best, an assignment
        chosen = [scipy.optimize.linear_sum_assignment(c.reshape(k, k))[1] for c in cost]
        expected = np.stack([np.eye(k)[columns].ravel() for columns in chosen])
    else:
        expected = np.stack([by_least_distance(Q, c, G, h, sums, b) for c in cost])
    np.testing.assert_allclose(found.z, expected, atol=1e-7)
    assert found.converged.all()


def test_a_solution_where_too_many_constraints_meet_has_converged():
    # In the shape of the other tests, for which the program is compiled.
    check(*vertices(ROWS, N, M, M, e=E, few=True), np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n, active, m", [(3, 4, 6), (4, 10, 14), (5, 20, 24), (20, 30, 40)])
def test_vertices_have_converged_in_both_precisions(n, active, m, dtype):
    for curved in (False, True):
        arrays, z = vertices(32, n, active, m, curved=curved)
        check(arrays, z, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("n, active, m, few, seed", [(6, 6, 30, False, 36), (8, 16, 30, True, 38)])
def test_vertices_on_equalities_are_never_lost(n, active, m, few, seed):
    # Rounding in float32 may leave a row that is not converged, but it stays near the solution.
    arrays, z = vertices(256, n, active, m, e=2, curved=False, few=few, seed=seed)
    found = jax.tree.map(np.asarray, solve(*put(arrays, np.float32)))
    assert np.isfinite(found.z).all() and not found.infeasible.any()
    assert found.converged.mean() > 0.9
    np.testing.assert_allclose(found.z[found.converged], z[found.converged], atol=0.01, rtol=0.01)
    assert np.abs(found.z - z).max() < 0.5
    check(arrays, z, np.float64)


@pytest.mark.slow
def test_the_gradient_at_a_vertex_by_p_is_zero_and_by_h_moves_it():
    # All constraints that meet there move along with the vertex, so it goes where they go.
    arrays, _ = vertices(8, 3, 6, 8, curved=False)
    move = np.random.default_rng(1).normal(size=(8, 3))
    with jax.enable_x64(True):
        Q, p, G, h, A, b = put(arrays, float)
        by_p = jax.jacobian(lambda p: quadratic.solve(Q, p, G, h, A, b).z.sum(axis=0))(p)
        along = jnp.einsum("rmn,rn->rm", G, move)
        _, change = jax.jvp(lambda h: quadratic.solve(Q, p, G, h, A, b).z, (h,), (along,))
        by_p, change = np.asarray(by_p), np.asarray(change)
    np.testing.assert_allclose(by_p, 0.0, atol=1e-9)
    np.testing.assert_allclose(change, move, atol=1e-9)
