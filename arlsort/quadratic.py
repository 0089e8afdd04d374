# SPDX-License-Identifier: Apache-2.0
"""Quadratic programs as layers: solutions with exact derivatives by every input.

Example:
  >>> import jax.numpy as jnp
  >>> from arlsort import quadratic
  >>> nearest = quadratic.solve(jnp.eye(1), jnp.array([-2.0]), jnp.eye(1), jnp.array([1.0]))
  >>> print(nearest.z, nearest.converged)
  [1.] True
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.numerics import active_set, finite, meshes
from arlsort.numerics import total_variation as tv
from arlsort.numerics.quadratic_programs import Program


class Solution(NamedTuple):
    """The solution of a quadratic program, its duals and its status.

    Attributes:
      z: The minimiser, `[..., n]`.
      inequality_dual: The multiplier of each inequality, `[..., m]`, zero where it is not active.
      equality_dual: The multiplier of each equality, `[..., e]`.
      converged: Booleans `[...]`: whether the conditions of optimality hold, within 1e-4 in float32
        and 1e-8 in float64, in units of the terms that they compare.
      infeasible: Booleans `[...]`: whether no z meets the constraints.
    """

    z: jax.Array
    inequality_dual: jax.Array
    equality_dual: jax.Array
    converged: jax.Array
    infeasible: jax.Array


def solve(
    Q: jax.Array,
    p: jax.Array,
    G: jax.Array,
    h: jax.Array,
    A: jax.Array | None = None,
    b: jax.Array | None = None,
) -> Solution:
    """Solves quadratic programs: `min ½ zᵀQz + pᵀz` subject to `Gz <= h` and `Az = b`.

    With duals λ and ν, a solution has `Qz + p + Gᵀλ + Aᵀν = 0`, `λ >= 0` and `λᵀ(Gz - h) = 0`. An
    interior-point method finds the active inequalities. Held as equalities, they make the solution
    and its derivative those of a linear system, so both are exact. With the adjoint solution `(d_z,
    d_λ, d_ν)` the gradients are `½ (d_z zᵀ + z d_zᵀ)` by Q, `d_z` by p, `d_λ zᵀ + λ d_zᵀ` by G,
    `-d_λ` by h, `d_ν zᵀ + ν d_zᵀ` by A and `-d_ν` by b.

    * Leading axes broadcast. Inputs that a batch shares get the sum of its gradients. No row
      depends on another.
    * Only the symmetric part of Q counts. If it is not positive semi-definite, within the
      tolerance, `converged` is false. If several z are optimal, one of them is returned and its
      derivative means nothing.
    * At a constraint that is only weakly active (`λ = 0` and `Gz = h`) the solution has a kink; the
      derivative is that of one side. Constraints that repeat one another share their dual and their
      gradient evenly.
    * Plus infinity in h is no constraint, and minus infinity cannot be met. Any other infinity, and
      NaN, makes the row's solution NaN.
    * A row without a solution is NaN: `infeasible` is true if the constraints cannot be met, false
      if the objective is unbounded. A finite row that is not `converged` holds the best point
      found; if equalities contradict one another by little, their least squares.
    * Where more constraints meet at the solution than there are variables, several duals are
      valid, and one choice of them is returned. In float32 some such rows are not `converged`.
    * The gradient of a row that is NaN is zero.

    Time is O(n²(n + m + e)) for each iteration, memory O(n(n + m + e)).

    Args:
      Q: `[..., n, n]`, floating.
      p: `[..., n]`, n >= 1.
      G: `[..., m, n]`; m may be zero.
      h: `[..., m]`.
      A: `[..., e, n]`, or None for no equalities.
      b: `[..., e]`, or None.

    Returns:
      A `Solution` in the dtype of the arguments; float16 and bfloat16 are computed in float32.

    Raises:
      TypeError: If an argument is no floating array, or has another dtype than p.
      ValueError: If shapes do not fit, or one of A and b is missing.

    Example:
      >>> import jax.numpy as jnp
      >>> Q, p = jnp.eye(2), jnp.array([-2.0, -3.0])  # the point of z1 + z2 <= 3 nearest to (2, 3)
      >>> solution = solve(Q, p, jnp.ones((1, 2)), jnp.full(1, 3.0))
      >>> print(solution.z.round(1), solution.inequality_dual.round(1), solution.converged)
      [1. 2.] [1.] True

    References:
      Amos and Kolter, OptNet: Differentiable Optimization as a Layer in Neural Networks, ICML 2017.
      Mehrotra, On the Implementation of a Primal-Dual Interior Point Method, SIAM J. Optim. 1992.
    """
    program, batch = _checked(Q, p, G, h, A, b)
    return _solve(program, batch)


def total_variation(y: jax.Array, weight: ArrayLike) -> jax.Array:
    """Denoises series: `argmin_z ½ sum_i (z_i - y_i)² + weight sum_i |z_{i+1} - z_i|`.

    The minimiser is constant in runs. A run of length l has the value `mean(y) + weight (s_right -
    s_left) / l`, with s the signs of the jumps at its ends, zero at the ends of the series. The
    derivative is exact: a run shares its gradient by y evenly. Dynamic programming finds the runs
    in O(n) for any data, one element after the other.

    Args:
      y: Series `[..., n]`, floating.
      weight: >= 0, in the unit of y; a number, or one for each series, `[...]`. Zero gives y.

    Returns:
      `[..., n]` in the dtype of y (computed in float32 or wider). NaN, with a gradient of zero, for
      a series with a NaN or an infinity, and where a traced weight is negative or any is NaN.

    Raises:
      TypeError: If y is no floating array, or the weight no number.
      ValueError: If a weight is negative or not finite, or its shape does not broadcast to that of
        the series.

    Example:
      >>> import jax.numpy as jnp
      >>> print(total_variation(jnp.array([1.0, 3.0, 2.0, 9.0, 9.0]), 1.0).round(3))
      [2.  2.5 2.5 8.5 8.5]

    References:
      Johnson, A Dynamic Programming Algorithm for the Fused Lasso and L0-Segmentation, J. Comput.
      Graph. Stat. 2013.
    """
    y = checks.check_scores("y", y)
    if np.ndim(weight) == 0:
        checks.check_number("weight", weight, "a finite number >= 0", 0.0, math.inf)
    else:
        weight = checks.check_scores("weight", weight)
        if not isinstance(weight, jax.core.Tracer) and (np.asarray(weight) < 0).any():
            received = f"an array with {float(np.asarray(weight).min())}"
            raise ValueError(checks.error_message("weight", received, "numbers >= 0"))
        allowed = f"a scalar or one that broadcasts to {y.shape[:-1]}"
        if not _broadcasts(weight.shape, y.shape[:-1]):
            raise ValueError(checks.error_message("weight", f"shape {weight.shape}", allowed))
    return _denoise(None, y, jnp.broadcast_to(jnp.asarray(weight), y.shape[:-1]))


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return jnp.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


@meshes.jit_over_lists
def _denoise(_: None, y: jax.Array, weight: jax.Array) -> jax.Array:
    dtype, work = y.dtype, finite.work_dtype(y)
    weight = weight.astype(work)
    unknown = ~jnp.isfinite(y).all(axis=-1) | ~(weight >= 0)
    if y.shape[-1] == 0:
        return y
    y = finite.clip(jnp.where(unknown[..., None], 0.0, y))
    # An infinite weight is as good as one that is larger than all sums.
    weight = jnp.minimum(jnp.where(unknown, 0.0, weight), finite.largest(work))
    result = tv.denoise(y, weight)
    return jnp.where(unknown[..., None], jnp.nan, result).astype(dtype)


@functools.partial(jax.jit, static_argnums=1)
def _solve(program: Program, batch: tuple[int, ...]) -> Solution:
    of_batch = functools.partial(_solve_batch, batch=batch)
    return meshes.without_shardings(of_batch, *_sharding(program, batch))(program)


def _sharding(program: Program, batch: tuple[int, ...]) -> tuple[tuple[Any, ...], jax.Array]:
    """How solutions are sharded, as the first array that has their batch, and that array."""
    for array, rank in zip(program, _RANKS, strict=True):
        axes = array.ndim - rank
        spec = tuple(jax.typeof(array).sharding.spec)[:axes]
        if array.shape[:axes] == batch and any(part is not None for part in spec):
            return spec, array
    return (), program.p


def _solve_batch(program: Program, batch: tuple[int, ...]) -> Solution:
    dtype, work = program.p.dtype, finite.work_dtype(program.p)
    rows = math.prod(batch)
    axes: list[int | None] = []
    arrays: list[jax.Array] = []
    for array, rank in zip(program, _RANKS, strict=True):
        core = array.shape[array.ndim - rank :]
        shared = array.ndim == rank
        axes.append(None if shared else 0)
        whole = array if shared else jnp.broadcast_to(array, (*batch, *core)).reshape(rows, *core)
        arrays.append(whole.astype(work))
    # Shared matrices stay shared: products with them are products of matrices.
    arrays[0] = (arrays[0] + jnp.swapaxes(arrays[0], -1, -2)) / 2
    program = Program(*arrays)
    if batch:
        found = jax.vmap(lambda *row: active_set.solve(Program(*row)), in_axes=axes)(*program)
        found = jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), found)
    else:
        found = active_set.solve(program)
    z, dual, multiplier = (leaf.astype(dtype) for leaf in found.x)
    return Solution(z, dual, multiplier, found.converged, found.infeasible)


_RANKS = (2, 1, 2, 1, 2, 1)
_NAMES = ("Q", "p", "G", "h", "A", "b")


def _checked(
    Q: jax.Array,
    p: jax.Array,
    G: jax.Array,
    h: jax.Array,
    A: jax.Array | None,
    b: jax.Array | None,
) -> tuple[Program, tuple[int, ...]]:
    """Checks the arguments of a program; with the shape of its batch."""
    if (A is None) != (b is None):
        missing, other = ("A", "b") if A is None else ("b", "A")
        raise ValueError(checks.error_message(missing, f"None beside {other}", "both or neither"))
    p = checks.check_scores("p", p)
    n = p.shape[-1]
    if n == 0:
        raise ValueError(checks.error_message("p", f"shape {p.shape}", "at least one variable"))
    if A is None or b is None:
        A, b = jnp.zeros((0, n), p.dtype), jnp.zeros(0, p.dtype)
    arrays = [
        checks.check_scores(name, array)
        for name, array in zip(_NAMES, (Q, p, G, h, A, b), strict=True)
    ]
    for name, array, rank in zip(_NAMES, arrays, _RANKS, strict=True):
        if array.dtype != p.dtype:
            allowed = f"that of p, {p.dtype}"
            raise TypeError(checks.error_message(name, f"dtype {array.dtype}", allowed))
        if array.ndim < rank:
            raise ValueError(checks.error_message(name, f"shape {array.shape}", "a matrix"))
    program = Program(*arrays)
    m, e = program.h.shape[-1], program.b.shape[-1]
    cores: tuple[tuple[int, ...], ...] = ((n, n), (n,), (m, n), (m,), (e, n), (e,))
    for name, array, core in zip(_NAMES, program, cores, strict=True):
        if array.shape[array.ndim - len(core) :] != core:
            allowed = f"[..., {', '.join(map(str, core))}]"
            raise ValueError(checks.error_message(name, f"shape {array.shape}", allowed))
    leading = [
        array.shape[: array.ndim - rank] for array, rank in zip(program, _RANKS, strict=True)
    ]
    try:
        batch = jnp.broadcast_shapes(*leading)
    except ValueError:
        allowed = "leading axes that broadcast"
        raise ValueError(checks.error_message("Q, p, G, h, A, b", leading, allowed)) from None
    return program, batch
