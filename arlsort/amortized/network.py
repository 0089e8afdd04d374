# SPDX-License-Identifier: Apache-2.0
"""The amortised sort's network: comparisons in, a place pointer for each element out.

Fix the noise of element j at u. The others then fall below it independently, and the number that do
is its place. So the network works at a few *levels* u, which it learns. At each level element j
gets one message from every other element k: the probability that the noise of k leaves k below j.
Their moments sum to the mean, the variance and the third central moment of the place. A small
network, the same for all elements and levels, turns these and their change to the next levels into
a *bump* over places: its weight, centre, width and lean. The pointer of an element is the sum of
its bumps.

One round of messages over the complete graph is enough, because the place depends on the others
only through these comparisons. No input says where an element stands, so the network is
equivariant. Levels above and below zero share their parameters upside down, so the pointers of a
list and of its negative are mirrored.

The distribution of places is that of `arlsort.numerics.mean_permutation`, which follows every sum
of independent events, in `nodes * n^3` operations. Here one bump a level replaces the exact
distribution: `levels * n^2`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from arlsort.amortized.config import NetworkConfig
from arlsort.numerics import noise as laws
from arlsort.numerics import prefixes

Array = jax.Array

_OUTERMOST = {"gaussian": 3.5, "cauchy": 120.0}  # levels before training
_FURTHEST = {"gaussian": 20.0, "cauchy": 1e6}  # comparisons beyond it are certain
_WIDEST = 4.0  # logarithm of the largest factor that the small network has on a width
_LEAST_WIDTH = 0.01  # in places: a bump so narrow stands for certainty
_LEAST_SHARE = 1e-3  # of a bump within the list
_SMALLEST = 1e-12  # its square, which gradients divide by, is far from underflow
# arctan(v) / (pi v) by powers of v squared, the highest first; coefficients of Hastings,
# Approximations for Digital Computers, Princeton 1955.
_ARCTAN = np.divide(
    (-0.0117212, 0.05265332, -0.11643287, 0.19354346, -0.33262347, 0.99997726), np.pi
)
_COMPARISONS = 2**15  # at a time, where several levels are so few: they stay near the processor


def _normal(v: Array) -> Array:
    """The normal distribution function to 0.0002, by one exponential."""
    return jax.nn.sigmoid(v * (1.5976 + 0.07056 * v**2))


@jax.custom_jvp
def _cauchy(v: Array) -> Array:
    """The Cauchy distribution function to 1e-6, without an arctangent, which is slow."""
    size = jnp.abs(v)
    near = jnp.where(size > 1, 1 / jnp.maximum(size, 1), size)
    turn = near * jnp.polyval(jnp.asarray(_ARCTAN, v.dtype), near**2)
    turn = jnp.where(size > 1, 0.5 - turn, turn)  # half turns between 0 and 1/2
    return 0.5 + jnp.sign(v) * turn


@_cauchy.defjvp
def _cauchy_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (v,), (change,) = primals, tangents
    return _cauchy(v), change / (np.pi * (1 + v**2))


_BELOW: Final[Mapping[str, Callable[[Array], Array]]] = {
    "gaussian": _normal,
    "cauchy": _cauchy,
}


class _Levels(NamedTuple):
    """The levels, `[level, 1, ...]`, from the lowest in the shipped weights.

    Attributes:
      noise: The noise u of the element itself.
      log_weight: Logarithm of the weight of a bump, before the small network changes it.
      upward: 1 above zero; -1 below, where the small network sees everything upside down.
      bias: Tells the small network which level it is, `[width, level, 1, ...]`.
    """

    noise: Array
    log_weight: Array
    upward: Array
    bias: Array


class _Moments(NamedTuple):
    """Of the place of an element at a level, `[level, element, ...]`."""

    mean: Array
    variance: Array
    third: Array


class _Bumps(NamedTuple):
    """Bumps over places, `[level, element, ...]`.

    Attributes:
      weight: They sum to one over the levels.
      centre: A place.
      width: About the standard deviation.
      lean: From -1 to 1: the upper side is steeper where it is above zero.
    """

    weight: Array
    centre: Array
    width: Array
    lean: Array


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
        n, dtype = differences.shape[-1], differences.dtype
        # Axes are [other, element, ...]: with the lists last, rows are long whatever the length.
        apart = jnp.moveaxis(differences, (-1, -2), (0, 1))
        others = _lifted(1 - jnp.eye(n, dtype=dtype), apart.ndim)
        items = jnp.full((1,) * apart.ndim, n, dtype)
        if count is not None:
            items = count.astype(dtype)[None, None]
            others = others * (_lifted(jnp.arange(n, dtype=dtype), apart.ndim) < items)
        if noise_scales is not None:
            noise_scales = jnp.moveaxis(noise_scales, -1, 0)
        levels = self._levels(dtype, apart.ndim)
        at_a_time = _levels_at_a_time(2 * self._config.levels, apart.shape)

        # What is checkpointed is computed again for the gradient, which else would store it all.
        @jax.checkpoint
        def moments(noise: Array) -> _Moments:
            return self._moments(noise, apart, noise_scales, others)

        bumps = self._bumps(_mapped(moments, at_a_time, levels.noise), items, levels)
        edges = _lifted(jnp.arange(n + 1, dtype=dtype) - 0.5, apart.ndim)

        @jax.checkpoint
        def below(bumps: _Bumps) -> Array:
            return _below_edges(bumps, edges, items)

        reached = _summed(below, at_a_time, bumps)
        places = jnp.maximum(reached[1:] - reached[:-1], 0.0)  # [place, element, ...]
        places = jnp.moveaxis(places, (0, 1), (-2, -1))
        inside = None
        if count is not None:
            inside = prefixes.square(count, places.shape)
            own = jnp.broadcast_to(jnp.eye(n, dtype=dtype), places.shape)
            places = jnp.where(inside, places, own)
        return balanced(places, self._config, inside)

    def _levels(self, dtype: DTypeLike, ndim: int) -> _Levels:
        count, size = self._config.levels, self._config.width

        def of_levels(name: str, start: Callable[[], ArrayLike]) -> Array:
            return hk.get_parameter(
                name, (count,), jnp.float32, lambda shape, dtype: jnp.asarray(start(), dtype)
            )

        def mirrored(below: Array, above: Array) -> Array:
            whole = jnp.concatenate([jnp.flip(below, axis=-1), above], axis=-1)
            return _lifted(whole.astype(dtype), whole.ndim - 1 + ndim)

        noise = jnp.sinh(of_levels("levels", lambda: np.arcsinh(self._first_levels())))
        log_weight = of_levels("log_weight", self._first_log_weights)
        fill = hk.initializers.RandomNormal(0.5)
        bias = hk.get_parameter("level_bias", (size, count), jnp.float32, fill)
        upward = jnp.ones_like(noise)
        return _Levels(
            mirrored(-noise, noise),
            mirrored(log_weight, log_weight),
            mirrored(-upward, upward),
            mirrored(bias, bias),
        )

    def _first_levels(self) -> np.ndarray:
        """Levels above zero before training: evenly spaced, or ever further apart in long tails."""
        share = (np.arange(self._config.levels) + 0.5) / self._config.levels
        furthest = _OUTERMOST[self._noise]
        if self._noise == "cauchy":
            return np.sinh(share * np.arcsinh(furthest))
        return share * furthest

    def _first_log_weights(self) -> Array:
        """Logarithms of about how much noise there is between a level and the one below."""
        ends = np.append(0.0, self._first_levels())
        density = laws.law(self._noise).log_density(jnp.asarray(ends[1:]))
        return jnp.log(jnp.asarray(np.diff(ends))) + density

    def _moments(
        self, noise: Array, apart: Array, noise_scales: Array | None, others: Array
    ) -> _Moments:
        """Moments of the place at some levels, `[level, element, ...]`."""
        apart, noise = apart[None], noise[:, None]  # [level, other, element, ...]
        if noise_scales is None:
            apart = apart + noise
        else:
            own, theirs = noise_scales[None, None], noise_scales[None, :, None]
            apart = (apart + own * noise) / theirs
        furthest = _FURTHEST[self._noise]
        below = _BELOW[self._noise](jnp.clip(apart, -furthest, furthest)) * others[None]
        variance = below * (1 - below)
        third = variance * (1 - 2 * below)
        return _Moments(*(jnp.sum(each, axis=1) for each in (below, variance, third)))

    def _bumps(self, moments: _Moments, items: Array, levels: _Levels) -> _Bumps:
        """All bumps."""
        (mean, variance, third), size = moments, self._config.width
        above = items - 1 - mean
        ends = jnp.zeros_like(mean[:1]), jnp.broadcast_to(items - 1, mean[:1].shape)
        around = jnp.concatenate([ends[0], mean, ends[1]])  # the place if the noise has no limit
        to_next, to_last = around[2:] - mean, mean - around[:-2]
        pairs = ((mean, above), (above, mean), (to_next, to_last), (to_last, to_next))
        seen = [jnp.maximum(jnp.where(levels.upward > 0, a, b), 0.0) for a, b in pairs]
        skew = levels.upward * third / (variance + 0.01)
        inputs = [jnp.log(variance + 1e-3), skew, *(jnp.log(a + 0.05) for a in seen)]
        fill = hk.initializers.RandomNormal
        shape, scale = (size, len(inputs)), len(inputs) ** -0.5
        first = hk.get_parameter("first_w", shape, jnp.float32, fill(scale))
        state = jax.nn.gelu(jnp.tensordot(first, jnp.stack(inputs), axes=1) + levels.bias)
        out = hk.get_parameter("bump_w", (4, size), jnp.float32, fill(0.1 * size**-0.5))
        bias = hk.get_parameter("bump_b", (4,), jnp.float32, jnp.zeros)
        found = jnp.tensordot(out, state, axes=1) + _lifted(bias, state.ndim)
        weight = jax.nn.softmax(found[0] + levels.log_weight, axis=0)
        deviation = jnp.sqrt(variance**2 / (variance + 1 / 12) + _LEAST_WIDTH**2)
        centre = mean + levels.upward * found[1] * deviation
        wider = jnp.exp(jnp.clip(found[2], -_WIDEST, _WIDEST))
        return _Bumps(weight, centre, deviation * wider, levels.upward * jnp.tanh(found[3]))


def _below_edges(bumps: _Bumps, edges: Array, items: Array) -> Array:
    """How much of the bumps of each element is below each edge between places.

    Args:
      bumps: Of some levels.
      edges: `[edge, 1, ...]`.
      items: How many elements a list has, `[1, 1, ...]`. A bump has its weight within the list.
    """

    def below(edge: Array, bumps: _Bumps) -> Array:
        away = (edge - bumps.centre) / bumps.width
        return _normal(away + bumps.lean * (jnp.sqrt(1 + away**2) - 1))

    share = below(items - 0.5, bumps) - below(jnp.full_like(items, -0.5), bumps)
    weight = bumps.weight / jnp.maximum(share, _LEAST_SHARE)
    reached = below(edges[None], _Bumps(*(each[:, None] for each in bumps)))
    return jnp.sum(weight[:, None] * reached, axis=0)


def _parts(at_a_time: int, levels: Any) -> Any:
    def split(each: Array) -> Array:
        return each.reshape(each.shape[0] // at_a_time, at_a_time, *each.shape[1:])

    return jax.tree.map(split, levels)


def _mapped(function: Callable[[Any], Any], at_a_time: int, levels: Any) -> Any:
    """Applies a function to some levels at a time."""
    if at_a_time == jax.tree.leaves(levels)[0].shape[0]:
        return function(levels)
    found = jax.lax.map(function, _parts(at_a_time, levels))

    def join(each: Array) -> Array:
        return each.reshape(each.shape[0] * at_a_time, *each.shape[2:])

    return jax.tree.map(join, found)


def _summed(function: Callable[[_Bumps], Array], at_a_time: int, bumps: _Bumps) -> Array:
    """Sums a function of some levels at a time."""
    if at_a_time == bumps.weight.shape[0]:
        return function(bumps)
    parts = _parts(at_a_time, bumps)

    def add(total: Array, part: Any) -> tuple[Array, None]:
        return total + function(part), None

    first = function(jax.tree.map(lambda each: each[0], parts))
    return jax.lax.scan(add, first, jax.tree.map(lambda each: each[1:], parts))[0]


def _lifted(array: Array, ndim: int) -> Array:
    """Appends axes of one."""
    return array.reshape(array.shape + (1,) * (ndim - array.ndim))


def _levels_at_a_time(levels: int, shape: tuple[int, ...]) -> int:
    """The largest divisor of the number of levels with few comparisons at a time, or 1."""
    if not all(type(size) is int for size in shape):
        return 1  # lists of an exported function, whose number is not known
    most = max(1, _COMPARISONS // max(1, math.prod(shape)))
    return max(number for number in range(1, levels + 1) if levels % number == 0 and number <= most)


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
