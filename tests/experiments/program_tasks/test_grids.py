# SPDX-License-Identifier: Apache-2.0
"""Cheapest paths are those of Dijkstra, and their loss is that of a loop."""

import heapq

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common.datasets import Split
from experiments.program_tasks import grids
from experiments.program_tasks.grids import GridTask

TASK = GridTask(
    side=3,
    tconorm="probabilistic",
    networks=1,
    batch_size=4,
    learning_rate=0.01,
    steps=4,
    channels=(2, 2),
    temperature=0.1,
)


def around(row, column, shape):
    for a, b in grids.NEIGHBOURS:
        if 0 <= row + a < shape[0] and 0 <= column + b < shape[1]:
            yield row + a, column + b


def least_cost(costs):
    """The cost of the cheapest path, by Dijkstra's algorithm."""
    done, queue = set(), [(costs[0, 0], (0, 0))]
    while queue:
        paid, cell = heapq.heappop(queue)
        if cell == (costs.shape[0] - 1, costs.shape[1] - 1):
            return paid
        if cell not in done:
            done.add(cell)
            for other in around(*cell, costs.shape):
                heapq.heappush(queue, (paid + costs[other], other))
    raise AssertionError


def check_path(path, costs):
    """A path from corner to corner, without a detour, that costs the least."""
    assert path[0, 0] and path[-1, -1]
    for row, column in zip(*np.nonzero(path), strict=True):
        near = sum(path[other] for other in around(row, column, path.shape))
        assert near == (1 if (row, column) in ((0, 0), tuple(np.array(path.shape) - 1)) else 2)
    assert costs[path].sum() == pytest.approx(least_cost(costs), rel=1e-6)


find = jax.jit(grids.cheapest_path)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_cheapest_paths_are_those_of_dijkstra(dtype):
    costs = np.random.default_rng(0).integers(1, 9999, (20, 4, 5)).astype(dtype)
    for path, cost in zip(np.asarray(find(jnp.asarray(costs))), costs, strict=True):
        check_path(path, cost)


def test_a_path_may_go_back_over_more_rows_than_the_grid_has_sides():
    costs = np.full((1, 5, 5), 100, np.int32)
    way = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 4), (2, 3), (2, 2), (2, 1), (3, 0), (4, 1), (4, 2)]
    for cell in [*way, (4, 3), (4, 4)]:
        costs[(0, *cell)] = 1
    path = np.asarray(find(jnp.asarray(costs)))[0]
    check_path(path, costs[0])
    assert path.sum() == 13


def test_of_free_paths_the_shortest_is_taken():
    path = find(grids.digit_costs(jnp.zeros((1, 5, 5), jnp.int32), 5))[0]
    np.testing.assert_array_equal(path, np.eye(5, dtype=bool))


def soft_marks(costs, temperature):
    """The relaxed program in loops: soft minima of the neighbours, and the way back by weights."""
    shape = costs.shape
    totals = np.full(shape, np.inf)
    totals[0, 0] = costs[0, 0]
    weights = {}

    def soft(cell):
        others = [other for other in around(*cell, shape) if np.isfinite(totals[other])]
        if not others:
            return np.inf, {}
        values = np.array([totals[other] for other in others])
        each = np.exp(-(values - values.min()) / temperature)
        each /= each.sum()
        return values @ each, dict(zip(others, each, strict=True))

    for _ in range(grids.passes(shape[0])):
        last = {cell: soft(cell) for cell in np.ndindex(shape) if cell != (0, 0)}
        for cell, (value, weight) in last.items():
            totals[cell], weights[cell] = costs[cell] + value, weight
    flow, marks = np.zeros(shape), np.zeros(shape)
    flow[-1, -1] = 1
    for _ in range(grids.passes(shape[0])):
        marks = marks + flow - marks * flow
        moved = np.zeros(shape)
        for cell, weight in weights.items():
            for other, share in weight.items():
                moved[other] += flow[cell] * share
        flow = moved
    return marks + flow - marks * flow


def test_pictures_show_their_digits():
    labels = np.arange(10, dtype=np.int32)
    images = np.broadcast_to(labels[:, None, None, None], (10, 8, 8, 1)).astype(np.uint8)
    split = jax.device_put(Split(images, labels))
    pictures, digits = TASK.draw(jax.random.key(0), split, 4)
    np.testing.assert_array_equal((pictures[..., 0, 0, 0] * 255).round().astype(int), digits)


def test_loss_is_the_squared_difference_of_marks(monkeypatch):
    rng = np.random.default_rng(0)
    costs = rng.uniform(0.1, 1, (4, 3, 3))
    digits = rng.integers(0, 10, (4, 3, 3))
    monkeypatch.setattr(GridTask, "costs", lambda *_: jnp.asarray(costs, jnp.float32))
    true = np.asarray(find(grids.digit_costs(jnp.asarray(digits), 3)))
    expected = [
        (soft_marks(cost, TASK.temperature) - path) ** 2
        for cost, path in zip(costs, true, strict=True)
    ]
    assert float(TASK.loss({}, (None, jnp.asarray(digits)))) == pytest.approx(
        np.mean(expected), rel=1e-4
    )
