# SPDX-License-Identifier: Apache-2.0
"""The standard normal law, with derivatives that `jax.shard_map` can trace.

In JAX 0.12 the derivative of `erfc` evaluates a polynomial whose coefficients are the same on all
devices at points that are not, which its check of varying arrays refuses. Here the derivative is
stated: it is the density.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr

_FAR = 40.0  # beyond it the density is zero in float64 too


@jax.custom_jvp
def distribution(v: jax.Array) -> jax.Array:
    """The standard normal distribution function, `P(z <= v)`.

    Args:
      v: Of any shape, float32 or float64.

    Returns:
      Of the same shape and dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> print((1000 * distribution(jnp.array([-1.0, 0.0, 1.0]))).round())
      [159. 500. 841.]
    """
    return ndtr(v)


@distribution.defjvp
def _distribution_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (v,), (change,) = primals, tangents
    near = jnp.clip(v, -_FAR, _FAR)  # or a further derivative at an infinity is 0 times infinity
    density = jnp.exp(-(near**2) / 2) / math.sqrt(2 * math.pi)
    return distribution(v), density * change
