# SPDX-License-Identifier: Apache-2.0
"""The programs that ship: exact if hard, near that if cold, and what the language says of them."""

import functools
import heapq
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from arlsort import programs
from arlsort.networks.swaps import DISTRIBUTIONS
from arlsort.programs import algorithms
from tests import references

# float32 through some hundreds of operations.
ATOL = 2e-5


def _swaps(x):
    """How many pairs are in the wrong order: what bubble and insertion sort swap."""
    return sum(a > b for i, a in enumerate(x) for b in x[i + 1 :])


def _edits(a, b):
    table = np.zeros((len(a) + 1, len(b) + 1))
    table[:, 0], table[0, :] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            ways = table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + (one != other)
            table[i + 1, j + 1] = min(ways)
    return table[-1, -1]


def _cheapest(costs):
    """The cheapest path by Dijkstra."""
    h, w = costs.shape
    queue, done = [(0.0, (0, 0), ((0, 0),))], set()
    while queue:
        cost, at, path = heapq.heappop(queue)
        if at == (h - 1, w - 1):
            marked = np.zeros((h, w))
            marked[tuple(np.transpose(path))] = 1
            return marked
        if at in done:
            continue
        done.add(at)
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                to = at[0] + i, at[1] + j
                if to not in done and 0 <= to[0] < h and 0 <= to[1] < w:
                    heapq.heappush(queue, (cost + costs[to], to, (*path, to)))
    raise AssertionError


def _both(function, *inputs, **options):
    """The cold program and the exact one, of a batch."""
    for settings in ({"temperature": 1e-4}, {"hard": True}):
        yield function(*inputs, **settings, **options)


GENERATOR = np.random.default_rng(5)
LISTS = np.stack([GENERATOR.permutation(5) for _ in range(6)]).astype(np.float32)


@pytest.mark.parametrize(
    "function",
    [algorithms.bubble_sort, pytest.param(algorithms.insertion_sort, marks=pytest.mark.slow)],
)
def test_sorts_sort_and_count(function):
    for values, swaps in _both(function, jnp.asarray(LISTS)):
        np.testing.assert_allclose(values, np.sort(LISTS), atol=ATOL)
        np.testing.assert_allclose(swaps, [_swaps(row) for row in LISTS], atol=ATOL)


def test_any_swap_is_asked_for_by_name():
    lists = jnp.array([[0.0, 1.0, 2.0], [1.0, 0.0, 2.0]])
    for _, counted in _both(algorithms.bubble_sort, lists, count="any"):
        np.testing.assert_allclose(counted, [0, 1], atol=ATOL)


def test_short_lists():
    for n in (0, 1):
        for values, swaps in _both(algorithms.bubble_sort, jnp.arange(n, dtype=jnp.float32)):
            assert values.shape == (n,) and swaps == 0
    values, moves = algorithms.insertion_sort(jnp.ones(1))
    assert values == 1 and moves == 0


@functools.partial(jax.jit, static_argnames=("distribution", "fast"))
def _sums(x, mix, distribution, fast):
    layer = programs.relaxed(algorithms.bubble_sort_in_steps)
    options = {"temperature": 0.4, "distribution": distribution}

    def total(x):
        if fast:
            values, swaps = algorithms.bubble_sort(x, **options)
        else:
            values, swaps = jax.vmap(lambda x: layer(x, **options))(x)
        return (values * mix).sum() + jnp.sin(swaps).sum(), (values, swaps)

    return jax.grad(total, has_aux=True)(x)


@pytest.mark.parametrize(
    "distribution",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name != "logistic"))
        for name in sorted(DISTRIBUTIONS)
    ],
)
def test_the_fast_bubble_sort_is_the_written_one(distribution):
    x, mix = np.random.default_rng(2).normal(size=(2, 3, 5))
    x[0, 3] = x[0, 1]
    with jax.enable_x64(True):
        fast, written = (_sums(x, mix, distribution, fast) for fast in (True, False))
    for got, expected in zip(*map(jax.tree.leaves, (fast, written)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def test_bubble_sort_is_the_operator():
    x = GENERATOR.normal(size=5).astype(np.float32)
    values, _ = algorithms.bubble_sort(jnp.asarray(x), temperature=0.3)
    expected = references.bubble_sort(x, temperature=0.3) @ x
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_levenshtein_counts_edits():
    strings = [GENERATOR.integers(3, size=(4, size)) for size in (4, 3)]
    expected = [_edits(a, b) for a, b in zip(*strings, strict=True)]
    encoded = [jax.nn.one_hot(one, 3) for one in strings]
    for distance in _both(algorithms.levenshtein, *encoded):
        np.testing.assert_allclose(distance, expected, atol=ATOL)


@pytest.mark.parametrize(
    "tconorm",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name != algorithms.NORMS[0]))
        for name in algorithms.NORMS
    ],
)
def test_shortest_path_marks_the_cheapest_path(tconorm):
    costs = GENERATOR.uniform(0.1, 1, size=(4, 4, 3)).astype(np.float32)
    costs[0] = [[1, 1, 1], [9, 9, 1], [1, 1, 9], [1, 9, 1]]  # not the shortest number of cells
    expected = [_cheapest(one) for one in costs]
    for marked in _both(algorithms.shortest_path, jnp.asarray(costs), tconorm=tconorm):
        np.testing.assert_allclose(marked, expected, atol=1e-3)
    soft = algorithms.shortest_path(jnp.asarray(costs), tconorm=tconorm, temperature=0.5)
    assert ((soft >= -ATOL) & (soft <= 1 + ATOL)).all() and (soft[:, -1, -1] > 1 - ATOL).all()


def test_the_norms_join_marks_differently():
    costs = jnp.asarray(GENERATOR.uniform(0.1, 1, size=(3, 3)), jnp.float32)

    def marked(tconorm, **options):
        return np.asarray(
            algorithms.shortest_path(costs, temperature=0.5, steps=6, **options, tconorm=tconorm)
        )

    one, hamacher, yager = map(marked, algorithms.NORMS)
    for a, b in ((one, hamacher), (hamacher, yager), (yager, one)):
        assert abs(a - b).max() > 0.01
    np.testing.assert_allclose(marked("hamacher", parameter=5), hamacher, rtol=1e-6)
    np.testing.assert_allclose(marked("hamacher", parameter=1.0), one, rtol=1e-5)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"parameter": 2.0}, ValueError, "parameter: received 2.0, allowed: None for probab"),
        ({"parameter": -1.0, "tconorm": "hamacher"}, ValueError, "parameter: received -1.0"),
        ({"parameter": jnp.ones(()), "tconorm": "hamacher"}, TypeError, "parameter: received a v"),
    ],
)
def test_parameters_of_no_norm_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        algorithms.shortest_path(jnp.ones((2, 2)), **options)


def test_ways_around_infinite_and_huge_costs_are_taken():
    inf, way = np.inf, [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    costs = jnp.array([[1, inf, 1], [1, inf, 1], [inf, 1, 1]], jnp.float32)
    huge = jnp.where(jnp.isinf(costs), 9e13, 1e13)  # each costs more than the least wall

    def total(costs):
        marked = algorithms.shortest_path(costs, temperature=0.1)
        return (marked * jnp.arange(9.0).reshape(3, 3)).sum(), marked

    slopes, marked = jax.vmap(jax.grad(total, has_aux=True))(jnp.stack([costs, huge]))
    np.testing.assert_allclose(marked, [way, way], atol=1e-4)
    assert np.isfinite(slopes).all()


def test_loops_may_depend_on_the_data():
    b = jnp.array([0.0, 1.0, 4.0])
    for product in _both(algorithms.multiply, 1.5 * jnp.ones(3), b):
        np.testing.assert_allclose(product, 1.5 * b, atol=ATOL)
    numbers = np.sort(GENERATOR.normal(size=6)).astype(np.float32)
    values = np.concatenate([numbers + 0.01, [-9]]).astype(np.float32)
    expected = np.searchsorted(numbers, values)
    for found in _both(algorithms.binary_search, jnp.asarray(numbers), jnp.asarray(values)):
        np.testing.assert_allclose(found, expected, atol=ATOL)
    slope = jax.grad(algorithms.binary_search, 1)(jnp.arange(6.0), jnp.array(2.4), temperature=0.5)
    assert slope > 0.1


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_a_search_does_not_depend_on_the_unit_of_the_numbers(unit):
    x, values = jnp.arange(6.0), jnp.array([-3.0, 2.4, 2.9, 20.0])
    found = algorithms.binary_search(x, values, temperature=0.5)
    scaled = algorithms.binary_search(x * unit, values * unit, temperature=0.5 * unit)
    np.testing.assert_allclose(scaled, found, rtol=1e-4)
    assert (found >= 0).all() and (found <= 6).all() and 2 < found[1] < found[2] < 4


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: algorithms.binary_search(jnp.ones(0), 1.0), ValueError, r"x: received shape \(0,"),
        (
            lambda: algorithms.levenshtein(jnp.ones((2, 3)), jnp.ones((2, 4))),
            ValueError,
            "b: received 4 classes, allowed: 3, those of a",
        ),
        (lambda: algorithms.multiply(1.5, 4), TypeError, "b: received dtype int32"),
    ],
)
def test_errors_name_the_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_levenshtein_keeps_single_precision_beside_double():
    strings = jax.ShapeDtypeStruct((2, 3), jnp.float32), jax.ShapeDtypeStruct((2, 3), jnp.bfloat16)
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("error")  # of a scatter that rounds
        for string in strings:
            distance = jax.eval_shape(algorithms.levenshtein, string, string)
            assert distance.dtype == jnp.float32


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bubble_sort", "levenshtein", "shortest_path"])
def test_gradients_are_those_of_finite_differences(name):
    generator = np.random.default_rng(4)
    inputs = {
        "bubble_sort": [generator.normal(size=4)],
        "levenshtein": list(generator.dirichlet(np.ones(3), size=(2, 3))),
        "shortest_path": [generator.uniform(0.2, 1.2, size=(3, 3))],
    }[name]

    def total(t, *inputs):
        parts = jax.tree.leaves(getattr(algorithms, name)(*inputs, temperature=t))
        flat = jnp.concatenate([part.ravel() for part in parts])
        return flat @ np.cos(1 + np.arange(flat.size))

    with jax.enable_x64(True):
        arrays = [jnp.asarray(0.3), *map(jnp.asarray, inputs)]
        check_grads(jax.jit(total), arrays, order=1, eps=1e-5, rtol=1e-5, atol=1e-6)
