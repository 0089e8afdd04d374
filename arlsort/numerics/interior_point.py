# SPDX-License-Identifier: Apache-2.0
"""An interior-point method for quadratic programs, run until the active constraints are known.

Newton's method on `slack * dual = target`, with Mehrotra's prediction of the target. Slacks and
duals are eliminated, so each iteration factorises one matrix `[n, n]`, positive definite. Near the
solution the weights `dual / slack` grow and digits are lost. So it stops early, and `active_set`
finishes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics import factorisations, meshes
from arlsort.numerics.quadratic_programs import Program, Unknowns, gram, times

_LIMIT = 40  # iterations; ten to fifteen are usual
_PATIENCE = 5  # iterations without a better point
_TO_BOUNDARY = 0.99  # share of the way to the nearest bound


class Settings(NamedTuple):
    """Constants that depend on the dtype.

    Attributes:
      tolerance: Of the mean complementarity gap, where the method stops.
      inexact: Of the other conditions there, and of the residual of a refinement.
      penalty: Of equalities, in the factorised matrix; and of active constraints.
      ridge: Added to Q there.
      certain: A factor that counts as infinite in certificates.
      optimal: Tolerance of the optimality conditions of a solution.
    """

    tolerance: float
    inexact: float
    penalty: float
    ridge: float
    certain: float
    optimal: float


def settings(dtype: jnp.dtype) -> Settings:
    """Gives the constants of float32 or float64."""
    if dtype == jnp.float64:
        return Settings(1e-10, 1e-6, 1e5, 1e-13, 1e3, 1e-8)
    return Settings(1e-6, 1e-3, 1e2, 1e-7, 1e3, 1e-4)


class Point(NamedTuple):
    """The current point: the unknowns, and the slack of each inequality, `[m]`."""

    x: Unknowns
    slack: jax.Array


class State(NamedTuple):
    """A loop's state: the point, the best one, its error, iterations in all and since then."""

    point: Point
    best: Point
    error: jax.Array
    steps: jax.Array
    waited: jax.Array
    hopeless: jax.Array


def solve(program: Program) -> Point:
    """Finds a point near the solution of a scaled program with inequalities.

    Returns:
      The best point, or the last one if the program seems to have no solution.
    """
    numbers = settings(program.p.dtype)
    start = _start(program, numbers)
    error = jnp.full((), jnp.inf, program.p.dtype)
    state = State(start, start, error, jnp.int32(0), jnp.int32(0), jnp.zeros((), bool))
    state, _ = meshes.vary_alike(state, program)

    def going(state: State) -> jax.Array:
        unfinished = (state.error > numbers.tolerance) & ~state.hopeless
        return unfinished & (state.steps < _LIMIT) & (state.waited < _PATIENCE)

    def iterate(state: State) -> State:
        point = _step(program, state.point, numbers)
        sound = _all_finite(point)
        point = jax.tree.map(lambda new, old: jnp.where(sound, new, old), point, state.point)
        error = _error(program, point, numbers)
        better = error < state.error
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), point, state.best)
        none = infeasible(program, point.x, numbers) | unbounded(program, point.x, numbers)
        return State(
            point,
            best,
            jnp.where(better, error, state.error),
            state.steps + 1,
            jnp.where(better, 0, jnp.where(sound, state.waited + 1, _PATIENCE)),
            none,
        )

    state = lax.while_loop(going, iterate, state)
    failed = state.hopeless
    return jax.tree.map(lambda last, best: jnp.where(failed, last, best), state.point, state.best)


def infeasible(program: Program, x: Unknowns, numbers: Settings) -> jax.Array:
    """Tells whether multipliers prove that no point of ordinary size meets all constraints.

    By Farkas' lemma: a point z that does has `|z| >= -(hᵀ dual + bᵀ multiplier) / |Gᵀ dual + Aᵀ
    multiplier|`.
    """
    dual = jnp.maximum(x.dual, 0.0)
    terms = jnp.concatenate([program.h * dual, program.b * x.multiplier])
    eps = jnp.finfo(dual.dtype).eps
    gain = -terms.sum() - 10 * eps * jnp.abs(terms).sum()
    size = dual.sum() + jnp.abs(x.multiplier).sum()
    rest = jnp.abs(times(program.g.T, dual) + times(program.a.T, x.multiplier)).sum()
    return gain > numbers.certain * rest + eps * size


def unbounded(program: Program, x: Unknowns, numbers: Settings) -> jax.Array:
    """Tells whether a point shows a direction that descends for ever."""
    size = jnp.abs(x.z).max()
    bends = jnp.abs(times(program.q, x.z)).max()
    up = jnp.max(times(program.g, x.z), initial=0.0)
    off = jnp.max(jnp.abs(times(program.a, x.z)), initial=0.0)
    worst = jnp.maximum(jnp.maximum(bends, up), off)
    descends = jnp.dot(program.p, x.z) < -1e-3 * size * jnp.abs(program.p).max()
    return (size > numbers.certain) & (size > numbers.certain * worst) & descends


def _all_finite(tree: Point) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def _start(program: Program, numbers: Settings) -> Point:
    """The least squares solution, moved inside."""
    p, g, h, a, b = program[1:]
    factor = factorise(program, jnp.ones_like(h), numbers)
    z = factorisations.solve(factor, times(g.T, h) + numbers.penalty * times(a.T, b) - p)
    above = times(g, z) - h

    def inside(v: jax.Array) -> jax.Array:
        least = v.min()
        return jnp.where(least > 0, v, v - least + 1.0)

    multiplier = jnp.zeros_like(b)
    return Point(Unknowns(z, inside(above), multiplier), inside(-above))


def factorise(program: Program, weights: jax.Array, numbers: Settings) -> jax.Array:
    """Computes the Cholesky factor of `Q + Gᵀ diag(w) G + AᵀA / δ`."""
    ridge = numbers.ridge * jnp.eye(program.p.shape[0], dtype=program.p.dtype)
    matrix = program.q + ridge + gram(program.g, weights)
    if program.b.shape[0]:
        matrix = matrix + numbers.penalty * times(program.a.T, program.a)
    return factorisations.cholesky(matrix)


class Residuals(NamedTuple):
    """The residuals of stationarity, inequalities and equalities."""

    stationary: jax.Array
    inequality: jax.Array
    equality: jax.Array


def _residuals(program: Program, point: Point) -> Residuals:
    q, p, g, h, a, b = program
    z, dual, multiplier = point.x
    return Residuals(
        times(q, z) + p + times(g.T, dual) + times(a.T, multiplier),
        times(g, z) + point.slack - h,
        times(a, z) - b,
    )


def _error(program: Program, point: Point, numbers: Settings) -> jax.Array:
    """The mean gap, or the largest residual if that is worse, in units of its terms."""
    found = _residuals(program, point)
    z, dual, multiplier = point.x
    slope = jnp.maximum(
        jnp.abs(program.p).max(),
        jnp.abs(times(program.g.T, dual) + times(program.a.T, multiplier)).max(),
    )
    size = jnp.abs(z).max() + 1.0
    parts = (
        jnp.abs(found.stationary).max() / (slope + 1.0),
        jnp.max(jnp.abs(found.inequality) / (size + jnp.abs(program.h))),
        jnp.max(jnp.abs(found.equality), initial=0.0) / size,
    )
    gap = jnp.mean(point.slack * dual) / (1.0 + slope * size)
    return jnp.maximum(gap, numbers.tolerance / numbers.inexact * jnp.stack(parts).max())


def _step(program: Program, point: Point, numbers: Settings) -> Point:
    g, a = program.g, program.a
    dual, slack = point.x.dual, point.slack
    missing = _residuals(program, point)
    factor = factorise(program, dual / slack, numbers)

    def direction(gap: jax.Array) -> Point:
        pull = (dual * missing.inequality - gap) / slack
        force = missing.stationary + times(g.T, pull)
        force = force + numbers.penalty * times(a.T, missing.equality)
        dz = -factorisations.solve(factor, force)
        ds = -missing.inequality - times(g, dz)
        change = numbers.penalty * (times(a, dz) + missing.equality)
        return Point(Unknowns(dz, (-gap - dual * ds) / slack, change), ds)

    def longest(move: Point) -> jax.Array:
        def until(v: jax.Array, dv: jax.Array) -> jax.Array:
            return jnp.min(jnp.where(dv < 0, -v / jnp.where(dv < 0, dv, -1.0), jnp.inf))

        return jnp.minimum(until(slack, move.slack), until(dual, move.x.dual))

    gap = slack * dual
    predicted = direction(gap)
    reach = jnp.minimum(longest(predicted), 1.0)
    left = jnp.mean((slack + reach * predicted.slack) * (dual + reach * predicted.x.dual))
    mean = jnp.mean(gap)
    target = mean * (left / mean) ** 3
    move = direction(gap + predicted.slack * predicted.x.dual - target)
    reach = jnp.minimum(_TO_BOUNDARY * longest(move), 1.0)
    return jax.tree.map(lambda at, by: at + reach * by, point, move)
