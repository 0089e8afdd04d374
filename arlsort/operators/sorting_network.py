# SPDX-License-Identifier: Apache-2.0
"""Differentiable sorting networks: odd-even and bitonic, for any number of wires."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import ndtr
from jax.typing import ArrayLike

from arlsort.operators import base

# Differences are cut off at this many temperatures. Every swap distribution is then within one
# rounding step of its limit, and neither its argument nor that argument squared overflows.
_SATURATION = 2.0**60

# Keeps the activation replacement trick finite at zero; the value of the reference.
_ART_EPSILON = 1e-10

# Pairs of odd-even layers that are compiled in a row; more only lengthen compilation.
_UNROLL = 4


def _reciprocal(v: jax.Array) -> jax.Array:
    return 0.5 + 0.5 * v / (2.0 + jnp.abs(v))


def _cauchy(v: jax.Array) -> jax.Array:
    return 0.5 + jnp.arctan(v) / math.pi


def _optimal(v: jax.Array) -> jax.Array:
    size = jnp.abs(v)
    tail = 1.0 - 0.0625 / jnp.maximum(size, 0.25)
    return jnp.where(size <= 0.25, 0.5 + v, jnp.where(v > 0, tail, 1.0 - tail))


DISTRIBUTIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "logistic": jax.nn.sigmoid,
    "logistic_art": jax.nn.sigmoid,  # of an argument that `SortingNetwork._argument` bends
    "gaussian": ndtr,
    "reciprocal": _reciprocal,
    "cauchy": _cauchy,
    "optimal": _optimal,
}
"""Swap distributions: the weight with which a pair stays as it is."""


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _blend(distribution: str, v: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """Mixes a and b; a has the weight `F(v)`."""
    keep = DISTRIBUTIONS[distribution](v)
    return keep * a + (1 - keep) * b


@_blend.defjvp
def _blend_jvp(
    distribution: str, primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    # Written out for the order of its products. The product rule would give `a - b` as a sum of
    # large terms, whose rounding swamps the gradient where scores are large and near each other;
    # and `a - b` times a cotangent can overflow, which its product with the slope cannot.
    v, a, b = primals
    dv, da, db = tangents
    keep, slope = jax.jvp(DISTRIBUTIONS[distribution], (v,), (jnp.ones_like(v),))
    tangent = keep * da + (1 - keep) * db + ((a - b) * slope) * dv
    return keep * a + (1 - keep) * b, tangent


@dataclasses.dataclass(frozen=True)
class Comparators:
    """Equal blocks of neighbouring wires, each comparing its first wires with its last ones.

    A block has `gap + width` wires; wire `k < width` of it meets wire `k + gap`, and the
    `gap - width` wires in between are idle.

    Attributes:
      start: The first wire of the first block.
      gap: The distance of the two wires of a comparator.
      width: The comparators of a block.
      ascending: For each block, whether the smaller score goes to the first wire.
    """

    start: int
    gap: int
    width: int
    ascending: tuple[bool, ...]

    @property
    def stop(self) -> int:
        """The wire after the last block."""
        return self.start + len(self.ascending) * (self.gap + self.width)


def odd_even_layer(n: int, start: int) -> tuple[Comparators, ...]:
    """Gives one of the two layers of an odd-even network: they alternate, from `start` 0 and 1."""
    return (Comparators(start, 1, 1, (True,) * ((n - start) // 2)),)


def bitonic_layers(n: int) -> list[tuple[Comparators, ...]]:
    """Gives the layers of a bitonic network on n wires.

    For n that is not a power of two, the network is that of the next power of two without its
    first wires: a comparator that would touch one of these is left out.
    """
    stages = (n - 1).bit_length()
    absent = 2**stages - n
    layers = []
    for stage in range(stages):
        for gap in (2**k for k in range(stage, -1, -1)):
            # In the full network, blocks of `2 * gap` wires; the direction alternates every
            # `2 ** (stage + 1)` wires.
            directions = [(s >> (stage + 1)) % 2 == 0 for s in range(0, 2**stages, 2 * gap)]
            cut, rest = divmod(absent, 2 * gap)
            groups = []
            start = 0
            if rest:  # one block has lost its first `rest` wires
                start = 2 * gap - rest
                if start > gap:
                    groups.append(Comparators(0, gap, start - gap, (directions[cut],)))
                cut += 1
            groups.append(Comparators(start, gap, gap, tuple(directions[cut:])))
            layers.append(tuple(g for g in groups if g.ascending))
    return layers


@base.register
@dataclasses.dataclass(frozen=True)
class SortingNetwork(base.Operator):
    r"""A sorting network whose comparators swap softly.

    A comparator on scores `a`, `b` returns `α a + (1 - α) b` as its smaller and
    `(1 - α) a + α b` as its larger output, where `α = F((b - a) / temperature)` and F is the
    distribution function of the named distribution:

    * `logistic`: `1 / (1 + exp(-v))`
    * `logistic_art`: the same of `v / (|b - a| + 1e-10) ** art_lambda`, the activation replacement
      trick
    * `gaussian`: the normal distribution function
    * `reciprocal`: `(v / (2 + |v|) + 1) / 2`
    * `cauchy`: `1/2 + arctan(v) / π`
    * `optimal`: `1/2 + v` for `|v| <= 1/4`, beyond that `1 - 1 / (16 v)` or `-1 / (16 v)`

    The last four except the Gaussian make the network monotonic. Values and rows go through the
    layers directly, n of them (odd-even) or about `log2(n)**2 / 2` (bitonic); the permutation is
    what the layers do to the unit matrix. It is doubly stochastic. It depends on which input is on
    which wire, so it is not equivariant.

    Attributes:
      network: `odd_even` or `bitonic`.
      distribution: The name of a swap distribution.
      temperature: `1 / steepness` (the papers' β), in the unit of the scores; > 0.
      art_lambda: The papers' λ, in [0, 1]; only `logistic_art` has it.

    Raises:
      ValueError: If a hyperparameter is unknown or out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> network = SortingNetwork("bitonic", temperature=0.01)
      >>> print(network.sort(jnp.array([3.0, 1.0, 2.0])).round(1))
      [1. 2. 3.]

    References:
      Petersen et al., Differentiable Sorting Networks for Scalable Sorting and Ranking
      Supervision, ICML 2021. Petersen et al., Monotonic Differentiable Sorting Networks,
      ICLR 2022.
    """

    network: str = dataclasses.field(default="odd_even", metadata=base.STATIC)
    distribution: str = dataclasses.field(default="cauchy", metadata=base.STATIC)
    temperature: ArrayLike = 0.1
    art_lambda: ArrayLike = 0.25

    doubly_stochastic: ClassVar[bool] = True
    equivariant: ClassVar[bool] = False
    # Cauchy tails fall only as temperature / difference.
    hard_limit: ClassVar[float] = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        base.check_choice("network", self.network, ("odd_even", "bitonic"))
        base.check_choice("distribution", self.distribution, tuple(DISTRIBUTIONS))
        base.check_positive("temperature", self.temperature)
        base.check_number("art_lambda", self.art_lambda, "a number in [0, 1]", 0.0, 1.0)
        unused = self.distribution != "logistic_art" and isinstance(self.art_lambda, float)
        if unused and self.art_lambda != type(self).art_lambda:
            raise ValueError(
                base.complaint(
                    "art_lambda",
                    f"{self.art_lambda} with distribution {self.distribution!r}",
                    "its default, or distribution 'logistic_art'",
                )
            )

    def _permutation(self, scores: jax.Array) -> jax.Array:
        n = scores.shape[-1]
        unit = jnp.broadcast_to(jnp.eye(n, dtype=scores.dtype), (*scores.shape, n))
        return self._apply(scores, unit)

    def _apply(self, scores: jax.Array, rows: jax.Array) -> jax.Array:
        return self._run((scores[..., None], rows))[1]

    def _sort(self, scores: jax.Array) -> jax.Array:
        return self._run((scores[..., None],))[0][..., 0]

    def _run(self, wires: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """Sends arrays `[..., n, d]` through all layers; the first holds the scores, d = 1."""
        n = wires[0].shape[-2]
        if self.network == "bitonic":
            for layer in bitonic_layers(n):
                wires = self._layer(layer, wires)
            return wires
        even, odd = odd_even_layer(n, 0), odd_even_layer(n, 1)

        def both(carry: tuple[jax.Array, ...], _: None) -> tuple[tuple[jax.Array, ...], None]:
            return self._layer(odd, self._layer(even, carry)), None

        wires, _ = lax.scan(both, wires, None, length=n // 2, unroll=min(n // 2, _UNROLL))
        return self._layer(even, wires) if n % 2 else wires

    def _layer(
        self, layer: tuple[Comparators, ...], wires: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, ...]:
        for comparators in layer:
            if comparators.ascending:
                wires = self._exchange(comparators, wires)
        return wires

    def _exchange(
        self, comparators: Comparators, wires: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, ...]:
        blocks, gap, width = len(comparators.ascending), comparators.gap, comparators.width
        start, stop, n = comparators.start, comparators.stop, wires[0].shape[-2]

        def cut(array: jax.Array) -> jax.Array:
            part = lax.slice_in_dim(array, start, stop, axis=-2)
            return part.reshape(*array.shape[:-2], blocks, gap + width, array.shape[-1])

        parts = [cut(array) for array in wires]  # [..., blocks, gap + width, d]
        first = parts[0][..., :width, :]
        last = parts[0][..., gap:, :]
        v = self._argument(comparators.ascending, last - first)  # [..., blocks, width, 1]
        blend = functools.partial(_blend, self.distribution, v)

        def mix(array: jax.Array, part: jax.Array) -> jax.Array:
            a, idle, b = part[..., :width, :], part[..., width:gap, :], part[..., gap:, :]
            new = jnp.concatenate([blend(a, b), idle, blend(b, a)], axis=-2)
            new = new.reshape(*array.shape[:-2], stop - start, array.shape[-1])
            head = lax.slice_in_dim(array, 0, start, axis=-2)
            tail = lax.slice_in_dim(array, stop, n, axis=-2)
            return jnp.concatenate([head, new, tail], axis=-2)

        return tuple(mix(array, part) for array, part in zip(wires, parts, strict=True))

    def _argument(self, ascending: tuple[bool, ...], difference: jax.Array) -> jax.Array:
        """What the swap distribution is taken of: differences in temperatures."""
        if not all(ascending):
            signs = np.where(ascending, 1.0, -1.0).astype(difference.dtype)
            difference = difference * signs.reshape((1,) * (difference.ndim - 3) + (-1, 1, 1))
        # The division never sees what would overflow, so that no gradient does either.
        limit = _SATURATION * self.temperature
        saturated = jnp.abs(difference) >= limit
        v = jnp.where(saturated, 0.0, difference) / self.temperature
        v = jnp.where(saturated, _SATURATION * jnp.sign(difference), v)
        if self.distribution == "logistic_art":
            size = jnp.minimum(jnp.abs(difference), limit)
            v = v / (size + _ART_EPSILON) ** self.art_lambda
        return v
