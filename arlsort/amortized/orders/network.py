# SPDX-License-Identifier: Apache-2.0
"""The network of orders: scores along an order in, the log-probability of each step out.

An order is a chain: the second score is above the first, the third above the second, and so on. By
the chain rule its probability is the product of the probabilities that each score is above the one
before, given that those before are in order. Under Cauchy noise a pair alone has a formula, `1/2 +
atan(gap) / pi` with the gap in units of the sum of their noise scales. A recurrent network learns
how earlier scores change its log odds. Its state holds what is known of the noise so far, relative
to the last score.

No input has a unit or an origin: the network sees gaps in units of noise, from the score before and
from the largest so far, and ratios of noise scales.
"""

import haiku as hk
import jax
import jax.numpy as jnp

from arlsort.amortized.orders.config import OrderConfig
from arlsort.numerics import meshes

Array = jax.Array

FURTHEST = 1e9
"""Scores this many units of noise apart are as far apart as the network can tell."""
_ASINH_UNIT = 3.0


class OrderNetwork(hk.Module):
    """Predicts the log-probability that noisy scores stand in their given order."""

    def __init__(self, config: OrderConfig, name: str | None = None):
        super().__init__(name=name)
        self._config = config

    def __call__(self, a: Array, w: Array) -> Array:
        """Gives the log-probability that each score is above the one before it.

        Args:
          a: Scores `[b, n]` in the order, n >= 2, in any unit.
          w: The scales of their Cauchy noise, `[b, n]`, in that unit.

        Returns:
          `[b, n - 1]`; the sum is the log-probability of the order.
        """
        core = hk.GRU(self._config.state, name="along_the_order")
        first = hk.Linear(self._config.width, name="first")
        # With zeros the network begins as if pairs were independent.
        last = hk.Linear(1, w_init=hk.initializers.RandomNormal(0.01), name="last")

        def step(
            carried: tuple[Array, Array, Array, Array, Array], key: tuple[Array, Array]
        ) -> tuple[tuple[Array, Array, Array, Array, Array], tuple[Array, Array, Array]]:
            state, before, before_w, top, top_w = carried
            score, scale = key
            gap = _gap(score - before, scale + before_w)
            inputs = (
                *_features(gap, scale, before_w),
                *_features(_gap(score - top, scale + top_w), scale, top_w),
            )
            seen = jnp.stack(inputs, axis=-1)
            _, state = core(seen, state)
            above = score >= top
            top, top_w = jnp.where(above, score, top), jnp.where(above, scale, top_w)
            return (state, score, scale, top, top_w), (gap, state, seen)

        state = core.initial_state(a.shape[0]).astype(a.dtype)
        a, w, state = meshes.vary_alike(a, w, state)
        along, scales = jnp.moveaxis(a, 1, 0), jnp.moveaxis(w, 1, 0)
        start = (state, *(along[0], scales[0]) * 2)
        _, (gaps, states, seen) = hk.scan(step, start, (along[1:], scales[1:]))
        hidden = jax.nn.silu(first(jnp.concatenate([states, seen], axis=-1)))
        learned = last(hidden)[..., 0]  # [n - 1, b]
        learned = learned.at[0].set(0.0)  # a pair alone has the formula
        return jnp.moveaxis(jax.nn.log_sigmoid(_log_odds(gaps) + learned), 0, 1)


def _gap(difference: Array, scale: Array) -> Array:
    return jnp.clip(difference / scale, -FURTHEST, FURTHEST)


def _features(gap: Array, scale: Array, other: Array) -> tuple[Array, ...]:
    return jnp.arcsinh(gap) / _ASINH_UNIT, jnp.arctan(gap) * (2 / jnp.pi), jnp.log(scale / other)


def _log_odds(gap: Array) -> Array:
    """The log odds of `1/2 + atan(gap) / pi`, accurate in both tails."""
    one = jnp.ones_like(gap)
    return jnp.log(jnp.arctan2(one, -gap)) - jnp.log(jnp.arctan2(one, gap))


def transform(config: OrderConfig) -> hk.Transformed:
    """The network as two pure functions, `init(rng, a, w)` and `apply(params, rng, a, w)`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> net = transform(OrderConfig(state=4, width=4))
      >>> a, w = jnp.array([[0.0, 1.0, 3.0]]), jnp.ones((1, 3))
      >>> net.apply(net.init(jax.random.key(0), a, w), None, a, w).shape
      (1, 2)
    """
    return hk.transform(lambda a, w: OrderNetwork(config)(a, w))
