# SPDX-License-Identifier: Apache-2.0
"""Soft sorting and ranking as projections onto the permutahedron."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import exact_order
from arlsort.numerics import clusters, filling, finite, isotonic, prefixes
from arlsort.operators import base

REGULARIZATIONS = ("l2", "entropic")


@base.register
@dataclasses.dataclass(frozen=True)
class Permutahedron(base.Operator):
    """The projection of positions onto the permutations of the scores, and the reverse for ranks.

    With the temperature ε, positions `i = 0, ..., n - 1` and s the scores in ascending order:

    * `l2`: the values are the Euclidean projection of `(0, ..., n - 1) / ε` onto the convex hull of
      all permutations of the scores, and the ranks that of `x / ε` onto the hull of all
      permutations of `(0, ..., n - 1)`. Values sum to the sum of the scores.
    * `entropic`: the same in the logarithm and with the Kullback-Leibler divergence: `exp(values)`
      is the projection of `exp(i / ε)` onto the hull of the permutations of `exp(x)`, so it is
      `sum(exp(values))` that is kept, not the sum; `1 + rank` is the projection of `exp(x / ε)`
      onto the hull of the permutations of `(1, ..., n)`. Of many scores that are pooled
      only the largest have a say, so this is not the same as sorting `-x` and changing signs.

    Each projection pools runs B of neighbours in the sorted order, by an isotonic regression, and
    then has a closed form. With `mean` and `logsumexp` over B, for i in B:

    * `l2`: `value_i = mean(s) + (i - mean(i)) / ε`, `rank_i = mean(i) + (s_i - mean(s)) / ε`.
    * `entropic`: `value_i = logsumexp(s) + log softmax(i / ε)_i`,
      `1 + rank_i = softmax(s / ε)_i sum(1 + i)`.

    Values ascend and lie between the scores of their block, ranks between the positions of theirs,
    so in [min(x), max(x)] and [0, n - 1] for both kinds. Nothing is pooled, and the result is the
    exact sort, not only nearly, as soon as all gaps between neighbours are at most 1/ε (values) or
    at least ε (ranks; where ranks r and r + 1 meet, ε log((r + 2) / (r + 1)) is enough in the
    entropic kind). Then the gradient of the ranks is zero. At high temperatures values tend to
    the mean of the scores, or to logsumexp(x) - log(n); ranks to (n - 1) / 2.

    These are the paper's definitions: values in its descending order turned over, and its ranks of
    `-x`, less one. In the reference implementation that is `soft_sort(..., "DESCENDING")` turned
    over, whose "ASCENDING" is `-sort(-x)` turned over, and `soft_rank(..., "ASCENDING") - 1`.

    The mask of the k largest is the projection of `x / ε` onto the hull of all masks of k ones, by
    the same divergences: `l2` pools as the ranks do, with zeros and ones for positions; `entropic`
    is `min(1, λ exp(x / ε))` with the λ for which it sums to k.

    There is no permutation matrix. Time is O(n log n) and memory O(n) for any scores, and so are
    their Jacobian products, which are exact.

    Attributes:
      temperature: The paper's regularization strength ε; > 0. For ranks it is in the unit of the
        scores; for values, in the reciprocal of that unit.
      regularization: `"l2"` or `"entropic"`.

    Raises:
      ValueError: If a hyperparameter is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([5.0, 1.0, 2.0])
      >>> print(Permutahedron(temperature=1.0).sort(x).round(3))
      [1.667 2.667 3.667]
      >>> print(Permutahedron(temperature=2.0).rank(x))
      [2.   0.25 0.75]

    References:
      Blondel, Teboul, Berthet and Djolonga, Fast Differentiable Sorting and Ranking, ICML 2020.
    """

    temperature: ArrayLike = 1.0
    regularization: str = dataclasses.field(default="l2", metadata=base.STATIC)

    has_permutation = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_positive("temperature", self.temperature)
        checks.check_choice("regularization", self.regularization, REGULARIZATIONS)

    @property
    def preserves_sum(self) -> bool:
        return self.regularization == "l2"

    def _sort(self, scores: jax.Array) -> jax.Array:
        return self._projected_values(scores, None)

    def _rank(self, scores: jax.Array) -> jax.Array:
        return self._projected_ranks(scores, None)

    def _masked_sort(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._projected_values(scores, count)

    def _masked_rank(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._projected_ranks(scores, count)

    def _projected_values(self, scores: jax.Array, count: jax.Array | None) -> jax.Array:
        ascending = _values(scores, count)
        temperature = jnp.asarray(self.temperature)
        position = _positions(scores)
        # At ε < 1 everything times ε, so that nothing overflows.
        low, high = jnp.minimum(temperature, 1.0), jnp.maximum(temperature, 1.0)
        if self.regularization == "l2":
            blocks = isotonic.blocks_l2(position / high - ascending * low, count, rare=True)
            middle = _middle(blocks, scores.dtype)
            values = isotonic.block_mean(ascending, blocks) + (position - middle) / temperature
        else:
            # Where all scores are within a quarter of 1 / floor none are pooled: that is exact.
            span = ascending[..., -1:] - ascending[..., :1]
            coldest = jnp.minimum(_COLDEST, 0.25 / jnp.maximum(span, 1.0))
            floor = jnp.maximum(temperature, lax.stop_gradient(coldest))
            blocks = isotonic.blocks_entropic(position / floor, ascending, count, rare=True)
            logits = (position - blocks.end.astype(scores.dtype)) / temperature
            shares = jnp.log(isotonic.block_sum(jnp.exp(logits), blocks))
            values = logits - shares + isotonic.block_logsumexp(ascending, blocks)
        return finite.within(
            values, exact_order.at(ascending, blocks.start), exact_order.at(ascending, blocks.end)
        )

    def _projected_ranks(self, scores: jax.Array, count: jax.Array | None) -> jax.Array:
        ascending, order = _sorted(scores, count)
        temperature = jnp.asarray(self.temperature)
        position = _positions(scores)
        low, high = jnp.minimum(temperature, 1.0), jnp.maximum(temperature, 1.0)
        if self.regularization == "l2":
            blocks = isotonic.blocks_l2(ascending / high - position * low, count)
            middle = _middle(blocks, scores.dtype)
            ranks = middle + _from_mean(ascending, blocks) / temperature
        else:
            # Scores that are so far apart are never pooled.
            point, place = clusters.anchors(ascending, temperature, count)
            points = (ascending - point) / temperature + place
            blocks = isotonic.blocks_entropic(points, jnp.log1p(position), count)
            top = lax.stop_gradient(exact_order.at(points, blocks.end))
            # Within a block the logits differ by log(n) at most, but for rounding.
            logits = jnp.maximum(points - top, -80.0)
            weights = jnp.exp(logits)
            length = (blocks.end - blocks.start + 1).astype(scores.dtype)
            total = length * (1.0 + _middle(blocks, scores.dtype))
            ranks = weights / isotonic.block_sum(weights, blocks) * total - 1.0
        start, end = (a.astype(scores.dtype) for a in blocks)
        return exact_order.at(finite.within(ranks, start, end), exact_order.inverse(order))

    def _mask(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        ascending, order = _sorted(scores, count)
        temperature = jnp.asarray(self.temperature)
        items = prefixes.count_of(scores, count)
        if self.regularization == "l2":
            first = (items - k)[..., None].astype(scores.dtype)
            ones = jnp.where(_positions(scores) >= first, 1.0, 0.0).astype(scores.dtype)
            low, high = jnp.minimum(temperature, 1.0), jnp.maximum(temperature, 1.0)
            blocks = isotonic.blocks_l2(ascending / high - ones * low, count)
            mask = isotonic.block_mean(ones, blocks) + _from_mean(ascending, blocks) / temperature
        else:
            point, place = clusters.anchors(ascending, temperature, count)
            points = (ascending - point) / temperature + place
            points = points if count is None else prefixes.keep(points, count, -jnp.inf)
            mask = filling.fill(points, jnp.minimum(items, k).astype(scores.dtype), most=k)
        return exact_order.at(mask, exact_order.inverse(order))


def _sorted(scores: jax.Array, count: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """The scores ascending, with their order; what stands after the items is level with the last.

    There it joins no block of theirs: `isotonic` knows of the count.
    """
    if count is None:
        return exact_order.sort(scores)
    order = exact_order.argsort(prefixes.keep(scores, count, prefixes.beyond(scores.dtype)))
    return _level_behind(exact_order.at(scores, order), count), order


def _level_behind(ascending: jax.Array, count: jax.Array) -> jax.Array:
    top = lax.stop_gradient(prefixes.last(ascending, count))
    return prefixes.keep(ascending, count, top)


def _values(scores: jax.Array, count: jax.Array | None) -> jax.Array:
    """The same without their order, which takes less where there is no gradient."""
    if count is None:
        return exact_order.values(scores)
    behind = prefixes.beyond(scores.dtype)
    return _level_behind(exact_order.values(prefixes.keep(scores, count, behind)), count)


def _from_mean(ascending: jax.Array, blocks: isotonic.Blocks) -> jax.Array:
    """Scores less the mean of their block.

    From the block's first score on: those of other blocks may be a thousand million off.
    """
    start = lax.stop_gradient(exact_order.at(ascending, blocks.start))
    local = ascending - start
    return local - isotonic.block_mean(local, blocks)


_COLDEST = 2.0**-96
"""Temperature, relative to the scores, below which the entropic kind is as good as hard."""


def _positions(scores: jax.Array) -> jax.Array:
    return lax.broadcasted_iota(scores.dtype, scores.shape, scores.ndim - 1)


def _middle(blocks: isotonic.Blocks, dtype: jnp.dtype) -> jax.Array:
    """The mean of the positions in each block, exactly."""
    return (blocks.start + blocks.end).astype(dtype) / 2
