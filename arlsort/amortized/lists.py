# SPDX-License-Identifier: Apache-2.0
"""Lists that amortised networks are trained on: scores in units of the noise, and noise scales."""

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


class Sizes(Protocol):
    """The settings of the lists in a configuration of training."""

    @property
    def min_spread(self) -> float: ...
    @property
    def max_spread(self) -> float: ...
    @property
    def scaled_share(self) -> float: ...
    @property
    def noise_scale_spread(self) -> float: ...


# Shares of uniform, normal, tied and clustered lists; the rest has one or two outliers.
_UNIFORM, _NORMAL, _TIED, _CLUSTERED = 0.25, 0.2, 0.25, 0.2
_MOST_GRADES = 6
_CLUSTER_WIDTHS = (1e-3, 0.1)  # as a share of the range


def sample(key: Array, n: int, config: Sizes, count: int) -> tuple[Array, Array]:
    """Draws scores and noise scales, both `[count, n]`.

    The size of a list is log-uniform between `min_spread` and `max_spread`. Every second list is
    drawn again between 1 and 50, where noise and order compete.
    """
    keys = iter(jax.random.split(key, 20))
    shape, one = (count, n), (count, 1)

    def uniform(shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Array:
        return jax.random.uniform(next(keys), shape, minval=low, maxval=high)

    def log_uniform(low: float, high: float) -> Array:
        return jnp.exp(uniform(one, float(np.log(low)), float(np.log(high))))

    middle = np.clip([1.0, 50.0], config.min_spread, config.max_spread)
    anywhere = log_uniform(config.min_spread, config.max_spread)
    size = jnp.where(uniform(one) < 0.5, anywhere, log_uniform(*middle))
    grades = jax.random.randint(next(keys), one, 2, _MOST_GRADES + 1)
    grades = jnp.where(uniform(one) < 0.4, 2, grades)
    tied = jnp.floor(uniform(shape) * grades) / (grades - 1)
    clustered = tied + jax.random.normal(next(keys), shape) * log_uniform(*_CLUSTER_WIDTHS)
    place = jnp.broadcast_to(jnp.arange(n), shape)
    outliers = jnp.where(place == 0, 1.0, jnp.where(place == 1, uniform(one, -1.0), 0.1))
    outliers = jnp.where(outliers == 0.1, uniform(shape) * log_uniform(0.01, 1.0), outliers)
    law = uniform(one)
    laws = (uniform(shape), jax.random.normal(next(keys), shape) / 4, tied, clustered)
    x = outliers
    for share, drawn in zip(
        np.cumsum([_UNIFORM, _NORMAL, _TIED, _CLUSTERED])[::-1], laws[::-1], strict=True
    ):
        x = jnp.where(law < float(share), drawn, x)
    spread = uniform(one, 0.0, config.noise_scale_spread) * (uniform(one) < config.scaled_share)
    return x * size, jnp.exp(spread * jax.random.normal(next(keys), shape))
