# SPDX-License-Identifier: Apache-2.0
"""The methods that an operator overrides: finite scores to weights, values, ranks and masks.

`_permutation` is all that an operator must say. Everything else has a default that goes through the
whole permutation, and is overridden where there is a cheaper way.
"""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp

from arlsort.numerics import filling, prefixes
from arlsort.soft_permutation import multiply, multiply_scores, to_ranks


class Hooks:
    """Methods that a subclass overrides. Scores have n >= 2 and are finite float32 or float64."""

    has_permutation: ClassVar[bool] = True
    """Whether there are weights at all; an operator with values only says False."""
    doubly_stochastic: ClassVar[bool] = False
    """Whether the columns of the permutation sum to one too."""
    has_rows: ClassVar[bool] = False
    """Whether `_values_at` gives a few values at less than the cost of all."""

    def _permutation(self, scores: jax.Array) -> jax.Array:
        """Turns scores `[..., n]` into weights `[..., n, n]`."""
        raise NotImplementedError

    def _permutation_with_nan(self, scores: jax.Array, has_nan: jax.Array) -> jax.Array:
        """Turns scores into weights, NaN where `has_nan[...]`; override to save a pass."""
        return jnp.where(has_nan[..., None, None], jnp.nan, self._permutation(scores))

    def _solve(self, scores: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Gives weights and whether they converged `[...]`; override if they may not."""
        return self._permutation(scores), jnp.ones(scores.shape[:-1], bool)

    def _apply(self, scores: jax.Array, rows: jax.Array) -> jax.Array:
        """Applies the weights of `scores` to rows `[..., n, d]`; override if P can be avoided."""
        return multiply(self._permutation(scores), rows)

    def _sort(self, scores: jax.Array) -> jax.Array:
        """Gives soft values `[..., n]`; override if P can be avoided."""
        return multiply_scores(self._permutation(scores), scores)

    def _values(self, scores: jax.Array, weights: jax.Array) -> jax.Array:
        """Gives soft values beside their weights; override if their product loses digits."""
        return multiply_scores(weights, scores)

    def _rank(self, scores: jax.Array) -> jax.Array:
        """Gives soft ranks `[..., n]`; override if P can be avoided."""
        return to_ranks(self._permutation(scores))

    def _top(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        """Gives the rows of the k largest, largest first, `[..., k, n]`; override to avoid P.

        With a count the items stand first, as below; rows that are none may be anything.
        """
        n = scores.shape[-1]
        if count is None:
            return jnp.flip(self._permutation(scores)[..., n - k :, :], axis=-2)
        at = prefixes.largest(n, k, count)[..., None]
        return jnp.take_along_axis(self._masked_permutation(scores, count), at, axis=-2)

    def _top_values(
        self, scores: jax.Array, weights: jax.Array, count: jax.Array | None = None
    ) -> jax.Array:
        """Gives the values beside the weights of `_top`; override where `_values` is."""
        return multiply_scores(weights, scores)

    def _values_at(
        self, scores: jax.Array, at: jax.Array, count: jax.Array | None = None
    ) -> jax.Array:
        """Gives the soft values at positions `at[..., q]`, where `has_rows`.

        With a count the items stand first, and the positions are theirs.
        """
        raise NotImplementedError

    def _mask(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        """Gives how much each is of the k < n largest `[..., n]`; override to avoid their rows.

        Where columns do not sum to one, their sums are scaled and cut off at one.
        """
        rows = self._top(scores, k, count)
        total = jnp.full(scores.shape[:-1], k, scores.dtype)
        if count is not None:
            rows = jnp.where(prefixes.square(count, rows.shape), rows, 0.0)
            total = jnp.minimum(total, count.astype(scores.dtype))
        shares = rows.sum(axis=-2)
        if self.doubly_stochastic:
            return shares
        some = shares > 0
        return filling.fill(
            jnp.where(some, jnp.log(jnp.where(some, shares, 1.0)), -jnp.inf), total, most=k
        )

    # The same of lists that are shorter than their array: `count[...]` items stand first, zeros
    # after them, and what comes of those may be anything that is finite. An operator that says
    # nothing is computed at every length. One that says how has results of the shorter lists.

    def _masked_permutation(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        """Gives weights `[..., n, n]`, of which the square of the items counts."""
        return prefixes.by_length(_whole(self._permutation, 2), count, scores, axes=2)

    def _masked_apply(self, scores: jax.Array, count: jax.Array, rows: jax.Array) -> jax.Array:
        """Applies the weights of the items to rows `[..., n, d]`, zero after the items."""
        weights = self._masked_permutation(scores, count)
        return multiply(jnp.where(prefixes.square(count, weights.shape), weights, 0.0), rows)

    def _masked_sort(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        """Gives the soft values of the items, `[..., n]`."""
        if not self.has_permutation:
            return prefixes.by_length(_whole(self._sort, 0), count, scores, axes=1)
        return self._masked_apply(scores, count, scores[..., None])[..., 0]

    def _masked_rank(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        """Gives the soft ranks of the items, `[..., n]`."""
        if type(self)._masked_permutation is Hooks._masked_permutation:
            return prefixes.by_length(_whole(self._rank, 1), count, scores, axes=1)
        weights = self._masked_permutation(scores, count)
        return to_ranks(jnp.where(prefixes.square(count, weights.shape), weights, 0.0), count)

    def _validate_length(self, n: int) -> None:
        """Raises ValueError if rows of n scores are too long; override to set a limit."""


def _whole(function: Callable[[jax.Array], jax.Array], kind: int) -> Callable:
    """Extends a function of a subclass to lists of fewer than two scores.

    Args:
      function: Of scores `[..., n]`, n >= 2.
      kind: 0 if it gives values, 1 ranks, 2 weights.
    """

    def run(scores: jax.Array) -> jax.Array:
        n = scores.shape[-1]
        if n > 1:
            return function(scores)
        return (scores, jnp.zeros_like(scores), jnp.ones((*scores.shape, n), scores.dtype))[kind]

    return run
