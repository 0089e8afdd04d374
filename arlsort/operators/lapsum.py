# SPDX-License-Identifier: Apache-2.0
"""LapSum: positions are the cells between the quantiles of a sum of Laplace distributions."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import exact_order
from arlsort.numerics import clusters, laplace
from arlsort.operators import base


@base.register
@dataclasses.dataclass(frozen=True)
class LapSum(base.Operator):
    r"""The weight of an input at a position is the mass of its Laplace distribution in a cell.

    Each score is smoothed into a Laplace distribution, `Lap(u) = exp(u) / 2` for `u <= 0` and
    `1 - exp(-u) / 2` above. The sum `F(b) = sum_j Lap((b - x[j]) / temperature)` grows from 0 to
    n; the thresholds `F(b[k]) = k` cut the line into n cells of total mass one, and

    `P[i, j] = Lap((b[i+1] - x[j]) / temperature) - Lap((b[i] - x[j]) / temperature)`.

    P is doubly stochastic by construction. Values, ranks and sorted rows take O(n log n) time and
    O(n) memory, without P: see `arlsort.numerics.laplace`.

    P is the transpose of the paper's soft permutation, and the sum of its last k rows is the
    paper's soft top-k. Two of the paper's functions are others than ours:

    * Its soft sort is the inverse of F at `i + 1/2`, the quantiles of the smoothed scores; our
      values are `P @ x`, the means of the inputs over the cells.
    * Its soft rank is `F(x[j]) - 1/2`, the expected number of scores below; ours is
      `sum_i i P[i, j] = sum_k Lap((x[j] - b[k]) / temperature)`, the expected position. Both sum to
      `n (n - 1) / 2`.

    Attributes:
      temperature: The paper's α, the scale of the Laplace distribution, in the unit of the
        scores; > 0.

    Raises:
      ValueError: If the temperature is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> print(LapSum(temperature=0.1).sort(jnp.array([3.0, 1.0, 2.0])).round(1))
      [1. 2. 3.]

    References:
      Struski, Bednarczyk, Podolak and Tabor, LapSum - One Method to Differentiate Them All:
      Ranking, Sorting and Top-k Selection, ICML 2025.
    """

    temperature: ArrayLike = 1.0

    doubly_stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_positive("temperature", self.temperature)

    def _permutation(self, scores: jax.Array) -> jax.Array:
        points, order = exact_order.sort(scores)
        weights = laplace.weights(laplace.thresholds(points, jnp.asarray(self.temperature)))
        return jnp.take_along_axis(weights, exact_order.inverse(order)[..., None, :], axis=-1)

    def _apply(self, scores: jax.Array, rows: jax.Array) -> jax.Array:
        points, order = exact_order.sort(scores)
        ordered = jnp.take_along_axis(rows, order[..., None], axis=-2)
        at = laplace.thresholds(points, jnp.asarray(self.temperature))
        return jnp.swapaxes(laplace.mix(at, jnp.swapaxes(ordered, -1, -2)), -1, -2)

    def _sort(self, scores: jax.Array) -> jax.Array:
        points, _ = exact_order.sort(scores)
        temperature = jnp.asarray(self.temperature)
        # A shift changes nothing but the rounding; clusters so far apart that they have no weight
        # for each other may have one each.
        near, _ = clusters.anchors(points, temperature)
        at = laplace.thresholds(points, temperature)
        return near + laplace.mix(at, (points - near)[..., None, :])[..., 0, :]

    def _rank(self, scores: jax.Array) -> jax.Array:
        points, order = exact_order.sort(scores)
        ranks = laplace.ranks(laplace.thresholds(points, jnp.asarray(self.temperature)))
        return jnp.take_along_axis(ranks, exact_order.inverse(order), axis=-1)
