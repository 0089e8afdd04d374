# SPDX-License-Identifier: Apache-2.0
"""Sinkhorn sort: entropic transport of the scores to a sorted grid."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from arlsort.numerics import transport
from arlsort.operators import base

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

    The dual is solved by Newton's method, which meets the tolerance in a few steps whatever the
    temperature; it starts from the potentials that are right as the temperature goes to zero.
    Gradients, also by the temperature, are those of the solution: their memory is `O(n^2)` and does
    not grow with the steps. `operator(x).converged` says for every list whether the tolerance was
    met; if it was not, weights and gradients are finite and rows still sum to one.

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

    def __post_init__(self) -> None:
        super().__post_init__()
        base.check_positive("temperature", self.temperature)
        base.check_choice("squash", self.squash, SQUASHES)
        check_solver(self.tolerance, self.max_iterations)

    def _permutation(self, scores: jax.Array) -> jax.Array:
        return self._solve(scores)[0]

    def _solve(self, scores: jax.Array) -> tuple[jax.Array, jax.Array]:
        excess = excess_cost(squash(scores, self.squash))
        # Finite in temperatures; what is cut off has no weight.
        limit = jnp.finfo(scores.dtype).max ** 0.25
        ceiling = lax.stop_gradient(limit * self.temperature)
        logits = -jnp.clip(excess, -ceiling, ceiling) / self.temperature
        return transport.balance(logits, self.tolerance, self.max_iterations)


def check_solver(tolerance: ArrayLike, max_iterations: int) -> None:
    """Checks what every operator that solves a transport problem has."""
    base.check_number("tolerance", tolerance, "a number in [0, 1)", 0.0, 1.0)
    allowed = "an int >= 1"
    if type(max_iterations) is not int:
        raise TypeError(base.complaint("max_iterations", repr(max_iterations), allowed))
    if max_iterations < 1:
        raise ValueError(base.complaint("max_iterations", max_iterations, allowed))


def standardise(scores: jax.Array) -> jax.Array:
    """Takes scores `[..., n]` to mean zero and standard deviation one; equal scores to zero."""
    centred = _in_own_unit(scores)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    spread = variance > 0
    return jnp.where(spread, centred / jnp.sqrt(jnp.where(spread, variance, 1.0)), centred)


def squash(scores: jax.Array, how: str) -> jax.Array:
    """Takes scores `[..., n]` to [-1/2, 1/2]: centred, [0, 1] loses no precision in its middle."""
    if how == "logistic":
        return jnp.tanh(standardise(scores) / 2) / 2  # the logistic function less a half
    centred = _in_own_unit(scores)
    low, high = centred.min(axis=-1, keepdims=True), centred.max(axis=-1, keepdims=True)
    spread = high > low
    width = jnp.where(spread, high - low, 1.0)
    return jnp.where(spread, (centred - low) / width - 0.5, centred)


def _in_own_unit(scores: jax.Array) -> jax.Array:
    """Centres scores and takes them to [-1, 1], by a factor that has no gradient.

    What follows undoes any factor, so leaving out its gradient changes nothing; and squares neither
    overflow nor vanish, nor do those of their gradients.
    """
    centred = scores - scores.mean(axis=-1, keepdims=True)
    unit = lax.stop_gradient(jnp.abs(centred).max(axis=-1, keepdims=True))
    return centred / jnp.where(unit > jnp.finfo(scores.dtype).tiny, unit, 1.0)


def excess_cost(points: jax.Array) -> jax.Array:
    """What it costs to carry a point to a place on the grid, beyond where it belongs.

    The squared distance less what only depends on the row or the column: `-2 y[i] z[j]` plus
    potentials a[i] and b[j] that make it zero where i is the position of j, and the same, `dy dz`,
    for both ways to exchange two neighbours. That is where entropy takes the potentials as the
    temperature falls, and where rounding is least.

    Args:
      points: `[..., n]`, in [-1/2, 1/2].

    Returns:
      `[..., n, n]`, non-negative but for rounding.
    """
    n = points.shape[-1]
    grid = lax.broadcasted_iota(points.dtype, points.shape, points.ndim - 1) / (n - 1) - 0.5
    order = jnp.argsort(points, axis=-1)
    ascending = jnp.take_along_axis(points, order, axis=-1)
    # Trapezoids under the sorted points.
    area = jnp.cumsum((ascending[..., 1:] + ascending[..., :-1]) / (n - 1), axis=-1)
    a = jnp.concatenate([jnp.zeros_like(area[..., :1]), area], axis=-1)
    b = 2 * grid * ascending - a
    b = jnp.take_along_axis(b, jnp.argsort(order, axis=-1), axis=-1)
    # In this order of operations the zeros are exact.
    return a[..., :, None] - 2 * grid[..., :, None] * points[..., None, :] + b[..., None, :]
