# SPDX-License-Identifier: Apache-2.0
"""Sums of which a share is kept from one element to the next."""

import jax
import jax.numpy as jnp
from jax import lax

# Elements that are summed one after the other; blocks of so many are summed side by side.
_BLOCK = 32


def sums(keep: jax.Array, source: jax.Array, *, reverse: bool = False) -> jax.Array:
    """Computes `y[j] = keep[j - 1] y[j - 1] + source[j]` in O(n).

    Args:
      keep: The share of a sum kept from one element to the next, `[..., n - 1]`; in [0, 1].
      source: `[..., n]`, or `[..., d, n]` with `keep` as `[..., 1, n - 1]`.
      reverse: Whether sums run from the last element to the first,
        `y[j] = keep[j] y[j + 1] + source[j]`.

    Returns:
      Sums of the shape of `source`.
    """
    if reverse:
        keep, source = jnp.flip(keep, axis=-1), jnp.flip(source, axis=-1)
    keep = jnp.pad(keep, [(0, 0)] * (keep.ndim - 1) + [(1, 0)])
    sums = _running_sums(keep, source)
    return jnp.flip(sums, axis=-1) if reverse else sums


@jax.custom_jvp
def _running_sums(keep: jax.Array, source: jax.Array) -> jax.Array:
    """Computes `y[j] = keep[j] y[j - 1] + source[j]`, in blocks, all at once.

    The sums at the ends of blocks are again sums of this kind: each block keeps the product over
    it.
    """
    n = source.shape[-1]
    blocks = -(-n // _BLOCK)
    size = min(n, _BLOCK)

    def split(array: jax.Array) -> jax.Array:
        ends = [(0, 0)] * (array.ndim - 1) + [(0, blocks * size - n)]
        parts = jnp.pad(array, ends).reshape(*array.shape[:-1], blocks, size)
        return jnp.moveaxis(parts, -1, 0)  # [size, ..., blocks]

    def add(total: jax.Array, element: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        total = element[0] * total + element[1]
        return total, total

    def multiply(product: jax.Array, factor: jax.Array) -> tuple[jax.Array, jax.Array]:
        return product * factor, product * factor

    factors, terms = split(keep), split(source)
    last, sums = lax.scan(add, jnp.zeros_like(terms[0]), (factors, terms))
    if blocks > 1:
        # In a loop of its own, so that the one above is linear in the source.
        kept, products = lax.scan(multiply, jnp.ones_like(factors[0]), factors)
        sums = sums + products * _shift(_running_sums(kept, last))[None]
    return jnp.moveaxis(sums, 0, -1).reshape(*source.shape[:-1], blocks * size)[..., :n]


@_running_sums.defjvp
def _running_sums_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    # The tangent is a sum of the same kind, so that reverse mode keeps the sums and no more.
    (keep, source), (dkeep, dsource) = primals, tangents
    sums = _running_sums(keep, source)
    return sums, _running_sums(keep, dsource + dkeep * _shift(sums))


def _shift(array: jax.Array) -> jax.Array:
    """Moves an array one place to the right."""
    return jnp.concatenate([jnp.zeros_like(array[..., :1]), array[..., :-1]], axis=-1)
