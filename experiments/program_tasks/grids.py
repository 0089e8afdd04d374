# SPDX-License-Identifier: Apache-2.0
"""Path supervision: a network learns what digits cost from cheapest paths alone.

A grid of pictures is shown, each cell costs the digit drawn in it, and only the cells of the
cheapest path from the top left to the bottom right are known. The network gives each picture a
cost; the relaxed path through those costs is to be the true one.
"""

import dataclasses
import functools
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from arlsort.programs import algorithms
from experiments.common.datasets import Split, Splits
from experiments.program_tasks.reader import digit_reader

CLASSES = 10
TCONORMS = algorithms.NORMS
NEIGHBOURS = algorithms.NEIGHBOURS
ROWS_AT_ONCE = 1000  # pictures that are read together when measuring


@dataclasses.dataclass(frozen=True)
class GridTask:
    """The task; every field is a setting of `cheapest_paths.py`.

    Attributes:
      side: Cells along each side of a grid.
      tconorm: How the marks of the way back are joined.
      networks: Trained side by side; the one with the smallest loss is kept.
      batch_size: Grids in a step.
      learning_rate: Of Adam, at first; it falls to zero as a cosine.
      steps: All the steps.
      channels: Of the two convolutions.
      temperature: Of the program.
    """

    side: int
    tconorm: str
    networks: int
    batch_size: int
    learning_rate: float
    steps: int
    channels: tuple[int, ...]
    temperature: float

    def select(self, splits: Splits) -> Splits:
        """Keeps all digits."""
        return splits

    def init(self, key: jax.Array, split: Split) -> hk.Params:
        """Makes the network's first parameters."""
        return self._reader.init(key, jnp.asarray(split.images[:1], jnp.float32))

    def loss(self, params: hk.Params, grids: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Mean squared difference of soft marks and the true path, over the cells of grids."""
        pictures, digits = grids
        true = cheapest_path(digit_costs(digits, self.side))
        return jnp.square(self.marks(self.costs(params, pictures)) - true).mean()

    def measure(
        self, params: hk.Params, key: jax.Array, split: Split, examples: int
    ) -> dict[str, Any]:
        """Gives the share of cheapest paths on new grids, and what the network thinks digits cost.

        Returns:
          `exact`, the share of grids whose path by the network's costs costs no more than the
          cheapest one; `excess`, what all those paths cost more than the cheapest ones, as a
          fraction; `correlation` of a picture's cost with its digit; and `costs`, the mean and the
          standard deviation of the costs of each digit's pictures, as a share of the mean of all.
        """
        batches = range(-(-examples // self.batch_size))
        both = [_paid(self, params, jax.random.fold_in(key, i), split) for i in batches]
        paid, least = (np.concatenate(part)[:examples] for part in zip(*both, strict=True))
        count = len(split.labels)
        parts = [
            np.asarray(_costs(self, params, split.images[i : i + ROWS_AT_ONCE]))
            for i in range(0, count, ROWS_AT_ONCE)
        ]
        costs, labels = np.concatenate(parts).astype(float), np.asarray(split.labels)
        costs /= costs.mean()
        digits = [costs[labels == digit] for digit in range(CLASSES)]
        return {
            "exact": float((paid == least).mean()),
            "excess": float(paid.sum() / least.sum() - 1),
            "correlation": float(np.corrcoef(costs, labels)[0, 1]),
            "costs": [[round(float(d.mean()), 4), round(float(d.std()), 4)] for d in digits],
        }

    def draw(self, key: jax.Array, split: Split, count: int) -> tuple[jax.Array, jax.Array]:
        """Draws grids.

        Returns:
          Pictures `[count, side, side, height, width, channels]` from 0 to 1, and the digits in
          them, `[count, side, side]`.
        """
        shape = (count, self.side, self.side)
        rows = jax.random.randint(key, shape, 0, split.labels.shape[0])
        pictures = split.images[rows].astype(jnp.float32) / 255
        # Else XLA draws each pixel again for every patch that it is part of.
        return jax.lax.optimization_barrier((pictures, split.labels[rows]))

    def costs(self, params: hk.Params, pictures: jax.Array) -> jax.Array:
        """Gives what pictures cost, above zero, `[...]`."""
        return jax.nn.softplus(self._reader.apply(params, pictures)[..., 0])

    def marks(self, costs: jax.Array) -> jax.Array:
        """Gives the soft marks of the relaxed path, `[count, side, side]`."""
        program = functools.partial(
            algorithms.shortest_path, temperature=self.temperature, tconorm=self.tconorm
        )
        return program(costs, steps=passes(self.side))

    @property
    def _reader(self) -> hk.Transformed:
        return digit_reader(self.channels, 1)


@functools.partial(jax.jit, static_argnames="task")
def _costs(task: GridTask, params: hk.Params, images: jax.Array) -> jax.Array:
    return task.costs(params, images.astype(jnp.float32) / 255)


@functools.partial(jax.jit, static_argnames="task")
def _paid(
    task: GridTask, params: hk.Params, key: jax.Array, split: Split
) -> tuple[jax.Array, jax.Array]:
    """What the paths of fresh grids cost: those by the network's costs, and the cheapest."""
    pictures, digits = task.draw(key, split, task.batch_size)
    ours, true = cheapest_path(task.costs(params, pictures)), digit_costs(digits, task.side)
    along = [jnp.where(path, digits, 0).sum(axis=(1, 2)) for path in (ours, cheapest_path(true))]
    return along[0], along[1]


def passes(side: int) -> int:
    """Passes of the relaxed program each way: few paths through digits have more cells."""
    return 2 * side


def digit_costs(digits: jax.Array, side: int) -> jax.Array:
    """What cells cost, as integers: the digit, and next to nothing for each cell of a path.

    Of paths that cost the same the one with fewest cells is then the cheapest, and no cell is free.

    Args:
      digits: Of cells.
      side: Cells along each side of a grid.

    Returns:
      Integers of the same shape.
    """
    return digits * (side * side + 1) + 1


def cheapest_path(costs: jax.Array) -> jax.Array:
    """Marks the cheapest path from the top left to the bottom right cell, by Bellman and Ford.

    A step leads to one of eight neighbours. Of paths that cost the same, the way back takes the
    first of `NEIGHBOURS`.

    Args:
      costs: `[grids, height, width]`, above zero; integers or floats.

    Returns:
      Booleans `[grids, height, width]`.
    """
    count, height, width = costs.shape
    most = jnp.asarray(jnp.iinfo(jnp.int32).max // 2 if costs.dtype == jnp.int32 else jnp.inf)
    most = most.astype(costs.dtype)
    corner = jnp.zeros((height, width), bool).at[0, 0].set(True)[None]
    start = jnp.where(corner, costs, most)

    def around(totals: jax.Array) -> jax.Array:
        padded = jnp.pad(totals, ((0, 0), (1, 1), (1, 1)), constant_values=most)
        views = [padded[:, 1 + a : 1 + a + height, 1 + b : 1 + b + width] for a, b in NEIGHBOURS]
        return jnp.stack(views)  # [8, grids, height, width]

    def relax(_: int, totals: jax.Array) -> jax.Array:
        return jnp.where(corner, costs, jnp.minimum(totals, around(totals).min(axis=0) + costs))

    totals = jax.lax.fori_loop(0, height * width, relax, start)
    back = jnp.argmin(around(totals), axis=0)  # [grids, height, width]
    steps, grids = jnp.array(NEIGHBOURS), jnp.arange(count)

    def walk(
        _: int, state: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        marks, row, column = state
        step = steps[back[grids, row, column]]
        home = (row == 0) & (column == 0)
        row = jnp.where(home, row, row + step[:, 0])
        column = jnp.where(home, column, column + step[:, 1])
        return marks.at[grids, row, column].set(True), row, column

    marks = jnp.zeros(costs.shape, bool).at[:, -1, -1].set(True)
    ends = jnp.full(count, height - 1), jnp.full(count, width - 1)
    return jax.lax.fori_loop(0, height * width, walk, (marks, *ends))[0]
