# SPDX-License-Identifier: Apache-2.0
"""Differentiable sorting networks, for any number of wires."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import engine, merging
from arlsort.networks.swaps import DISTRIBUTIONS, Swap
from arlsort.networks.topology import NETWORKS
from arlsort.numerics import meshes, prefixes
from arlsort.operators import base


@base.register
@dataclasses.dataclass(frozen=True)
class SortingNetwork(base.Operator):
    r"""A sorting network whose comparators swap softly.

    A comparator on scores `a`, `b` returns `α a + (1 - α) b` as its smaller and
    `(1 - α) a + α b` as its larger output, where `α = F((b - a) / temperature)` and F is the
    distribution function of the named distribution:

    * `logistic`: `1 / (1 + exp(-v))`
    * `logistic_art`: the same of `v / (|b - a| + 1e-10) ** art_lambda`, the activation replacement
      trick
    * `gaussian`: the normal distribution function
    * `reciprocal`: `(v / (2 + |v|) + 1) / 2`
    * `cauchy`: `1/2 + arctan(v) / π`
    * `optimal`: `1/2 + v` for `|v| <= 1/4`, beyond that `1 - 1 / (16 v)` or `-1 / (16 v)`

    The last three make the network monotonic. The networks are `odd_even`, n layers of neighbours;
    `bitonic` and `odd_even_merge`, both `k (k + 1) / 2` layers with `k = ceil(log2 n)`, the latter
    with the fewest comparators. The permutation is what the layers do to the unit matrix. It is
    doubly stochastic. It depends on which input is on which wire, so it is not equivariant. Values,
    ranks and rows go through the layers without it.

    With `error_free=True` every comparator swaps exactly forward and has the gradient of its soft
    swap, so that no error builds up from layer to layer; values and permutation are exact, as with
    `hard=True`, but the gradient is another: each layer's is taken where the exact values are.

    Attributes:
      network: `odd_even`, `bitonic` or `odd_even_merge`.
      distribution: The name of a swap distribution.
      temperature: `1 / steepness` (the papers' β), in the unit of the scores; > 0.
      art_lambda: The papers' λ, in [0, 1]; only `logistic_art` has it.
      error_free: Whether comparators swap exactly forward.

    Raises:
      ValueError: If a hyperparameter is unknown or out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> network = SortingNetwork("bitonic", temperature=0.01)
      >>> print(network.sort(jnp.array([3.0, 1.0, 2.0])).round(1))
      [1. 2. 3.]

    References:
      Petersen et al., Differentiable Sorting Networks for Scalable Sorting and Ranking
      Supervision, ICML 2021; Petersen et al., Monotonic Differentiable Sorting Networks,
      ICLR 2022; Kim et al., Generalized Neural Sorting Networks with Error-Free Differentiable
      Swap Functions, ICLR 2024; Batcher, Sorting Networks and Their Applications, AFIPS 1968.
    """

    network: str = dataclasses.field(default="odd_even", metadata=base.STATIC)
    distribution: str = dataclasses.field(default="cauchy", metadata=base.STATIC)
    temperature: ArrayLike = 0.1
    art_lambda: ArrayLike = 0.25
    error_free: bool = dataclasses.field(default=False, metadata=base.STATIC)

    doubly_stochastic: ClassVar[bool] = True
    equivariant: ClassVar[bool] = False
    # Cauchy tails fall only as temperature / difference.
    hard_limit: ClassVar[float] = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_choice("network", self.network, NETWORKS)
        checks.check_choice("distribution", self.distribution, tuple(DISTRIBUTIONS))
        checks.check_positive("temperature", self.temperature)
        checks.check_number("art_lambda", self.art_lambda, "a number in [0, 1]", 0.0, 1.0)
        checks.check_flag("error_free", self.error_free)
        default = type(self).art_lambda
        known = not isinstance(self.art_lambda, jax.core.Tracer)
        if self.distribution != "logistic_art" and known and self.art_lambda != default:
            raise ValueError(
                checks.error_message(
                    "art_lambda",
                    f"{self.art_lambda} with distribution {self.distribution!r}",
                    "its default, or distribution 'logistic_art'",
                )
            )

    @property
    def exact_forward(self) -> bool:
        return self.hard or self.error_free

    def _permutation(self, scores: jax.Array) -> jax.Array:
        n = scores.shape[-1]
        if self.network == "odd_even":
            return self._apply(scores, jnp.eye(n, dtype=scores.dtype))
        weights = merging.permutation(self._swap(scores), self.network, scores.reshape(-1, n))
        return weights.reshape(*scores.shape, n)

    def _apply(self, scores: jax.Array, rows: jax.Array) -> jax.Array:
        return self._send(scores, rows, None)

    def _sort(self, scores: jax.Array) -> jax.Array:
        return self._send_scores(scores, None)

    def _values(self, scores: jax.Array, weights: jax.Array) -> jax.Array:
        # The product with scores of 1e33 would need weights of 1e-33 to the last digit.
        return self._sort(scores)

    def _rank(self, scores: jax.Array) -> jax.Array:
        if self.error_free:
            return super()._rank(scores)  # the way back of its rows is that of soft swaps
        # P^T times the positions.
        return self._pull(scores, _positions(scores)[..., None], None)[..., 0]

    def _top(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        if self.error_free:
            return super()._top(scores, k, count)
        n = scores.shape[-1]
        at = prefixes.largest(n, k, prefixes.count_of(scores, count))
        picked = _positions(scores)[..., None] == at[..., None, :].astype(scores.dtype)
        return jnp.swapaxes(self._pull(scores, picked.astype(scores.dtype), count), -1, -2)

    def _top_values(
        self, scores: jax.Array, weights: jax.Array, count: jax.Array | None = None
    ) -> jax.Array:
        values = self._send_scores(scores, count)
        k, n = weights.shape[-2:]
        at = prefixes.largest(n, k, prefixes.count_of(scores, count))
        return jnp.take_along_axis(values, at, axis=-1)

    def _mask(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        if self.error_free:
            return super()._mask(scores, k, count)
        first = (prefixes.count_of(scores, count) - k)[..., None]
        among = (_positions(scores) >= first.astype(scores.dtype)).astype(scores.dtype)
        if count is not None:
            among = prefixes.keep(among, count)
        return self._pull(scores, among[..., None], count)[..., 0]

    def _masked_permutation(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._send(scores, jnp.eye(scores.shape[-1], dtype=scores.dtype), count)

    def _masked_apply(self, scores: jax.Array, count: jax.Array, rows: jax.Array) -> jax.Array:
        return self._send(scores, rows, count)

    def _masked_sort(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._send_scores(scores, count)

    def _masked_rank(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        if self.error_free:
            return super()._masked_rank(scores, count)
        return self._pull(scores, _positions(scores)[..., None], count)[..., 0]

    def _send(self, scores: jax.Array, rows: jax.Array, count: jax.Array | None) -> jax.Array:
        """Sends rows `[..., n, d]` through the layers."""
        lists, (n, d) = math.prod(scores.shape[:-1]), rows.shape[-2:]
        rows = jnp.broadcast_to(rows, (*scores.shape, d)).reshape(lists, n, d)
        wires = scores.reshape(lists, n).T, rows.transpose(1, 2, 0)
        count = None if count is None else count.reshape(lists)
        rows = engine.run(self._swap(scores), self.network, wires, count)[1]
        return rows.transpose(2, 0, 1).reshape(*scores.shape, d)

    def _send_scores(self, scores: jax.Array, count: jax.Array | None) -> jax.Array:
        n = scores.shape[-1]
        wires = (scores.reshape(-1, n).T,)
        count = None if count is None else count.reshape(-1)
        return engine.run(self._swap(scores), self.network, wires, count)[0].T.reshape(scores.shape)

    def _pull(self, scores: jax.Array, rows: jax.Array, count: jax.Array | None) -> jax.Array:
        """Computes P^T times rows `[..., n, d]`: their way through the layers, transposed."""
        rows, _ = meshes.vary_alike(rows, scores)
        _, pull = jax.vjp(lambda rows: self._send(scores, rows, count), rows)
        return pull(rows)[0]

    def _swap(self, scores: jax.Array) -> Swap:
        numbers = (jnp.asarray(x, scores.dtype) for x in (self.temperature, self.art_lambda))
        return Swap(self.distribution, self.error_free, *numbers)


def _positions(scores: jax.Array) -> jax.Array:
    return lax.broadcasted_iota(scores.dtype, scores.shape, scores.ndim - 1)
