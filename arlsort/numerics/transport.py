# SPDX-License-Identifier: Apache-2.0
"""Entropic transport: the doubly stochastic matrix that is nearest to given logits.

`W[i, j] = exp(logits[i, j] + u[i] + v[j])` with rows and columns that sum to one. A softmax
eliminates u, and Newton's method on the convex dual finds v. Derivatives are those of the solution,
independent of the steps.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

# What rounding leaves of a sum of weights, in units of the dtype's `eps`.
_ROUNDINGS = 32.0

# The weight, in the same unit, of an unknown's own value beside those of its neighbours.
_ANCHOR = 4.0

# An iteration of conjugate gradients halves the error where it matters; more only chase rounding.
_LINEAR_ITERATIONS = 1000

_State = tuple[Any, ...]  # of a loop: the number of its step, arrays, and what it brings down

# The relative residual of the first Newton steps, which need not be precise.
_COARSE = 0.05


def balance(
    logits: jax.Array, tolerance: ArrayLike = 0.0, max_iterations: int = 100
) -> tuple[jax.Array, jax.Array]:
    """Scales `exp(logits)` to a doubly stochastic matrix.

    Rows sum to one by construction; columns do to `tolerance`, or to 32 roundings where that is
    more. Every step costs `O(n^2)` for each iteration of the linear solve in it. Adding a constant
    to a row or a column of the logits changes only rounding, which is least if the largest entries
    of rows and columns are near zero.

    The derivative is that of the exact solution, in forward and in reverse mode, and costs one
    linear solve. Its memory is `O(n^2)`, independent of the steps.

    Args:
      logits: `[..., n, n]`, finite.
      tolerance: How far a column's sum may be from one.
      max_iterations: The largest number of Newton steps.

    Returns:
      Weights `[..., n, n]`, and whether their columns met the tolerance, `[...]`.

    Example:
      >>> import jax.numpy as jnp
      >>> weights, converged = balance(jnp.array([[0.0, 1.0], [0.0, 0.0]]))
      >>> print((100 * weights).round(), converged)
      [[38. 62.]
       [62. 38.]] True

    References:
      Cuturi, Sinkhorn Distances: Lightspeed Computation of Optimal Transport, NeurIPS 2013.
    """
    n, batch = logits.shape[-1], logits.shape[:-2]
    floor = _ROUNDINGS * float(jnp.finfo(logits.dtype).eps)
    allowed = jnp.maximum(jnp.asarray(tolerance, logits.dtype), floor)
    one = functools.partial(_balance, max_iterations)
    lists = logits.reshape(math.prod(batch), n, n)
    weights, error = jax.vmap(one, in_axes=(0, None))(lists, allowed)
    return weights.reshape(logits.shape), (error <= allowed).reshape(batch)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _balance(
    max_iterations: int, logits: jax.Array, tolerance: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Gives weights and the largest deviation of a column, of one list."""

    def evaluate(v: jax.Array) -> tuple[jax.Array, jax.Array]:
        weights = jax.nn.softmax(logits + v[None, :], axis=-1)
        return weights, jnp.abs(_excess(_split(weights))).max()

    def unfinished(state: _State) -> jax.Array:
        step, *_, error = state
        return (error > tolerance) & (step < max_iterations)

    def newton(state: _State) -> _State:
        step, v, weights, error = state
        split = _split(weights)
        precision = jnp.clip(error, jnp.finfo(v.dtype).eps ** 0.5, _COARSE)
        direction = _solve(split, -_excess(split), precision)
        # A step that is no longer small multiplies or divides exp(v) by one more than its length:
        # far from the solution the linear model is not to be trusted.
        v = v + jnp.sign(direction) * jnp.log1p(jnp.abs(direction))
        return step + 1, v, *evaluate(v)

    # One iteration of Sinkhorn: no column is without weight, so that all can move.
    v = -jax.nn.logsumexp(jax.nn.log_softmax(logits, axis=-1), axis=0)
    _, _, weights, error = lax.while_loop(unfinished, newton, (0, v, *evaluate(v)))
    return weights, error


@_balance.defjvp
def _balance_jvp(
    max_iterations: int,
    primals: tuple[jax.Array, jax.Array],
    tangents: tuple[jax.Array, jax.Array],
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Moves along the manifold of fixed marginals: `dW = W (dlogits + du + dv)`."""
    weights, error = _balance(max_iterations, *primals)
    split = _split(weights)
    # Relative to the largest entry of the row, where nearly all weight may be.
    moved = tangents[0] - jnp.take_along_axis(tangents[0], split.best[:, None], axis=1)
    mean = (split.rest * moved).sum(axis=1)  # [n]
    excess = (split.rest * (moved - mean[:, None])).sum(axis=0) - _gathered(
        split, split.largest * mean
    )
    # A number, not an array: `shard_map` cannot lower a solve that has a constant of its own.
    precision = _ROUNDINGS * float(jnp.finfo(weights.dtype).eps)
    dv = lax.custom_linear_solve(
        functools.partial(_laplacian, split),
        -excess,
        lambda _, b: _solve(split, b, precision),
        symmetric=True,
    )
    places = lax.broadcasted_iota(split.best.dtype, weights.shape, 1)
    apart = dv[None, :] - dv[split.best][:, None]
    across = jnp.where(places == split.best[:, None], 0.0, apart)  # nothing large to cancel
    shift = mean + _deviation(split, dv)
    return (weights, error), (weights * (moved - shift[:, None] + across), jnp.zeros_like(error))


class _Split(NamedTuple):
    """Row-stochastic weights, their largest entry of every row apart.

    The Hessian of the dual is the Laplacian of a graph, `diag(columns) - Wᵀ W`. Where W is nearly a
    permutation it is nearly zero, a difference of ones. With the largest entries apart nothing
    cancels.

    Attributes:
      rest: `[n, n]`, W with zero in place of the largest entries.
      best: `[n]`, their columns.
      largest: `[n]`, their values.
      slack: `[n]`, the sum of a row of the rest.
      columns: `[n]`, the sum of a column of the rest.
    """

    rest: jax.Array
    best: jax.Array
    largest: jax.Array
    slack: jax.Array
    columns: jax.Array


def _split(weights: jax.Array) -> _Split:
    best = jnp.argmax(weights, axis=1)
    places = lax.broadcasted_iota(best.dtype, weights.shape, 1)
    rest = jnp.where(places == best[:, None], 0.0, weights)
    return _Split(rest, best, weights.max(axis=1), rest.sum(axis=1), rest.sum(axis=0))


def _gathered(split: _Split, rows: jax.Array) -> jax.Array:
    """Sums what rows hold over the columns of their largest entries."""
    return jnp.zeros_like(rows).at[split.best].add(rows)


def _excess(split: _Split) -> jax.Array:
    """The sums of the columns less one: the gradient of the dual."""
    once = _gathered(split, jnp.ones_like(split.slack)) == 1
    # The largest weight of a row is one less its slack: what is told apart need not cancel.
    apart = split.columns - _gathered(split, split.slack)
    return jnp.where(once, apart, split.columns + _gathered(split, split.largest) - 1)


def _deviation(split: _Split, v: jax.Array) -> jax.Array:
    """The mean of v over the weights of a row, less v at its largest."""
    return jnp.dot(split.rest, v, precision=lax.Precision.HIGHEST) - split.slack * v[split.best]


def _laplacian(split: _Split, v: jax.Array) -> jax.Array:
    """Computes `(diag(columns of W) - Wᵀ W) v`."""
    deviation = _deviation(split, v)
    across = jnp.dot(v[split.best] + deviation, split.rest, precision=lax.Precision.HIGHEST)
    return split.columns * v - across - _gathered(split, split.largest * deviation)


def _solve(split: _Split, b: jax.Array, precision: ArrayLike) -> jax.Array:
    """Solves the Laplacian system for a right side that sums to zero."""
    rest = split.rest
    diagonal = (rest * (1 - rest)).sum(axis=0) + _gathered(split, split.largest * split.slack)
    # Parts of the graph that hang together by less than a rounding of their own weight are held
    # where they are: what would move them is noise, and it would move them far.
    anchor = _ANCHOR * float(jnp.finfo(b.dtype).eps) * diagonal
    scale = jnp.abs(b).max()
    scale = jnp.where(scale > 0, scale, 1.0)

    def matvec(v: jax.Array) -> jax.Array:
        return _laplacian(split, v) + anchor * v

    return _conjugate_gradients(matvec, b / scale, diagonal, precision) * scale


def _conjugate_gradients(
    matvec: Callable[[jax.Array], jax.Array],
    b: jax.Array,
    diagonal: jax.Array,
    precision: ArrayLike,
) -> jax.Array:
    """Solves a symmetric semidefinite system, preconditioned by its diagonal.

    An unknown without a diagonal is isolated and stays zero.
    """
    info = jnp.finfo(b.dtype)
    isolated = diagonal <= float(info.tiny) / float(info.eps) ** 2
    inverse = jnp.where(isolated, 0.0, 1 / jnp.where(isolated, 1.0, diagonal))

    def unfinished(state: _State) -> jax.Array:
        step, *_, norm = state
        return (norm > limit) & (step < _LINEAR_ITERATIONS)

    def improve(state: _State) -> _State:
        step, x, residual, direction, norm = state
        image = matvec(direction)
        curvature = jnp.dot(direction, image)
        broken = curvature <= 0  # only rounding is left
        size = jnp.where(broken, 0.0, norm / jnp.where(broken, 1.0, curvature))
        x, residual = x + size * direction, residual - size * image
        new = jnp.dot(residual, inverse * residual)
        direction = inverse * residual + new / norm * direction
        return step + 1, x, residual, direction, jnp.where(broken, 0.0, new)

    norm = jnp.dot(b, inverse * b)
    limit = precision**2 * norm
    state = (0, jnp.zeros_like(b), b, inverse * b, norm)
    return lax.while_loop(unfinished, improve, state)[1]
