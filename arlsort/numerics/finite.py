# SPDX-License-Identifier: Apache-2.0
"""Scores made finite: how far they are clipped, and what becomes of lists with NaN."""

import jax
import jax.numpy as jnp

# Headroom below the largest float, for sums over a row and for cotangents in the backward pass.
_HEADROOM_BITS = 16


def has_nan(x: jax.Array) -> jax.Array:
    """Tells which lists `[..., n]` contain a NaN, `[...]`."""
    return jnp.isnan(x).any(axis=-1)


def sanitise(x: jax.Array) -> jax.Array:
    """Makes scores finite; lists with NaN become ties, so that no NaN reaches any gradient."""
    return clip(jnp.where(has_nan(x)[..., None], 0.0, x))


def clip(x: jax.Array) -> jax.Array:
    """Puts scores into the dtype of the computation, clipped so that no sum overflows."""
    work = x.astype(work_dtype(x))
    limit = float(jnp.finfo(work.dtype).max) / 2**_HEADROOM_BITS
    return jnp.clip(work, -limit, limit)


def work_dtype(*arrays: jax.Array) -> jnp.dtype:
    """The dtype of the computation: the widest among those of the arrays and float32."""
    # Not `promote_types`, which refuses to mix dtypes under strict promotion.
    wide = any(array.dtype == jnp.float64 for array in arrays)
    return jnp.dtype(jnp.float64 if wide else jnp.float32)
