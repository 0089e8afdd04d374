# SPDX-License-Identifier: Apache-2.0
"""The amortised sort's network: comparisons in, a place pointer for each element out.

The place of a noisy score depends on the others only through its comparisons with them. So one
round of messages over the complete graph is enough. Element j gets a few numbers in [-1, 1] from
every other element k and sums them. Each sum is a *soft count*, such as "how many are surely below
me". A small network at each element turns the counts into a curve over places, the log weights of
its place pointer. Places enter as distances from the mean place, which the comparisons give
exactly. No input says where an element stands, so the network is equivariant. Counts enter unscaled
beside their shares of the list, so that places stay apart in long lists.

The distribution of places is that of `arlsort.numerics.mean_permutation`, which takes
`nodes * n^3` operations; this takes `n^2`.
"""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from arlsort.amortized.config import FURTHEST, NetworkConfig
from arlsort.numerics import noise as laws
from arlsort.numerics import prefixes

Array = jax.Array

_STEEPEST, _FLATTEST = 4.0, -5.0  # logarithms of the slopes of a curve's bends
_ABSENT = -1e30  # logarithm of the weight of a place that does not exist
_SMALLEST = 1e-12  # its square, which gradients divide by, is far from underflow


class PlaceNetwork(hk.Module):
    """Points each element to its place among the noisy scores."""

    def __init__(self, config: NetworkConfig, noise: str, name: str | None = None):
        super().__init__(name=name)
        self._config, self._noise = config, noise

    def __call__(
        self,
        differences: Array,
        noise_scales: Array | None = None,
        count: Array | None = None,
    ) -> Array:
        """Gives the weights of every element's places.

        Args:
          differences: `[..., n, n]`, entry `[j, k]` is `x[j] - x[k]` in units of the noise.
          noise_scales: `[..., n]`, > 0; factors of the noise of each score. None for 1.
          count: How many elements each list has, the first ones, `[...]`; None for n. Later places
            belong to the elements there.

        Returns:
          `P[..., n, n]`, row i the weights of the elements at place i, doubly stochastic to the
          accuracy of a few balancing rounds, rows exactly.
        """
        config = self._config
        below, messages = self._messages(differences, noise_scales)
        n = differences.shape[-1]
        others = 1 - jnp.eye(n, dtype=differences.dtype)
        others = jnp.broadcast_to(others, differences.shape)
        if count is not None:
            others = jnp.where(prefixes.within(count, others.shape), others, 0.0)
        # A product and a sum: as one contraction it took four times as long on a CPU.
        counts = jnp.sum(messages * others[..., None], axis=-2)  # [..., n, counts]
        mean_place = jnp.sum(below * others, axis=-1)
        undecided = 1 + jnp.sum(4 * below * (1 - below) * others, axis=-1)
        items = prefixes.count_of(mean_place, count)[..., None].astype(counts.dtype)
        state = self._state(counts, mean_place, undecided, items)

        def linear(name: str, scale: float, bias: np.ndarray | None = None) -> Array:
            fill = hk.initializers.RandomNormal(scale / np.sqrt(config.width))
            start = None if bias is None else lambda shape, dtype: jnp.asarray(bias, dtype)
            return hk.Linear(config.bends, w_init=fill, b_init=start, name=name)(state)

        bends = linear("bend", 0.3, np.linspace(-0.7, 0.7, config.bends)) * undecided[..., None]
        fill = hk.initializers.RandomNormal(0.01)
        shift = hk.get_parameter("shift", (config.counts, config.bends), jnp.float32, fill)
        bends = bends + _counts_times(counts, shift)
        slopes = jnp.exp(jnp.clip(linear("slope", 0.3), _FLATTEST, _STEEPEST))
        heights = linear("height", 0.3) / np.sqrt(config.bends).astype(state.dtype)
        places = jnp.broadcast_to(jnp.arange(n, dtype=state.dtype), below.shape)
        distance = places - mean_place[..., None]  # [..., element, place]
        bent = slopes[..., None, :] * (distance[..., None] - bends[..., None, :])
        curve = jnp.einsum("...jib,...jb->...ji", bent + jnp.sqrt(bent**2 + 1), heights)
        curve = curve - distance**2 / (2 * undecided[..., None])
        inside = None
        if count is not None:
            inside = prefixes.square(count, curve.shape)
            own = jnp.broadcast_to(1 - jnp.eye(n, dtype=curve.dtype), curve.shape)
            curve = jnp.where(inside, curve, _ABSENT * own)
        return balanced(jnp.swapaxes(jax.nn.softmax(curve, axis=-1), -1, -2), config, inside)

    def _messages(self, differences: Array, noise_scales: Array | None) -> tuple[Array, Array]:
        """P(noise leaves k below j) `[..., n, n]`, messages from k to j `[..., n, n, counts]`."""
        law, size = laws.law(self._noise), self._config.counts
        assert law.scale_of_difference is not None
        one = jnp.ones((1,) * differences.ndim, differences.dtype)
        if noise_scales is None:
            width, ratio = law.scale_of_difference(one, one), None
        else:
            own, theirs = noise_scales[..., :, None], noise_scales[..., None, :]
            width, ratio = law.scale_of_difference(own, theirs), jnp.log(own) - jnp.log(theirs)
        furthest = FURTHEST[self._noise]
        relative = jnp.clip(differences / width, -furthest, furthest)
        below = law.below(relative)
        edges = [2 * below - 1, jnp.arcsinh(2 * relative)]
        weights = hk.get_parameter(
            "edge_w", (3, size), jnp.float32, hk.initializers.RandomNormal(1.0)
        )
        bias = hk.get_parameter(
            "edge_b", (size,), jnp.float32, hk.initializers.RandomUniform(-4, 4)
        )
        if ratio is not None:
            edges.append(ratio)
        lift = (1,) * differences.ndim
        heard = jnp.reshape(bias, (*lift, size))
        for edge, weight in zip(edges, weights, strict=False):
            heard = heard + edge[..., None] * jnp.reshape(weight, (*lift, size))
        return below, jnp.tanh(heard)

    def _state(self, counts: Array, mean_place: Array, undecided: Array, items: Array) -> Array:
        above = jnp.maximum(items - 1 - mean_place, 0.0)
        known = [jnp.log(undecided), jnp.log1p(mean_place), jnp.log1p(above)]
        inputs = jnp.concatenate(
            [
                counts / jnp.maximum(items, 1.0)[..., None],
                jnp.arcsinh(counts),
                jnp.stack(known, axis=-1),
            ],
            axis=-1,
        )
        state = jax.nn.gelu(hk.Linear(self._config.width, name="first")(inputs))
        return state + jax.nn.gelu(hk.Linear(self._config.width, name="second")(state))


def balanced(weights: Array, config: NetworkConfig, inside: Array | None = None) -> Array:
    """Rounds of column and row normalisation; rows sum to one exactly.

    Args:
      weights: `[..., n, n]`.
      config: The network, with the number of rounds.
      inside: The entries of items, `[..., n, n]`; outside only the diagonal is not zero.
    """
    small = weights + _SMALLEST  # also of a place that no element points to
    weights = small if inside is None else jnp.where(inside, small, weights)

    def balance(weights: Array, _: None) -> tuple[Array, None]:
        weights = weights / jnp.sum(weights, axis=-2, keepdims=True)
        return weights / jnp.sum(weights, axis=-1, keepdims=True), None

    # A loop compiles one round: that is a tenth of the time of the first call.
    return jax.lax.scan(balance, weights, None, length=config.balancing_rounds)[0]


def _counts_times(counts: Array, weights: Array) -> Array:
    """Multiplies counts at full precision: they are up to n and distinguish places."""
    return jnp.matmul(counts, weights, precision=jax.lax.Precision.HIGHEST)


def transform(config: NetworkConfig, noise: str) -> hk.Transformed:
    """The network as two pure functions, `init(rng, differences)` and `apply(params, rng, ...)`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> net = transform(NetworkConfig(), "gaussian")
      >>> x = jnp.array([0.3, 0.1, 0.2])
      >>> differences = x[:, None] - x[None]
      >>> params = net.init(jax.random.key(0), differences)
      >>> net.apply(params, None, differences).shape
      (3, 3)
    """
    return hk.transform(lambda *args: PlaceNetwork(config, noise)(*args))
