# SPDX-License-Identifier: Apache-2.0
"""Quadratic programs: solutions, exact gradients, and what is said of those without a solution."""

import functools
import itertools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from arlsort import Permutahedron, quadratic

N, M, E = 4, 6, 1
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-9}
solve = jax.jit(quadratic.solve)
ARGUMENTS = ("Q", "p", "G", "h", "A", "b")


def programs(rows, n=N, m=M, e=E, seed=0):
    """Random programs with a point inside of, or on, each inequality."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(rows, n, n))
    inside = rng.normal(size=(rows, n))
    G, A = rng.normal(size=(rows, m, n)), rng.normal(size=(rows, e, n))
    slack = rng.uniform(0.0, 1.0, size=(rows, m)) * (rng.uniform(size=(rows, m)) < 0.8)
    return (
        root @ root.mT + 0.1 * np.eye(n),
        3 * rng.normal(size=(rows, n)),
        G,
        np.einsum("rmn,rn->rm", G, inside) + slack,
        A,
        np.einsum("ren,rn->re", A, inside),
    )


def put(arrays, dtype):
    return tuple(jnp.asarray(array, dtype) for array in arrays)


def by_enumeration(Q, p, G, h, A, b):
    """The solution among those of all active sets."""
    n, best = len(p), (np.inf, None)
    for size in range(min(n - len(b), len(h)) + 1):
        for chosen in itertools.combinations(range(len(h)), size):
            C, d = np.concatenate([G[list(chosen)], A]), np.concatenate([h[list(chosen)], b])
            zero = np.zeros((len(d), len(d)))
            x = np.linalg.solve(np.block([[Q, C.T], [C, zero]]), np.concatenate([-p, d]))
            z = x[:n]
            cost = z @ Q @ z / 2 + p @ z
            if (G @ z <= h + 1e-9).all() and cost < best[0]:
                best = cost, z
    return best[1]


@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.slow), np.float64])
def test_the_solution_is_the_best_of_all_active_sets(dtype):
    arrays = programs(16)
    with jax.enable_x64(dtype == np.float64):
        found = solve(*put(arrays, dtype))
    expected = np.stack([by_enumeration(*row) for row in zip(*arrays, strict=True)])
    assert found.z.dtype == dtype
    assert found.converged.all() and not found.infeasible.any()
    np.testing.assert_allclose(found.z, expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


CASES = {
    # name: Q, p, G, h, A, b, then the solution, or None, and whether it is infeasible
    "inside": ([[1, 0], [0, 1]], [-1, -2], [[1, 1], [1, 0]], [9, 9], [[0, 0]], [0], [1, 2]),
    "one active": ([[1, 0], [0, 1]], [-1, -2], [[1, 1], [1, 0]], [1, 9], [[0, 0]], [0], [0, 1]),
    "only the symmetric part counts": (
        *([[1, 5], [-5, 1]], [-1, -2], [[1, 1], [1, 0]], [1, 9], [[0, 0]], [0], [0, 1]),
    ),
    "no bound": (
        *([[1, 0], [0, 1]], [-1, -2], [[1, 1], [1, 0]], [np.inf, 0], [[0, 0]], [0], [0, 2]),
    ),
    "equality": ([[1, 0], [0, 1]], [0, 0], [[1, 0], [0, 1]], [9, 9], [[1, 1]], [2], [1, 1]),
    "repeated": ([[1, 0], [0, 1]], [-1, -2], [[1, 1], [1, 1]], [1, 1], [[0, 0]], [0], [0, 1]),
    "weakly active": ([[1, 0], [0, 1]], [-1, 0], [[0, 1], [1, 0]], [0, 9], [[0, 0]], [0], [1, 0]),
    "no room inside": (
        [[1, 0], [0, 1]],
        [-1, -2],
        [[1, 0], [-1, 0]],
        [0, 0],
        [[0, 0]],
        [0],
        [0, 2],
    ),
    "a corner": ([[0, 0], [0, 0]], [-1, -2], [[1, 0], [0, 1]], [1, 3], [[0, 0]], [0], [1, 3]),
    "flat but held": ([[1, 0], [0, 0]], [-1, 0], [[1, 0], [0, 1]], [9, 9], [[1, 1]], [0], [1, -1]),
    "large": (
        *([[1e6, 0], [0, 1e6]], [-1e12, -2e12], [[1e6, 1e6], [1, 0]], [1e12, 9e6], [[0, 0]], [0]),
        [0, 1e6],
    ),
    "small": (
        *([[1e-6, 0], [0, 1e-6]], [-1e-12, -2e-12], [[1e-6, 1e-6], [1, 0]], [1e-12, 9e-6]),
        *([[0, 0]], [0], [0, 1e-6]),
    ),
    "far bound": ([[1, 0], [0, 1]], [-1, -2], [[1, 1], [1, 0]], [1, 1e6], [[0, 0]], [0], [0, 1]),
    "not convex": ([[1, 0], [0, -1]], [-1, -2], [[1, 0], [0, 1]], [3, 3], [[0, 0]], [0], None),
    "very far bound": (
        [[1, 0], [0, 1]],
        [-1, -2],
        [[1, 0], [0, 1]],
        [1e6, 0.1],
        [[0, 0]],
        [0],
        [1, 0.1],
    ),
    "very far, and zero": (
        [[1, 0], [0, 1]],
        [-1, -2],
        [[1, 0], [0, 1]],
        [1e6, 0],
        [[0, 0]],
        [0],
        [1, 0],
    ),
    "farthest bound": (
        [[1, 0], [0, 1]],
        [-1, -2],
        [[1, 0], [0, 1]],
        [1e7, 0.1],
        [[0, 0]],
        [0],
        [1, 0.1],
    ),
    "all zero": ([[1, 0], [0, 1]], [0, 0], [[1, 1], [1, 0]], [0, 0], [[0, 0]], [0], [0, 0]),
    "infeasible": ([[1, 0], [0, 1]], [-1, -2], [[1, 1], [-1, -1]], [1, -2], [[0, 0]], [0], None),
    "infeasible large": (
        *([[1e6, 0], [0, 1e6]], [-1e6, 0], [[1e6, 0], [-1, 0]], [1e6, -2], [[0, 0]], [0], None),
    ),
    "infeasible with the equality": (
        *([[1, 0], [0, 1]], [-1, -2], [[1, 1], [1, 0]], [1, 9], [[1, 1]], [2], None),
    ),
    "impossible row": ([[1, 0], [0, 1]], [-1, -2], [[0, 0], [1, 0]], [-1, 9], [[0, 0]], [0], None),
    "impossible equality": (
        *([[1, 0], [0, 1]], [-1, -2], [[1, 1], [1, 0]], [1, 9], [[0, 0]], [1], None),
    ),
    "unbounded": ([[1, 0], [0, 0]], [0, -1], [[1, 0], [0, -1]], [1, 0], [[0, 0]], [0], None),
    "NaN": ([[1, 0], [0, 1]], [-1, np.nan], [[1, 1], [1, 0]], [1, 9], [[0, 0]], [0], None),
    "infinite": ([[1, 0], [0, 1]], [-1, np.inf], [[1, 1], [1, 0]], [1, 9], [[0, 0]], [0], None),
}


def cases():
    return tuple(np.array([case[i] for case in CASES.values()], float) for i in range(6))


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
def test_flags_say_what_became_of_a_row_and_no_other_row_is_touched(dtype):
    with jax.enable_x64(dtype == np.float64):
        found = jax.tree.map(np.asarray, solve(*put(cases(), dtype)))
    wrong = []
    for i, (name, case) in enumerate(CASES.items()):
        row = jax.tree.map(lambda leaf, i=i: leaf[i], found)
        flags = bool(row.converged), bool(row.infeasible)
        if name == "not convex":
            right = flags == (False, False)
        elif case[6] is None:
            right = np.isnan(row.z).all() and flags == (False, "possible" in name or "feas" in name)
        else:
            scale = np.abs(case[6]).max() or 1.0
            right = np.abs(row.z - case[6]).max() < 10 * TOLERANCE[dtype] * scale
            right = right and flags == (True, False)
        if not right:
            wrong.append((name, row))
    assert not wrong


def weighted(weights, arrays):
    found = quadratic.solve(*arrays)
    parts = (found.z, found.inequality_dual, found.equality_dual)
    return sum((weight * part).sum() for weight, part in zip(weights, parts, strict=True))


@jax.jit
def gradients(weights, arrays, directions):
    """Gradients by all arguments, and the derivative along directions in forward mode."""
    by_reverse = jax.grad(weighted, argnums=1)(weights, arrays)
    _, by_forward = jax.jvp(lambda a: weighted(weights, a), (arrays,), (directions,))
    return by_reverse, by_forward


def random_like(rng, arrays):
    return tuple(rng.normal(size=array.shape) for array in arrays)


ROWS = 16
WEIGHTS = random_like(np.random.default_rng(1), [np.empty((ROWS, k)) for k in (N, M, E)])


def test_gradients_by_all_arguments_are_central_differences_in_both_modes():
    rng, step = np.random.default_rng(2), 1e-5
    arrays = programs(ROWS)
    directions = random_like(rng, arrays)
    with jax.enable_x64(True):
        found, along = gradients(*(put(a, float) for a in (WEIGHTS, arrays, directions)))
        sides = []
        for i in range(6):
            for sign in (1, -1):
                moved = list(arrays)
                moved[i] = arrays[i] + sign * step * directions[i]
                sides.append(solve(*put(moved, float)))
        found, along, sides = jax.tree.map(np.asarray, (found, along, sides))
    total = 0.0
    for i, name in enumerate(ARGUMENTS):
        up, down = sides[2 * i : 2 * i + 2]
        kept = ((up.inequality_dual > 0) == (down.inequality_dual > 0)).all(axis=-1)
        assert kept.sum() >= ROWS - 2  # or there is a kink between them
        slopes = sum(
            (w * (u - d)).sum(axis=-1) / (2 * step)
            for w, u, d in zip(WEIGHTS, up[:3], down[:3], strict=True)
        )
        own = (found[i] * directions[i]).reshape(ROWS, -1).sum(axis=-1)
        np.testing.assert_allclose(own[kept], slopes[kept], rtol=1e-6, atol=1e-6, err_msg=name)
        total += own.sum()
    np.testing.assert_allclose(along, total, rtol=1e-9)


def test_what_a_batch_shares_gets_the_sum_of_its_gradients():
    Q, p, G, h, A, b = programs(ROWS)
    shared = (Q[0], p, G[0], h[:1], A[0], b[0])
    repeated = tuple(
        np.broadcast_to(a, whole.shape) for a, whole in zip(shared, (Q, p, G, h, A, b), strict=True)
    )
    with jax.enable_x64(True):
        own = jax.jit(jax.grad(weighted, argnums=1))(put(WEIGHTS, float), put(shared, float))
        of_rows, _ = gradients(*(put(a, float) for a in (WEIGHTS, repeated, repeated)))
        own, of_rows = jax.tree.map(np.asarray, (own, of_rows))
    for name, found, rows in zip(ARGUMENTS, own, of_rows, strict=True):
        expected = rows if name == "p" else rows.sum(axis=0)
        np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("batch", [(), (0,), (2, 1)])
def test_shapes_with_and_without_constraints(batch):
    for n, m, e in ((1, 0, 0), (1, 1, 0), (3, 0, 2), (3, 2, 3)):
        shapes = ((n, n), (n,), (m, n), (m,), (e, n), (e,))
        arrays = [jax.ShapeDtypeStruct((*batch, *shape), np.float32) for shape in shapes]
        found = jax.eval_shape(quadratic.solve, *arrays)
        shapes = [leaf.shape for leaf in found]
        assert shapes == [(*batch, n), (*batch, m), (*batch, e), batch, batch]
    half = [jnp.zeros(array.shape, jnp.bfloat16) for array in arrays]
    assert jax.eval_shape(quadratic.solve, *half).z.dtype == jnp.bfloat16


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infeasible_programs_are_those_of_a_linear_program(dtype):
    rng, rows, n, m = np.random.default_rng(1), 200, 4, 12
    G, h = rng.normal(size=(rows, m, n)), 0.5 * rng.normal(size=(rows, m)) - 0.1
    expected = [
        scipy.optimize.linprog(np.zeros(n), g, bound, bounds=(None, None)).status == 2
        for g, bound in zip(G, h, strict=True)
    ]
    assert 0 < sum(expected) < rows
    with jax.enable_x64(dtype == np.float64):
        found = solve(*put((np.eye(n), np.zeros(n), G, h), dtype))
    np.testing.assert_array_equal(found.infeasible, expected)


@pytest.mark.slow
def test_without_inequalities_the_flags_are_the_same_under_jit():
    one, none, bounds = (np.ones(shape, np.float32) for shape in ((1, 1), (0, 1), 0))
    twice = functools.partial(solve, one, -one[0], none, bounds, one.repeat(2, 0))
    apart = twice(np.float32([3, 4]))
    assert np.isnan(apart.z) and apart.infeasible and not apart.converged
    assert apart.inequality_dual.shape == (0,)
    nearly = twice(np.float32([3, 3.01]))  # by least squares
    np.testing.assert_allclose(nearly.z, 3.005, rtol=1e-4)
    assert not nearly.converged
    falls = solve(0 * one, -one[0], none, bounds)
    assert np.isnan(falls.z) and not falls.converged and not falls.infeasible


@pytest.mark.slow
def test_without_inequalities_and_with_one_variable():
    no_rows, no_bounds = np.zeros((0, 1), np.float32), np.zeros(0, np.float32)
    one, minus = np.ones((1, 1), np.float32), -np.ones(1, np.float32)
    free = quadratic.solve(one, minus, no_rows, no_bounds)
    np.testing.assert_allclose(free.z, 1.0, rtol=1e-6)
    assert free.converged
    held = quadratic.solve(one, minus, no_rows, no_bounds, one, np.float32([3.0]))
    np.testing.assert_allclose((held.z, held.equality_dual), ([3.0], [-2.0]), rtol=1e-5)
    twice = quadratic.solve(one, minus, no_rows, no_bounds, one.repeat(2, 0), np.float32([3, 3]))
    np.testing.assert_allclose(twice.equality_dual, -1.0, rtol=1e-5)
    falls = quadratic.solve(0 * one, minus, no_rows, no_bounds)
    assert np.isnan(falls.z) and not falls.converged and not falls.infeasible
    apart = quadratic.solve(one, minus, no_rows, no_bounds, one.repeat(2, 0), np.float32([3, 4]))
    assert np.isnan(apart.z) and apart.infeasible


@pytest.mark.slow
def test_vmap_and_jacobians_are_those_of_rows():
    arrays = programs(3)
    with jax.enable_x64(True):
        rows = put(arrays, float)
        batch = quadratic.solve(*rows)
        mapped = jax.vmap(quadratic.solve)(*rows)
        forward = jax.vmap(jax.jacfwd(lambda p, *rest: quadratic.solve(rest[0], p, *rest[1:]).z))
        reverse = jax.vmap(jax.jacrev(lambda p, *rest: quadratic.solve(rest[0], p, *rest[1:]).z))
        order = (rows[1], rows[0], *rows[2:])
        np.testing.assert_allclose(forward(*order), reverse(*order), atol=1e-10)
        hessian = jax.hessian(
            lambda p: (quadratic.solve(rows[0][0], p, *(r[0] for r in rows[2:])).z ** 2).sum()
        )
        assert np.isfinite(hessian(rows[1][0])).all()
    for one, other in zip(batch, mapped, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"p": np.zeros(2, np.int32)}, TypeError, "p: received dtype int32"),
        ({"Q": [[1.0]]}, TypeError, "Q: received list"),
        ({"Q": np.eye(3)}, ValueError, r"Q: received shape \(3, 3\), allowed: \[..., 2, 2\]"),
        ({"h": np.zeros(3)}, ValueError, "G: received"),
        ({"G": np.zeros(2)}, ValueError, "G: received"),
        ({"Q": np.eye(2, dtype=np.float16)}, TypeError, "Q: received dtype float16"),
        ({"A": np.ones((1, 2))}, ValueError, "b: received None"),
        ({"b": np.ones(1)}, ValueError, "A: received None"),
        ({"p": np.zeros((2, 2)), "h": np.zeros((3, 1))}, ValueError, "leading axes that broadcast"),
        ({"Q": np.zeros((0, 0)), "p": np.zeros(0)}, ValueError, "p: received"),
    ],
)
def test_errors_name_the_argument(arguments, error, words):
    whole = {"Q": np.eye(2), "p": np.zeros(2), "G": np.ones((1, 2)), "h": np.ones(1)} | arguments
    with pytest.raises(error, match=words):
        quadratic.solve(**whole)


REFERENCE = json.loads((pathlib.Path(__file__).parent / "quadratic_reference.json").read_text())


@pytest.mark.parametrize("package", REFERENCE["packages"])
def test_gradients_are_the_recorded_ones_of_other_packages(package):
    theirs, rows = REFERENCE["packages"][package], len(REFERENCE["weights"])
    # In the shape of the other tests, for which the program is compiled.
    arrays = [np.array(REFERENCE["programs"][name]) for name in ARGUMENTS]
    arrays = tuple(
        np.concatenate([a, b[rows:]]) for a, b in zip(arrays, programs(ROWS), strict=True)
    )
    weights = [np.zeros_like(weight) for weight in WEIGHTS]
    weights[0][:rows] = REFERENCE["weights"]
    with jax.enable_x64(True):
        z = np.asarray(solve(*put(arrays, float)).z)
        found, _ = gradients(*(put(a, float) for a in (weights, arrays, arrays)))
        found = jax.tree.map(np.asarray, found)
    np.testing.assert_allclose(z[:rows], theirs["z"], atol=1e-7)
    for name, ours in zip(ARGUMENTS, found, strict=True):
        np.testing.assert_allclose(ours[:rows], theirs[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_the_permutahedron_is_a_quadratic_program():
    # Ranks are the projection of x / temperature onto the hull of all permutations of 0 to n - 1:
    # any k of them sum to at least 0 + ... + (k - 1), and all of them to n (n - 1) / 2.
    n, temperature = 4, 2.0
    x = np.random.default_rng(0).normal(size=(5, n)) * 3
    subsets = [s for k in range(1, n) for s in itertools.combinations(range(n), k)]
    G = np.array([[-float(i in s) for i in range(n)] for s in subsets])
    h = np.array([-len(s) * (len(s) - 1) / 2 for s in subsets])
    A, b = np.ones((1, n)), np.array([n * (n - 1) / 2])
    operator = Permutahedron(temperature=temperature)
    with jax.enable_x64(True):
        shared = put((G, h, A, b), float)

        def by_program(x):
            return quadratic.solve(jnp.eye(n), -x / temperature, *shared)

        found = by_program(jnp.asarray(x))
        own, slopes = operator.rank(jnp.asarray(x)), jax.jacobian(operator.rank)(jnp.asarray(x[0]))
        expected = jax.jacobian(lambda x: by_program(x).z)(jnp.asarray(x[0]))
    assert np.asarray(found.converged).all()
    np.testing.assert_allclose(found.z, own, atol=1e-9)
    np.testing.assert_allclose(slopes, expected, atol=1e-9)
