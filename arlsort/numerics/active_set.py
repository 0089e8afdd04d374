# SPDX-License-Identifier: Apache-2.0
"""Quadratic programs at full precision and their exact derivatives, from the active set.

With the active inequalities `M` held as equalities and the duals of the others at zero, a solution
solves the symmetric system

    Q z + Gᵀ M λ + Aᵀ ν = -p,    M G z + (1 - M) λ = M h,    A z = b.

Rounds of that solve and of `λ > slack` start from an interior point and end when the set stays. The
derivative is that of this system, in both modes; the backward pass reuses the last factor, of `Q +
(Gᵀ M G + Aᵀ A) / δ`. That matrix is positive definite even if active constraints depend on one
another.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics import factorisations, interior_point, meshes, quadratic_programs
from arlsort.numerics.interior_point import Settings
from arlsort.numerics.quadratic_programs import Program, Unknowns, times

_ROUNDS = 8
_REFINEMENTS = 6
_DESCENTS = 12  # steps of conjugate residuals for each refinement
_PROGRESS = 0.5  # a refinement that leaves more than this of the residual is the last


class Result(NamedTuple):
    """A solution in the units of the program, and its status.

    Attributes:
      x: The solution; NaN if there is none.
      converged: Whether it meets the conditions of optimality.
      infeasible: Whether no point meets the constraints.
    """

    x: Unknowns
    converged: jax.Array
    infeasible: jax.Array


class Candidate(NamedTuple):
    """A loop's state: unknowns that solve the system of an active set, which is factorised."""

    x: Unknowns
    active: jax.Array
    factor: jax.Array
    proposal: jax.Array  # the set that the solution suggests
    steps: jax.Array


def solve(program: Program) -> Result:
    """Solves one program; differentiable by every input.

    Args:
      program: In float32 or float64, with n >= 1; m and e may be zero.
    """
    if program.h.shape[0] == 0:  # hidden from all else: an empty row that always holds
        row = jnp.zeros((1, program.p.shape[0]), program.p.dtype)
        result = solve(program._replace(g=row, h=jnp.ones_like(row[:, 0])))
        return result._replace(x=result.x._replace(dual=result.x.dual[:0]))
    program, faults = quadratic_programs.sanitise(program)
    scales = quadratic_programs.equilibrate(program)
    scaled = quadratic_programs.scale(program, scales)
    numbers = interior_point.settings(program.p.dtype)
    fixed = lax.stop_gradient(scaled)
    start, active = _start(fixed)
    hopeless = _has_none(fixed, start, numbers)
    found = _settle(fixed, start, active, numbers)
    x = _differentiable(scaled, lax.stop_gradient(found))
    known = lax.stop_gradient(x)
    fault = faults.unknown | faults.impossible
    optimal = _is_optimal(fixed, known, numbers)
    lost = ~optimal & ~(_violation(fixed, known) <= _violation(fixed, start))  # or NaN
    x, known = (
        jax.tree.map(lambda old, new: jnp.where(lost, old, new), start, y) for y in (x, known)
    )
    converged = optimal & _is_convex(fixed.q, numbers) & ~fault
    proofs = [interior_point.infeasible(fixed, point, numbers) for point in (start, known)]
    infeasible = ~converged & ~faults.unknown & (faults.impossible | proofs[0] | proofs[1])
    none = fault | (~converged & (hopeless | _has_none(fixed, known, numbers)))
    x = quadratic_programs.unscale(x, scales)
    return Result(
        jax.tree.map(lambda leaf: jnp.where(none, jnp.nan, leaf), x), converged, infeasible
    )


def _violation(program: Program, x: Unknowns) -> jax.Array:
    """By how much the worst constraint is missed."""
    over = jnp.max(times(program.g, x.z) - program.h, initial=0.0)
    return jnp.maximum(over, jnp.max(jnp.abs(times(program.a, x.z) - program.b), initial=0.0))


def _has_none(program: Program, x: Unknowns, numbers: Settings) -> jax.Array:
    return interior_point.infeasible(program, x, numbers) | interior_point.unbounded(
        program, x, numbers
    )


def _start(program: Program) -> tuple[Unknowns, jax.Array]:
    """The first point of the rounds, and its set."""
    point = interior_point.solve(program)
    return point.x, point.x.dual > point.slack


def _settle(program: Program, start: Unknowns, active: jax.Array, numbers: Settings) -> Candidate:
    """Solves for an active set, and changes it, until it stays."""

    def going(state: Candidate) -> jax.Array:
        changed = (state.proposal != state.active).any()
        return (state.steps == 0) | (changed & (state.steps < _ROUNDS))

    def improve(state: Candidate) -> Candidate:
        active = state.proposal
        factor = _factorise(program, active, numbers)
        x = state.x._replace(dual=jnp.where(active, state.x.dual, 0.0))
        missing = _subtract(_target(program, active), _apply(program, active, x))
        x = _add(x, _refine(program, active, factor, missing))
        return Candidate(x, active, factor, _propose(program, active, x), state.steps + 1)

    factor = jnp.zeros_like(program.q)
    state = Candidate(start, active, factor, active, jnp.int32(0))
    state, _ = meshes.vary_alike(state, program)
    return lax.while_loop(going, improve, state)


def _propose(program: Program, active: jax.Array, x: Unknowns) -> jax.Array:
    """Drops constraints with a negative dual and adds violated ones, beyond rounding."""
    slop = 8 * jnp.finfo(x.z.dtype).eps
    slack = program.h - times(program.g, x.z)
    pulls = x.dual < -slop * jnp.max(jnp.abs(x.dual), initial=0.0)
    over = slack < -slop * (jnp.abs(x.z).max() + jnp.abs(program.h))
    return jnp.where(active, ~pulls, over)


@jax.custom_jvp
def _differentiable(program: Program, found: Candidate) -> Unknowns:
    """The known solution as a differentiable function of the program."""
    return found.x


@_differentiable.defjvp
def _differentiable_jvp(primals, tangents):  # type: ignore[no-untyped-def]
    program, found = primals
    x = _differentiable(program, found)
    active, factor, fixed = lax.stop_gradient((found.active, found.factor, program))

    # In one vector, since a linear solve is transposed with respect to all of its right-hand side.
    def missing(program: Program) -> jax.Array:
        return jnp.concatenate(_subtract(_target(program, active), _apply(program, active, x)))

    def split(right: jax.Array) -> Unknowns:
        n, m = program.p.size, program.h.size
        return Unknowns(*jnp.split(right, [n, n + m]))

    def apply(x: jax.Array) -> jax.Array:
        return jnp.concatenate(_apply(program, active, split(x)))

    def invert(_: object, right: jax.Array) -> jax.Array:
        return jnp.concatenate(_refine(fixed, active, factor, split(right)))

    _, change = jax.jvp(missing, primals[:1], tangents[:1])
    return x, split(lax.custom_linear_solve(apply, change, invert, symmetric=True))


def _target(program: Program, active: jax.Array) -> Unknowns:
    return Unknowns(-program.p, jnp.where(active, program.h, 0.0), program.b)


def _apply(program: Program, active: jax.Array, x: Unknowns) -> Unknowns:
    """Multiplies by the matrix of the system."""
    q, g, a = program.q, program.g, program.a
    pulls = jnp.where(active, x.dual, 0.0)
    return Unknowns(
        times(q, x.z) + times(g.T, pulls) + times(a.T, x.multiplier),
        jnp.where(active, times(g, x.z), x.dual),
        times(a, x.z),
    )


def _factorise(program: Program, active: jax.Array, numbers: Settings) -> jax.Array:
    weights = numbers.penalty * active.astype(program.p.dtype)
    return interior_point.factorise(program, weights, numbers)


def _dual_of(active: jax.Array, x: Unknowns) -> jax.Array:
    """The duals of active inequalities and of equalities, `[m + e]`; zero for the others."""
    return jnp.concatenate([jnp.where(active, x.dual, 0.0), x.multiplier])


class Descent(NamedTuple):
    """The state of conjugate residuals on the duals, and z.

    Attributes:
      z, y: The unknowns.
      left: The residual.
      direction, move, change: A direction of y, and its effects on z and on the residual.
      pull: The residual times what its own direction would change, before the last step.
      first: That of the first step.
      steps: How many there were.
    """

    z: jax.Array
    y: jax.Array
    left: jax.Array
    direction: jax.Array
    move: jax.Array
    change: jax.Array
    pull: jax.Array
    first: jax.Array
    steps: jax.Array


def _approximate(
    program: Program, active: jax.Array, factor: jax.Array, right: Unknowns
) -> Unknowns:
    """Solves the system up to rounding in the factorised matrix H.

    With C the active rows and the equalities, it is `H z + Cᵀy = r + Cᵀs / δ` and `C z = s`, so y
    solves `C H⁻¹ Cᵀ y = C H⁻¹ (r + Cᵀs / δ) - s`, by conjugate residuals: the eigenvalues of that
    matrix are all near δ, unless active rows nearly depend on one another. If they do, rounding
    leaves a residual that no y removes, and conjugate gradients would divide by zero.
    """
    numbers = interior_point.settings(factor.dtype)
    penalty, held = numbers.penalty, active.astype(factor.dtype)
    rows = jnp.concatenate([held[:, None] * program.g, program.a])
    target = _dual_of(active, right)
    z = factorisations.solve(factor, right.z + penalty * times(rows.T, target))
    left = times(rows, z) - target
    enough = numbers.inexact**2
    most = enough * jnp.dot(left, left)

    def going(state: Descent) -> jax.Array:
        more = (jnp.dot(state.left, state.left) > most) & (state.pull > enough * state.first)
        return more & (state.steps < _DESCENTS)

    def descend(state: Descent) -> Descent:
        move = factorisations.solve(factor, times(rows.T, state.left))
        change = times(rows, move)
        pull = jnp.maximum(jnp.dot(state.left, change), 0.0)
        first = jnp.where(state.steps == 0, pull, state.first)
        share = jnp.where(state.steps == 0, 0.0, pull / state.pull)
        direction = state.left + share * state.direction
        move, change = move + share * state.move, change + share * state.change
        size = jnp.dot(change, change)
        useful = (pull > enough * first) & (size > 0)
        step = jnp.where(useful, pull / jnp.where(useful, size, 1.0), 0.0)
        return Descent(
            state.z - step * move,
            state.y + step * direction,
            state.left - step * change,
            direction,
            move,
            change,
            pull,
            first,
            state.steps + 1,
        )

    none, still = jnp.zeros_like(left), jnp.zeros_like(z)
    one = jnp.ones_like(most)
    state = Descent(z, none, left, none, still, none, one, 0 * one, jnp.int32(0))
    state, _ = meshes.vary_alike(state, factor)
    state = lax.while_loop(going, descend, state)
    dual, multiplier = jnp.split(state.y, [active.shape[0]])
    return Unknowns(state.z, jnp.where(active, dual, right.dual), multiplier)


class Refinement(NamedTuple):
    """A loop's state: the best unknowns, their residual, and its share of the last one."""

    x: Unknowns
    left: Unknowns
    size: jax.Array
    progress: jax.Array
    steps: jax.Array


def _refine(program: Program, active: jax.Array, factor: jax.Array, right: Unknowns) -> Unknowns:
    """Solves the system by corrections until only rounding is left."""
    unit = _size(right)
    unit = jnp.where(unit > 0, unit, 1.0)  # or squares would underflow
    right = jax.tree.map(lambda v: v / unit, right)
    enough = 4 * jnp.finfo(factor.dtype).eps

    def going(state: Refinement) -> jax.Array:
        more = (state.size > enough) & (state.progress < _PROGRESS)
        return more & (state.steps < _REFINEMENTS)

    def correct(state: Refinement) -> Refinement:
        x = _add(state.x, _approximate(program, active, factor, state.left))
        left = _subtract(right, _apply(program, active, x))
        size = _size(left)
        better = size < state.size
        x, left = jax.tree.map(
            lambda new, old: jnp.where(better, new, old), (x, left), (state.x, state.left)
        )
        progress = jnp.where(better, size / state.size, 1.0)
        return Refinement(x, left, jnp.minimum(size, state.size), progress, state.steps + 1)

    zero = jax.tree.map(jnp.zeros_like, right)
    state = Refinement(zero, right, _size(right), jnp.zeros_like(unit), jnp.int32(0))
    state, _ = meshes.vary_alike(state, factor)
    state = lax.while_loop(going, correct, state)
    return jax.tree.map(lambda v: v * unit, state.x)


def _is_optimal(program: Program, x: Unknowns, numbers: Settings) -> jax.Array:
    """Whether the conditions of optimality hold, in units of the terms of each."""
    q, p, g, h, a, b = program
    tolerance = numbers.optimal
    forces = [times(q, x.z), p, times(g.T, x.dual), times(a.T, x.multiplier)]
    floor = 1e-3  # of what is scaled to be near one
    size = jnp.abs(x.z).max() + floor
    slack = h - times(g, x.z)
    largest = jnp.max(jnp.abs(x.dual), initial=0.0)
    gap = jnp.minimum(jnp.abs(slack), jnp.abs(x.dual))
    return (
        (jnp.abs(sum(forces)).max() <= tolerance * (jnp.abs(jnp.stack(forces)).max() + floor))
        & (slack >= -tolerance * (size + jnp.abs(h))).all()
        & (gap <= tolerance * (size + jnp.abs(h))).all()
        & (x.dual >= -tolerance * (largest + floor)).all()
        & (jnp.abs(times(a, x.z) - b) <= tolerance * (size + jnp.abs(b))).all()
    )


def _is_convex(q: jax.Array, numbers: Settings) -> jax.Array:
    """Whether no eigenvalue is negative by more than the tolerance, of the largest entry."""
    largest = jnp.abs(q).max()
    q = q / jnp.where(largest > 0, largest, 1.0)
    shifted = q + numbers.optimal * jnp.eye(q.shape[0], dtype=q.dtype)
    return jnp.isfinite(factorisations.cholesky(shifted)).all()


def _size(x: Unknowns) -> jax.Array:
    return jnp.max(jnp.abs(jnp.concatenate(list(x))))


def _add(x: Unknowns, y: Unknowns) -> Unknowns:
    return jax.tree.map(jnp.add, x, y)


def _subtract(x: Unknowns, y: Unknowns) -> Unknowns:
    return jax.tree.map(jnp.subtract, x, y)
