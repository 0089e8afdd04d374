# SPDX-License-Identifier: Apache-2.0
"""Sinkhorn sort: entropic transport of the scores to a sorted grid."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.numerics import transport
from arlsort.operators import base, matching

SQUASHES = ("logistic", "range")


@base.register
@dataclasses.dataclass(frozen=True)
class Sinkhorn(base.Operator):
    """The cheapest way to carry the scores to a sorted grid, blurred by entropy.

    With `z = squash(x)` in [0, 1] and the grid `y[i] = i / (n - 1)`, the weights are

    `P = argmin_P sum_ij P[i, j] (y[i] - z[j])^2 + temperature sum_ij P[i, j] log P[i, j]`

    over all doubly stochastic matrices. Rows sum to one by construction, columns to the tolerance.
    Values are `P @ x`, of the scores themselves. A change of scale and offset of the scores changes
    nothing in P.

    Newton's method solves the dual and meets the tolerance in a few steps at any temperature. It
    starts from the potentials of the limit at temperature zero. Gradients, also by the temperature,
    are those of the solution: their memory is `O(n^2)` and does not grow with the steps.
    `operator(x).converged` says for every list whether the tolerance was met. If not, weights and
    gradients are finite and rows still sum to one.

    Attributes:
      temperature: The paper's ε, in units of the squared range; > 0. (With weights that sum to one
        rather than to n it is the same number.)
      squash: "logistic", the logistic function of the standardised scores, as in the paper; or
        "range", the affine map of the scores to [0, 1]. Equal scores are in the middle.
      tolerance: How far a column's sum may be from one; 0 asks for what rounding allows.
      max_iterations: The largest number of Newton steps.

    Raises:
      ValueError: If a hyperparameter is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> print(Sinkhorn(temperature=1e-3).sort(jnp.array([3.0, 1.0, 2.0])).round(2))
      [1. 2. 3.]

    References:
      Cuturi, Teboul and Vert, Differentiable Ranking and Sorting using Optimal Transport,
      NeurIPS 2019.
    """

    temperature: ArrayLike = 0.01
    squash: str = dataclasses.field(default="logistic", metadata=base.STATIC)
    tolerance: ArrayLike = 0.0
    max_iterations: int = dataclasses.field(default=100, metadata=base.STATIC)

    doubly_stochastic: ClassVar[bool] = True
    scale_free: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_positive("temperature", self.temperature)
        checks.check_choice("squash", self.squash, SQUASHES)
        matching.check_solver(self.tolerance, self.max_iterations)

    def _permutation(self, scores: jax.Array) -> jax.Array:
        return self._solve(scores)[0]

    def _masked_permutation(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._solve(scores, count)[0]

    def _solve(
        self, scores: jax.Array, count: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        excess = matching.excess_cost(squash(scores, self.squash, count), count)
        # Finite in temperatures; what is cut off has no weight.
        limit = jnp.finfo(scores.dtype).max ** 0.25
        ceiling = lax.stop_gradient(limit * self.temperature)
        logits = matching.apart(-jnp.clip(excess, -ceiling, ceiling) / self.temperature, count)
        return transport.balance(logits, self.tolerance, self.max_iterations)


def squash(scores: jax.Array, how: str, count: jax.Array | None = None) -> jax.Array:
    """Takes scores `[..., n]` to [-1/2, 1/2]: centred, [0, 1] loses no precision in its middle.

    With a count the first ones are the scores; they have mean zero, so zeros change no range.
    """
    if how == "logistic":  # less a half
        return jnp.tanh(matching.standardise(scores, count) / 2) / 2
    centred = matching.in_own_unit(scores, count)
    low, high = centred.min(axis=-1, keepdims=True), centred.max(axis=-1, keepdims=True)
    spread = high > low
    width = jnp.where(spread, high - low, 1.0)
    return jnp.where(spread, (centred - low) / width - 0.5, centred)
