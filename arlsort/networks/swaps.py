# SPDX-License-Identifier: Apache-2.0
"""How softly a comparator swaps: distributions, and what it makes of scores and of rows."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.scipy.special import ndtr
from jax.typing import ArrayLike

# Differences are cut off at this many temperatures. Every swap distribution is then within one
# rounding step of its limit, and neither its argument nor that argument squared overflows.
_SATURATION = 2.0**60

# Keeps the activation replacement trick finite at zero; the value of the reference.
_ART_EPSILON = 1e-10


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
    "logistic_art": jax.nn.sigmoid,  # of an argument that `_Difference` bends
    "gaussian": ndtr,
    "reciprocal": _reciprocal,
    "cauchy": _cauchy,
    "optimal": _optimal,
}
"""Swap distributions: the weight with which a pair stays as it is."""


def log_sum_exp(a: jax.Array, b: jax.Array, temperature: ArrayLike = 1.0) -> jax.Array:
    """A smooth maximum of two: `t log(exp(a / t) + exp(b / t))`, with t the temperature.

    Args:
      a: Scores, floating.
      b: Scores of the same shape and dtype.
      temperature: In the unit of the scores; > 0.

    Returns:
      What is above both, by t log 2 at most; of the shape and dtype of the scores.

    Example:
      >>> import jax.numpy as jnp
      >>> print(log_sum_exp(jnp.array([0.0, 50.0]), jnp.array([90.0, -50.0])).round(1))
      [90. 50.]
    """
    return jnp.logaddexp(a / temperature, b / temperature) * temperature


def smooth_maximum(a: jax.Array, b: jax.Array, temperature: ArrayLike = 1.0) -> jax.Array:
    """A smooth maximum of two: both mixed by the softmax of `a / t` and `b / t`.

    That is what a comparator with logistic swaps makes of two scores.

    Args:
      a: Scores, floating.
      b: Scores of the same shape and dtype.
      temperature: In the unit of the scores; > 0.

    Returns:
      What is between both; of the shape and dtype of the scores.

    Example:
      >>> import jax.numpy as jnp
      >>> print(smooth_maximum(jnp.array([0.0, 50.0]), jnp.array([90.0, -50.0])).round(1))
      [90. 50.]
    """
    weight = jax.nn.sigmoid((a - b) / temperature)
    return weight * a + (1 - weight) * b


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["temperature", "art_lambda"],
    meta_fields=["distribution", "error_free"],
)
@dataclasses.dataclass(frozen=True)
class Swap:
    """A comparator: scores `a` and `b` meet and each goes on as a mixture of both.

    The first wire gets `α a + (1 - α) b`, the last one the rest, with `α = F(v)` and
    `v = sign (b - a) / temperature`. The sign is 1 where the smaller score goes to the first wire,
    -1 where it goes to the last, and 0 where there is no comparator and all stay as they are.

    Attributes:
      distribution: Which F.
      error_free: Whether to swap exactly forward, with the gradient of the soft swap.
      temperature: A scalar of the dtype of the scores.
      art_lambda: The exponent of the activation replacement trick, of use to `logistic_art` alone.
    """

    distribution: str
    error_free: bool
    temperature: jax.Array
    art_lambda: jax.Array

    def scores(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Gives what goes on along the first and the last wire of each pair."""
        return _scores(self, a, b, sign)

    def keep(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> jax.Array:
        """Gives α: the weight with which each pair stays as it is."""
        one = jnp.ones((), a.dtype)
        kept = _blend(self, self._argument(a, b, sign), one, jnp.zeros_like(one))
        return jnp.where(sign == 0, one, kept)

    def rows(
        self,
        a: jax.Array,
        b: jax.Array,
        sign: jax.Array,
        first: jax.Array,
        last: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """Gives what becomes of rows that travel with the scores `a` and `b`."""
        v = self._argument(a, b, sign)
        blended = _blend(self, v, first, last), _blend(self, v, last, first)
        return jnp.where(sign == 0, first, blended[0]), jnp.where(sign == 0, last, blended[1])

    def _argument(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> jax.Array:
        difference = sign * (b - a)
        v = _in_temperatures(difference, self.temperature)
        return v if self.distribution != "logistic_art" else self._bend(v, difference)

    def _bend(self, v: jax.Array, difference: jax.Array) -> jax.Array:
        size = jnp.minimum(jnp.abs(difference), _SATURATION * self.temperature)
        return v / (size + _ART_EPSILON) ** self.art_lambda

    def _weight(self, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        """F and its derivative."""
        return jax.jvp(DISTRIBUTIONS[self.distribution], (v,), (jnp.ones_like(v),))


def _in_temperatures(difference: jax.Array, temperature: jax.Array) -> jax.Array:
    # The division never sees what would overflow, so that no gradient does either.
    saturated = jnp.abs(difference) >= _SATURATION * temperature
    v = jnp.where(saturated, 0.0, difference) / temperature
    return jnp.where(saturated, _SATURATION * jnp.sign(difference), v)


@jax.custom_jvp
def _scores(swap: Swap, a: jax.Array, b: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
    if swap.error_free:
        falls = sign * (b - a) < 0  # of equal scores, and of pairs without comparator, none moves
        return jnp.where(falls, b, a), jnp.where(falls, a, b)
    keep = jnp.where(sign == 0, 1.0, DISTRIBUTIONS[swap.distribution](swap._argument(a, b, sign)))
    return keep * a + (1 - keep) * b, (1 - keep) * a + keep * b


@functools.partial(_scores.defjvp, symbolic_zeros=True)
def _scores_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    # The Jacobian of a pair by its scores is that of a mixture again, [[κ, 1 - κ], [1 - κ, κ]],
    # with κ = α + v F'(v): one number to keep for the gradient, and no product of large terms.
    swap, a, b, sign = primals
    by_swap, da, db, _ = tangents
    da, db = (_dense(d, like) for d, like in ((da, a), (db, b)))
    difference = sign * (b - a)
    plain = _in_temperatures(difference, swap.temperature)
    v, elasticity = plain, jnp.ones_like(plain)
    if swap.distribution == "logistic_art":
        v = swap._bend(plain, difference)
        size = jnp.minimum(jnp.abs(difference), _SATURATION * swap.temperature)
        elasticity = 1 - swap.art_lambda * size / (size + _ART_EPSILON)
    weight, slope = swap._weight(v)
    kappa = jnp.where(sign == 0, 1.0, weight + elasticity * v * slope)
    first = db + kappa * (da - db)
    last = da + db - first
    change: Any = 0.0
    if not isinstance(by_swap.temperature, SymbolicZero):
        change = change + sign * plain * (v * slope) * by_swap.temperature
    if swap.distribution == "logistic_art" and not isinstance(by_swap.art_lambda, SymbolicZero):
        log = jnp.log(size + _ART_EPSILON)
        change = change + sign * difference * (v * slope * log) * by_swap.art_lambda
    out = _scores(swap, a, b, sign)
    return out, (first + change, last - change)


def _dense(tangent: Any, like: jax.Array) -> jax.Array:
    return jnp.zeros_like(like) if isinstance(tangent, SymbolicZero) else tangent


@jax.custom_jvp
def _blend(swap: Swap, v: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """Mixes a and b; a has the weight `F(v)`."""
    if swap.error_free:
        return jnp.where(v < 0, b, a)
    keep = DISTRIBUTIONS[swap.distribution](v)
    return keep * a + (1 - keep) * b


@_blend.defjvp
def _blend_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    # Written out for the order of its products. The product rule would give `a - b` as a sum of
    # large terms, whose rounding swamps the gradient where scores are large and near each other;
    # and `a - b` times a cotangent can overflow, which its product with the slope cannot.
    swap, v, a, b = primals
    _, dv, da, db = tangents
    keep, slope = swap._weight(v)
    tangent = keep * da + (1 - keep) * db + ((a - b) * slope) * dv
    return _blend(*primals), tangent
