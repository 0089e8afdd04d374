# SPDX-License-Identifier: Apache-2.0
"""A quadratic program, made finite and scaled."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics import finite

_ROUNDS = 4  # of equilibration; each one takes the square root of what is left

_FAR = 1e3  # sizes of the free solution


class Program(NamedTuple):
    """`min ½ zᵀQz + pᵀz` with `Gz <= h` and `Az = b`; one program, `Q` symmetric.

    Attributes:
      q: `[n, n]`.
      p: `[n]`.
      g: `[m, n]`.
      h: `[m]`.
      a: `[e, n]`.
      b: `[e]`.
    """

    q: jax.Array
    p: jax.Array
    g: jax.Array
    h: jax.Array
    a: jax.Array
    b: jax.Array


class Unknowns(NamedTuple):
    """A value for each variable and each constraint.

    Attributes:
      z: `[n]`.
      dual: Of the inequalities, `[m]`.
      multiplier: Of the equalities, `[e]`.
    """

    z: jax.Array
    dual: jax.Array
    multiplier: jax.Array


class Faults(NamedTuple):
    """Faults of a program, found before it is solved.

    Attributes:
      unknown: Whether it holds a NaN, or an infinity other than a missing bound.
      impossible: Whether one constraint alone cannot be met.
    """

    unknown: jax.Array
    impossible: jax.Array


def sanitise(program: Program) -> tuple[Program, Faults]:
    """Makes a program finite; replaced entries have no gradient.

    An infinite bound is no constraint, nor is a row of zeros that holds. A faulty program becomes
    one whose solution is zero.
    """
    n = program.p.shape[0]
    q, p, g, h, a, b = program
    unbounded, never = h == jnp.inf, h == -jnp.inf
    wrong = jnp.isnan(h).any()
    for array in (q, p, g, a, b):
        wrong = wrong | ~jnp.isfinite(array).all()
    empty = (g == 0).all(axis=-1)
    impossible = (never | (empty & (h < 0))).any() | ((a == 0).all(axis=-1) & (b != 0)).any()
    fault = wrong | impossible
    absent = unbounded | never | empty | fault
    q = jnp.where(fault, jnp.eye(n, dtype=q.dtype), q)
    p, a, b = (jnp.where(fault, 0.0, array) for array in (p, a, b))
    clean = Program(q, p, jnp.where(absent[:, None], 0.0, g), jnp.where(absent, 1.0, h), a, b)
    return clean, Faults(wrong, impossible & ~wrong)


class Scales(NamedTuple):
    """Positive factors, powers of two: of the variables, the rows, the objective, the solution."""

    columns: jax.Array
    rows: jax.Array
    equalities: jax.Array
    objective: jax.Array
    size: jax.Array


def equilibrate(program: Program) -> Scales:
    """Finds factors that bring all matrices and the solution near one.

    References:
      Ruiz, A Scaling Algorithm to Equilibrate Both Rows and Columns Norms in Matrices, 2001.
    """
    q, p, g, h, a, b = program = lax.stop_gradient(program)
    d, e, f = (jnp.ones_like(vector) for vector in (p, h, b))
    for _ in range(_ROUNDS):
        size_q, size_g, size_a = (
            jnp.abs(left[:, None] * matrix * d[None, :])
            for left, matrix in ((d, q), (e, g), (f, a))
        )
        columns = jnp.max(jnp.concatenate([size_q, size_g, size_a]), axis=0)
        e, f = (
            vector / _root(jnp.max(rows, axis=1, initial=0.0))
            for vector, rows in ((e, size_g), (f, size_a))
        )
        d = d / _root(columns)
    d, e, f = map(_power_of_two, (d, e, f))
    curvature = jnp.max(jnp.abs(d[:, None] * q * d[None, :]))
    slope = jnp.max(jnp.abs(d * p))
    bounds = jnp.concatenate([jnp.mean(jnp.abs(e * h), keepdims=True), jnp.abs(f * b)])
    bounds = jnp.max(jnp.where(jnp.isfinite(bounds), bounds, 0.0))
    free = jnp.where(curvature > 0, slope / _positive(curvature), 0.0)
    # A bound far beyond the free solution says nothing of the size of the solution.
    near = jnp.where(free > 0, jnp.minimum(bounds, _FAR * free), bounds)
    size = _between(free, near)
    objective = jnp.maximum(curvature, slope / size)
    return Scales(d, e, f, _power_of_two(objective), _power_of_two(size))


def scale(program: Program, scales: Scales) -> Program:
    """Gives the program in `y = z / (size columns)`, its objective over `objective size²`."""
    d, e, f, objective, size = scales
    q, p, g, h, a, b = program
    return Program(
        q=d[:, None] * q * d[None, :] / objective,
        p=d * p / objective / size,
        g=e[:, None] * g * d[None, :],
        h=e * h / size,
        a=f[:, None] * a * d[None, :],
        b=f * b / size,
    )


def unscale(x: Unknowns, scales: Scales) -> Unknowns:
    """Takes a solution back to the units of the program."""
    d, e, f, objective, size = scales
    return Unknowns(
        x.z * d * size, x.dual * e * objective * size, x.multiplier * f * objective * size
    )


def times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """Multiplies with all digits, whatever the device."""
    return jnp.matmul(matrix, vector, precision=lax.Precision.HIGHEST)


def gram(matrix: jax.Array, weights: jax.Array) -> jax.Array:
    """Computes `Mᵀ diag(w) M`."""
    return times(matrix.T, weights[:, None] * matrix)


def _root(sizes: jax.Array) -> jax.Array:
    return jnp.where(sizes > 0, jnp.sqrt(sizes), 1.0)


def _positive(x: jax.Array) -> jax.Array:
    return jnp.where((x > 0) & jnp.isfinite(x), x, 1.0)


def _between(x: jax.Array, y: jax.Array) -> jax.Array:
    """The geometric mean of two sizes of which either may be zero."""
    x, y = jnp.where(x > 0, x, y), jnp.where(y > 0, y, x)
    return _positive(jnp.sqrt(x) * jnp.sqrt(y))


def _power_of_two(x: jax.Array) -> jax.Array:
    limit = finite.largest(x.dtype) ** 0.5
    _, exponent = jnp.frexp(jnp.clip(_positive(x), 1 / limit, limit))
    return jnp.ldexp(jnp.ones_like(x), exponent)
