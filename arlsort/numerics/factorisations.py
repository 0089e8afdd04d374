# SPDX-License-Identifier: Apache-2.0
"""Cholesky factors and solves that may run in parallel on every version of JAX.

On CPUs jaxlib 0.10 spreads a batch of factorisations over a pool of threads and waits inside that
pool. As many batches as threads, in one program or on several devices, then deadlock; 0.12 mends
this. Before 0.12 a batch is taken matrix by matrix, which does not wait.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jax.scipy.linalg import cho_solve


def cholesky(matrix: jax.Array) -> jax.Array:
    """Computes the lower factor of a symmetric matrix `[n, n]`; NaN if it is not positive definite.

    Not for reverse mode: differentiate the solution of a system, not its factor.

    Example:
      >>> import jax.numpy as jnp
      >>> print(cholesky(jnp.array([[4.0, 2.0], [2.0, 2.0]])))
      [[2. 0.]
       [1. 1.]]
    """
    return _cholesky_alone(matrix) if _waits() else _cholesky(matrix)


def solve(factor: jax.Array, right: jax.Array) -> jax.Array:
    """Solves `L Lᵀ x = r` for vectors `[n]`; not for reverse mode.

    Example:
      >>> import jax.numpy as jnp
      >>> print(solve(jnp.array([[2.0, 0.0], [1.0, 1.0]]), jnp.array([6.0, 4.0])))
      [1. 1.]
    """
    columns = right[:, None]
    return (_solve_alone if _waits() else _solve)(factor, columns)[:, 0]


def _waits() -> bool:
    return jax.__version_info__ < (0, 12) and jax.default_backend() == "cpu"


def _cholesky(matrix: jax.Array) -> jax.Array:
    return lax.linalg.cholesky(matrix, symmetrize_input=False)


def _solve(factor: jax.Array, columns: jax.Array) -> jax.Array:
    return cho_solve((factor, True), columns)


_cholesky_alone = custom_vmap(_cholesky)
_solve_alone = custom_vmap(_solve)


@_cholesky_alone.def_vmap
def _(size: int, batched: list[bool], matrices: jax.Array) -> tuple[jax.Array, bool]:
    return lax.map(_cholesky_alone, matrices), True


@_solve_alone.def_vmap
def _(
    size: int, batched: list[bool], factors: jax.Array, columns: jax.Array
) -> tuple[jax.Array, bool]:
    if batched[0]:
        if not batched[1]:
            columns = jnp.broadcast_to(columns, (size, *columns.shape))
        return lax.map(lambda pair: _solve_alone(*pair), (factors, columns)), True
    n, count = columns.shape[1:]
    together = jnp.moveaxis(columns, 0, 1).reshape(n, size * count)
    found = _solve_alone(factors, together).reshape(n, size, count)
    return jnp.moveaxis(found, 1, 0), True
