# SPDX-License-Identifier: Apache-2.0
"""Code shared by the operators that draw random numbers."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from arlsort import checks
from arlsort.numerics import prefixes, rowwise
from arlsort.operators import base


@dataclasses.dataclass(frozen=True)
class PlackettLuce(base.Operator):
    """A relaxation by `_rows` of an order, or its mean over sampled orders.

    With `stochastic=True` the scores are the log-weights of a Plackett-Luce distribution over
    orders: the largest is drawn with probability `softmax(x)`, then the next among the rest. Unit
    Gumbel noise added to the scores makes such an order, independent of the temperature. P is the
    mean over `num_samples` draws. Every row of a batch has its own noise.

    Attributes:
      stochastic: Whether to sample.
      num_samples: The number of draws; only with `stochastic`.
      key: A `jax.random` key; needed when sampling, and a leaf like the temperature: pass a new one
        with `dataclasses.replace(operator, key=key)`.

    Raises:
      ValueError: If `key` or `num_samples` is given without `stochastic`, or (when called) if
        `stochastic` has no key.
    """

    stochastic: bool = dataclasses.field(default=False, kw_only=True, metadata=base.STATIC)
    num_samples: int = dataclasses.field(default=1, kw_only=True, metadata=base.STATIC)
    key: jax.Array | None = dataclasses.field(default=None, kw_only=True)

    has_rows = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_flag("stochastic", self.stochastic)
        checks.check_count("num_samples", self.num_samples)
        idle = {"key": self.key is not None, "num_samples": self.num_samples > 1}
        for name, given in idle.items():
            if given and not self.stochastic:
                raise ValueError(
                    checks.error_message(name, "a value with stochastic=False", "stochastic=True")
                )

    @property
    def needs_key(self) -> bool:
        """Whether it draws random numbers."""
        return self.stochastic

    def _permutation(self, scores: jax.Array) -> jax.Array:
        return self._permutation_with_nan(scores, jnp.zeros(scores.shape[:-1], bool))

    def _permutation_with_nan(self, scores: jax.Array, has_nan: jax.Array) -> jax.Array:
        if not self.stochastic:
            return rowwise.matrix(self._rows(scores), has_nan)
        every = jnp.broadcast_to(has_nan, (self.num_samples, *has_nan.shape))
        return rowwise.matrix(self._rows(self._drawn(scores)), every).mean(axis=0)

    def _apply(self, scores: jax.Array, rows: jax.Array) -> jax.Array:
        if not self.stochastic:
            return self._mix(scores, rows, None)
        items = jnp.broadcast_to(rows, (self.num_samples, *rows.shape))
        return self._mix(self._drawn(scores), items, None).mean(axis=0)

    def _sort(self, scores: jax.Array) -> jax.Array:
        return self._apply(scores, scores[..., None])[..., 0]

    def _masked_permutation(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        def permutation(drawn: jax.Array, count: jax.Array | None) -> jax.Array:
            rows = self._rows(drawn, count)
            return rowwise.matrix(rows, _none(rows))

        return self._mean(scores, count, permutation)

    def _masked_apply(self, scores: jax.Array, count: jax.Array, rows: jax.Array) -> jax.Array:
        def apply(drawn: jax.Array, count: jax.Array | None) -> jax.Array:
            items = jnp.broadcast_to(rows, (*drawn.shape[:-1], *rows.shape[-2:]))
            return self._mix(drawn, items, count)

        return self._mean(scores, count, apply)

    def _top(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        n = scores.shape[-1]

        def top(drawn: jax.Array, count: jax.Array | None) -> jax.Array:
            rows = self._rows(drawn, count)
            if count is None:
                heads = tuple(jnp.flip(head[..., n - k :], axis=-1) for head in rows.heads)
            else:
                at = prefixes.largest(n, k, count)
                heads = tuple(jnp.take_along_axis(head, at, axis=-1) for head in rows.heads)
            picked = dataclasses.replace(rows, heads=heads)
            return rowwise.matrix(picked, _none(picked))

        return self._mean(scores, count, top)

    def _values_at(
        self, scores: jax.Array, at: jax.Array, count: jax.Array | None = None
    ) -> jax.Array:
        return rowwise.mix(self._rows_at(scores, at, count), scores[..., None])[..., 0]

    def _mean(
        self,
        scores: jax.Array,
        count: jax.Array | None,
        function: Callable[[jax.Array, jax.Array | None], jax.Array],
    ) -> jax.Array:
        """Averages a function of scores and their count over the draws, if there are any."""
        if not self.stochastic:
            return function(scores, count)
        drawn = self._drawn(scores)
        if count is not None:
            count = jnp.broadcast_to(count, drawn.shape[:-1])
            drawn = prefixes.keep(drawn, count)
        return function(drawn, count).mean(axis=0)

    def _drawn(self, scores: jax.Array) -> jax.Array:
        """Adds noise: `[num_samples, ..., n]`."""
        assert self.key is not None  # checked where the operator is called
        noise = jax.random.gumbel(self.key, (self.num_samples, *scores.shape), scores.dtype)
        return scores[None] + noise

    def _mix(self, scores: jax.Array, items: jax.Array, count: jax.Array | None) -> jax.Array:
        """Mixes items `[..., n, d]` by the weights of scores `[..., n]`, without sampling."""
        return rowwise.mix(self._rows(scores, count), items)

    def _rows_at(self, scores: jax.Array, at: jax.Array, count: jax.Array | None) -> rowwise.Rows:
        """Computes the weights at positions `[..., q]` alone, without sampling."""
        rows = self._rows(scores, count)
        heads = tuple(jnp.take_along_axis(head, at, axis=-1) for head in rows.heads)
        return dataclasses.replace(rows, heads=heads)

    def _rows(self, scores: jax.Array, count: jax.Array | None = None) -> rowwise.Rows:
        """Computes the weights from scores `[..., n]`, without sampling.

        With a count `[...]` the items stand first, and elements after them have no weight.
        """
        raise NotImplementedError


def _none(rows: rowwise.Rows) -> jax.Array:
    return jnp.zeros(rows.heads[0].shape[:-1], bool)
