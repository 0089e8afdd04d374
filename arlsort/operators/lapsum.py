# SPDX-License-Identifier: Apache-2.0
"""LapSum: positions are the cells between the quantiles of a sum of Laplace distributions."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import exact_order
from arlsort.numerics import clusters, laplace, prefixes
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
    paper's soft top-k. Two of the paper's functions differ from ours:

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
        at, _, place = self._thresholds(scores, None)
        return _columns(laplace.weights(at), place)

    def _apply(self, scores: jax.Array, rows: jax.Array) -> jax.Array:
        return self._mixed(scores, rows, None)

    def _sort(self, scores: jax.Array) -> jax.Array:
        return self._sorted(scores, None)

    def _rank(self, scores: jax.Array) -> jax.Array:
        return self._ranked(scores, None)

    def _top(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        at, _, place = self._thresholds(scores, count)
        first = prefixes.count_of(scores, count) - k
        return _columns(jnp.flip(laplace.weights(at, first, k), axis=-2), place)

    def _mask(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        at, _, place = self._thresholds(scores, count)
        above = laplace.share_above(at, prefixes.count_of(scores, count) - k)
        return jnp.take_along_axis(above, place, axis=-1)

    def _masked_permutation(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        at, _, place = self._thresholds(scores, count)
        return _columns(laplace.weights(at), place)

    def _masked_apply(self, scores: jax.Array, count: jax.Array, rows: jax.Array) -> jax.Array:
        return self._mixed(scores, rows, count)

    def _masked_sort(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._sorted(scores, count)

    def _masked_rank(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._ranked(scores, count)

    def _mixed(self, scores: jax.Array, rows: jax.Array, count: jax.Array | None) -> jax.Array:
        at, order, _ = self._thresholds(scores, count)
        ordered = jnp.take_along_axis(rows, order[..., None], axis=-2)
        return jnp.swapaxes(laplace.mix(at, jnp.swapaxes(ordered, -1, -2)), -1, -2)

    def _sorted(self, scores: jax.Array, count: jax.Array | None) -> jax.Array:
        at, _, _ = self._thresholds(scores, count)
        # A shift changes nothing but the rounding; clusters so far apart that they have no weight
        # for each other may have one each.
        near, _ = clusters.anchors(at.points, at.temperature)
        return near + laplace.mix(at, (at.points - near)[..., None, :])[..., 0, :]

    def _ranked(self, scores: jax.Array, count: jax.Array | None) -> jax.Array:
        at, _, place = self._thresholds(scores, count)
        return jnp.take_along_axis(laplace.ranks(at), place, axis=-1)

    def _thresholds(
        self, scores: jax.Array, count: jax.Array | None
    ) -> tuple[laplace.Thresholds, jax.Array, jax.Array]:
        """The thresholds, the order of the scores, and the place of each in it.

        Elements after the items have no mass within their reach.
        """
        if count is not None:
            scores = prefixes.keep(scores, count, prefixes.beyond(scores.dtype))
        points, order = exact_order.sort(scores)
        at = laplace.thresholds(points, jnp.asarray(self.temperature))
        return at, order, exact_order.inverse(order)


def _columns(weights: jax.Array, place: jax.Array) -> jax.Array:
    return jnp.take_along_axis(weights, place[..., None, :], axis=-1)
