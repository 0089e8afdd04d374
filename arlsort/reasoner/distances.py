# SPDX-License-Identifier: Apache-2.0
"""How far a soft permutation is from the exact mean permutation of noisy scores.

`arlsort.accuracy` measures whole operators, with their gradients. It stands above operators, this
below them. The two replace a weight of zero by different small numbers. Cards hold numbers of both,
so neither can change.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp

from arlsort.numerics.mean_permutation import mean_permutation
from arlsort.reasoner import scale

Array = jax.Array

_TINY: Final = 1e-9  # so that weights of zero have a logarithm


class Distance(NamedTuple):
    """How far soft permutations are from mean ones, over some lists.

    Attributes:
      divergence: Kullback-Leibler distance in nats, mean over positions and lists.
      value_error: Largest error of a soft value as a share of the list's range, mean over lists.
      worst_value_error: The same of the worst list.
    """

    divergence: Array
    value_error: Array
    worst_value_error: Array


def uniform(key: Array, lists: int, n: int) -> Array:
    """Uniform scores `[lists, n]`."""
    return jax.random.uniform(key, (lists, n))


def zeros_and_ones(key: Array, lists: int, n: int) -> Array:
    """Zeros and ones `[lists, n]`; the first is zero and the last one."""
    drawn = jax.random.bernoulli(key, 0.5, (lists, n)).astype(jnp.float32)
    return drawn.at[:, 0].set(0.0).at[:, -1].set(1.0)


LAWS: Final[Mapping[str, Callable[[Array, int, int], Array]]] = {
    "uniform": uniform,
    "zeros_and_ones": zeros_and_ones,
}
"""Laws of the lists that distances are measured on."""


def distance(
    permutation: Callable[[Array], Array], scores: Array, temperature: float | Array, noise: str
) -> Distance:
    """Measures P on lists whose noise is a share of their range.

    Args:
      permutation: P `[b, n, n]` of scores `[b, n]` in units of the noise.
      scores: `[b, n]`.
      temperature: Scale of the noise as a share of the range of each list.
      noise: Its law.

    Example:
      >>> import jax.numpy as jnp
      >>> exact = lambda x: mean_permutation(x, "gaussian")
      >>> found = distance(exact, jnp.array([[0.0, 3.0, 1.0]]), 0.1, "gaussian")
      >>> float(found.divergence), float(found.worst_value_error)
      (0.0, 0.0)
    """
    x = scale.unit_range(scores) / temperature
    truth, found = mean_permutation(x, noise), permutation(x)
    logs = jnp.log(truth + _TINY) - jnp.log(found + _TINY)
    errors = jnp.abs(jnp.einsum("bij,bj->bi", found - truth, x)).max(-1) * temperature
    return Distance(
        jnp.mean(jnp.sum(truth * logs, axis=-1)), jnp.mean(errors), jnp.max(errors, initial=0.0)
    )
