# SPDX-License-Identifier: Apache-2.0
"""The exact sort, behind the same interface as its relaxations."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from arlsort import checks
from arlsort.networks import exact_order
from arlsort.numerics import prefixes
from arlsort.operators import base
from arlsort.soft_permutation import from_order


@base.register
@dataclasses.dataclass(frozen=True)
class Hard(base.Operator):
    """The exact sort: a step function, here as the reference and for evaluation.

    Its permutation is one-hot, `P[i, order[i]] = 1` with `order` the stable argsort, so ties keep
    their order: a one-hot row cannot share weight. The values' gradient is that permutation, as
    for `jnp.sort`; the permutation itself has none.

    Attributes:
      hard: Always True; there is nothing softer underneath.

    Raises:
      ValueError: If `hard` is False.

    Example:
      >>> import jax.numpy as jnp
      >>> print(Hard().sort(jnp.array([3.0, 1.0, 2.0])))
      [1. 2. 3.]
    """

    hard: bool = dataclasses.field(default=True, kw_only=True, metadata=base.STATIC)

    doubly_stochastic: ClassVar[bool] = True
    keeps_ties: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_choice("hard", self.hard, (True,))

    def _permutation(self, scores: jax.Array) -> jax.Array:
        return from_order(exact_order.argsort(scores), scores.dtype)

    def _apply(self, scores: jax.Array, rows: jax.Array) -> jax.Array:
        return jnp.take_along_axis(rows, exact_order.argsort(scores)[..., None], axis=-2)

    def _sort(self, scores: jax.Array) -> jax.Array:
        return exact_order.values(scores)

    def _rank(self, scores: jax.Array) -> jax.Array:
        return exact_order.inverse(exact_order.argsort(scores)).astype(scores.dtype)

    def _masked_permutation(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._permutation(_behind(scores, count))

    def _masked_apply(self, scores: jax.Array, count: jax.Array, rows: jax.Array) -> jax.Array:
        return self._apply(_behind(scores, count), rows)

    def _masked_sort(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._sort(_behind(scores, count))

    def _masked_rank(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._rank(_behind(scores, count))

    def _top(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        n = scores.shape[-1]
        order = exact_order.argsort(scores if count is None else _behind(scores, count))
        at = prefixes.largest(n, k, prefixes.count_of(scores, count))
        return jax.nn.one_hot(jnp.take_along_axis(order, at, axis=-1), n, dtype=scores.dtype)


def _behind(scores: jax.Array, count: jax.Array) -> jax.Array:
    return prefixes.keep(scores, count, prefixes.beyond(scores.dtype))
