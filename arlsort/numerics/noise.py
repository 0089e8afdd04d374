# SPDX-License-Identifier: Apache-2.0
"""The laws of noise that scores may have, in one table."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from arlsort.checks import error_message, one_of
from arlsort.numerics import normal


@dataclasses.dataclass(frozen=True)
class NoiseLaw:
    """A distribution on the line, of scale one.

    Attributes:
      sample: Of a key, a shape and a dtype.
      log_density: Up to a constant, elementwise.
      below: The distribution function, P(z <= v), elementwise.
      probability_not_larger: Of a difference `d = b - a`, elementwise: P(a + z <= b + z') for
        independent z and z' of this law.
      mean: Its mean, or its median if it has no mean.
    """

    sample: Callable[..., jax.Array]
    log_density: Callable[[jax.Array], jax.Array]
    below: Callable[[jax.Array], jax.Array]
    probability_not_larger: Callable[[jax.Array], jax.Array]
    mean: float = 0.0


def _below_of_gaussian(difference: jax.Array) -> jax.Array:
    return normal.distribution(difference / jnp.sqrt(2.0).astype(difference.dtype))


def _below_of_logistic(difference: jax.Array) -> jax.Array:
    # With e = exp(-|d|): P = 1 - e (|d| - 1 + e) / (1 - e)^2 for d >= 0; 1/2 + d/6 near 0.
    d = jnp.abs(difference)
    near = d < 0.05
    far = jnp.where(near, 1.0, jnp.minimum(d, 100.0))  # infinity times its exponential is NaN
    e = jnp.exp(-far)
    upper = 1 - e * (far - 1 + e) / (1 - e) ** 2
    upper = jnp.where(near, 0.5 + d / 6, upper)
    return jnp.where(difference >= 0, upper, 1 - upper)


LAWS: Mapping[str, NoiseLaw] = {
    "gaussian": NoiseLaw(
        jax.random.normal,
        lambda z: -(z**2) / 2,
        normal.distribution,
        _below_of_gaussian,
    ),
    "logistic": NoiseLaw(
        jax.random.logistic,
        lambda z: jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z),
        jax.nn.sigmoid,
        _below_of_logistic,
    ),
    "cauchy": NoiseLaw(
        jax.random.cauchy,
        lambda z: -jnp.log1p(z**2),
        lambda z: 0.5 + jnp.arctan(z) / jnp.pi,
        lambda difference: 0.5 + jnp.arctan(difference / 2) / jnp.pi,
    ),
    # Two Gumbel variables differ by a logistic one.
    "gumbel": NoiseLaw(
        jax.random.gumbel,
        lambda z: -z - jnp.exp(-z),
        lambda z: jnp.exp(-jnp.exp(-jnp.maximum(z, -80.0))),  # beyond, derivatives overflow
        jax.nn.sigmoid,
        mean=float(np.euler_gamma),
    ),
}
"""Standard normal, or logistic, Cauchy or Gumbel of scale 1."""


def law(name: str) -> NoiseLaw:
    """Returns the law of a name; raises ValueError naming the known ones."""
    if name not in LAWS:
        raise ValueError(error_message("noise", repr(name), one_of(LAWS)))
    return LAWS[name]


def sample(
    key: jax.Array, name: str, shape: tuple[int, ...], dtype: DTypeLike = float
) -> jax.Array:
    """Draws unit noise.

    Args:
      key: A key of `jax.random`.
      name: One of `LAWS`.
      shape: How many.
      dtype: Of the result.

    Example:
      >>> sample(jax.random.key(0), "cauchy", (2, 3)).shape
      (2, 3)
    """
    return law(name).sample(key, shape, dtype)


def probability_not_larger(difference: jax.Array, name: str) -> jax.Array:
    """P(a + z <= b + z') for `difference = b - a` and independent unit noise z, z'.

    Args:
      difference: Of any shape, floating.
      name: One of `LAWS`.

    Example:
      >>> import jax.numpy as jnp
      >>> print(probability_not_larger(jnp.array([0.0, 2.0]), "cauchy"))
      [0.5  0.75]
    """
    return law(name).probability_not_larger(difference)
