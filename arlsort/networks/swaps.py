# SPDX-License-Identifier: Apache-2.0
"""Soft comparators: their distributions, and how they mix scores and rows."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

from arlsort.numerics import normal

# What moves from one score to the other, size times F(-size / t), is at its limit from this many
# temperatures on, whatever the distribution.
_SATURATION = 2.0**60

# Keeps the activation replacement trick finite at zero; the value of the reference.
_ART_EPSILON = 1e-10


def _reciprocal(v: jax.Array) -> jax.Array:
    return 1.0 / (2.0 + v)


def _cauchy(v: jax.Array) -> jax.Array:
    # The arctangent of two arguments takes three times as long.
    far = v > 1.0
    angle = jnp.arctan(jnp.where(far, 1.0 / jnp.maximum(v, 1.0), v)) / math.pi
    return jnp.where(far, angle, 0.5 - angle)


def _cauchy_forward(v: jax.Array) -> jax.Array:
    """The same to a rounding, in fewer steps; at zero it has no derivative."""
    return jnp.arctan(1.0 / jnp.maximum(v, 0.25 * float(jnp.finfo(v.dtype).eps))) / math.pi


def _optimal(v: jax.Array) -> jax.Array:
    return jnp.where(v <= 0.25, 0.5 - v, 0.0625 / jnp.maximum(v, 0.25))


def _logistic(v: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(-v)


def _gaussian(v: jax.Array) -> jax.Array:
    return normal.distribution(-v)


DISTRIBUTIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "logistic": _logistic,
    "logistic_art": _logistic,  # of an argument that `argument` bends
    "gaussian": _gaussian,
    "reciprocal": _reciprocal,
    "cauchy": _cauchy,
    "optimal": _optimal,
}
"""Swap distributions F, each by its tail: `F(-v)` for `v >= 0`, to the last digit.

It is the weight with which a pair in the right order is exchanged. It is not computed as 1 - F(v),
because rounding would lose the small share of a score of -1e9.
"""


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
        """Gives the new scores on the first and the last wire of each pair."""
        return _scores(self, a, b, sign)

    def keep(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> jax.Array:
        """Gives α and 1 - α, `[2, ...]`: the weights of staying and of changing places."""
        one = jnp.ones((), a.dtype)
        return jnp.stack(self.rows(a, b, sign, one, jnp.zeros_like(one)))

    def rows(
        self,
        a: jax.Array,
        b: jax.Array,
        sign: jax.Array,
        first: jax.Array,
        last: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """Mixes the rows that travel with the scores `a` and `b`."""
        return self.mix(self.argument(a, b, sign), sign, first, last)

    def mix(
        self, v: jax.Array, sign: jax.Array, first: jax.Array, last: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Mixes two rows, of which the first keeps the weight F(v); where the sign is 0, all."""
        return _rows(self, v, sign, first, last)

    def argument(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> jax.Array:
        """The argument v of F, finite for all scores and temperatures."""
        difference = sign * (b - a)
        if self.distribution == "logistic_art":
            difference = difference / (jnp.abs(difference) + _ART_EPSILON) ** self.art_lambda
        # The division never sees what would overflow, so that no gradient does either.
        largest = 1.0 / float(jnp.finfo(difference.dtype).tiny)
        saturated = jnp.abs(difference) >= largest * self.temperature
        v = jnp.where(saturated, 0.0, difference) / self.temperature
        return jnp.where(saturated, largest * jnp.sign(difference), v)

    def density(self, v: jax.Array) -> jax.Array:
        """The derivative of F at v, for `v >= 0`."""
        return self._tail(v)[1]

    def _tail(self, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`F(-v)` and the derivative of F there, for `v >= 0`."""
        tail, fall = jax.jvp(DISTRIBUTIONS[self.distribution], (v,), (jnp.ones_like(v),))
        return tail, -fall

    def _sizes(self, size: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The factor of a tail and its argument, for a difference."""
        bound = _SATURATION * self.temperature
        if self.distribution == "logistic_art":
            bent = size / (size + _ART_EPSILON) ** self.art_lambda
            return size, jnp.minimum(bent, bound) / self.temperature
        size = jnp.minimum(size, bound)
        return size, size / self.temperature


@jax.custom_jvp
def _scores(swap: Swap, a: jax.Array, b: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
    difference = sign * (b - a)
    falls = difference < 0  # of equal scores, and of pairs without comparator, none moves
    first, last = jnp.where(falls, b, a), jnp.where(falls, a, b)
    if swap.error_free:
        return first, last
    # Beside -1e9, weights times scores would round off the others: what moves is small.
    size, v = swap._sizes(jnp.abs(difference))
    tail = _cauchy_forward if swap.distribution == "cauchy" else DISTRIBUTIONS[swap.distribution]
    moved = sign * (size * tail(v))
    return first + moved, last - moved


@functools.partial(_scores.defjvp, symbolic_zeros=True)
def _scores_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    # The Jacobian of a pair by its scores is that of a mixture again, [[κ, 1 - κ], [1 - κ, κ]],
    # with κ = α + v F'(v): one number to keep for the gradient, and no product of large terms.
    swap, a, b, sign = primals
    by_swap, da, db, _ = tangents
    da, db = (_dense(d, like) for d, like in ((da, a), (db, b)))
    difference = sign * (b - a)
    size, v = swap._sizes(jnp.abs(difference))
    elasticity = jnp.ones_like(v)
    if swap.distribution == "logistic_art":
        elasticity = 1 - swap.art_lambda * (size / (size + _ART_EPSILON))
    tail, slope = swap._tail(v)
    moving = tail - elasticity * (v * slope)
    kappa = jnp.where(sign == 0, 1.0, jnp.where(difference < 0, moving, 1 - moving))
    first = db + kappa * (da - db)
    last = da + db - first
    change: Any = 0.0
    if not isinstance(by_swap.temperature, SymbolicZero):
        plain = jnp.minimum(size, _SATURATION * swap.temperature) / swap.temperature
        change = change + sign * (plain * (v * slope)) * by_swap.temperature
    if swap.distribution == "logistic_art" and not isinstance(by_swap.art_lambda, SymbolicZero):
        log = jnp.log(size + _ART_EPSILON)
        change = change + sign * (size * (v * slope * log)) * by_swap.art_lambda
    out = _scores(swap, a, b, sign)
    return out, (first + change, last - change)


def _dense(tangent: Any, like: jax.Array) -> jax.Array:
    return jnp.zeros_like(like) if isinstance(tangent, SymbolicZero) else tangent


@jax.custom_jvp
def _rows(
    swap: Swap, v: jax.Array, sign: jax.Array, first: jax.Array, last: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Mixes rows; the first keeps the weight `F(v)`."""
    if swap.error_free:
        return jnp.where(v < 0, last, first), jnp.where(v < 0, first, last)
    stay, leave = stay_or_leave(v, sign, DISTRIBUTIONS[swap.distribution](jnp.abs(v)))
    return stay * first + leave * last, leave * first + stay * last


def stay_or_leave(v: jax.Array, sign: jax.Array, tail: jax.Array) -> tuple[jax.Array, jax.Array]:
    """F(v) and F(-v), the smaller one as it is."""
    # Divided, not multiplied: a quotient XLA computes once for each pair, and what follows from one
    # number is cheap to compute again for each number of its rows.
    signed = jnp.where(sign == 0, 0.0, tail) / jnp.where(v < 0, -1.0, 1.0)
    falls = jnp.signbit(signed)  # of zero too
    return jnp.where(falls, -signed, 1.0 - signed), jnp.where(falls, 1.0 + signed, signed)


@_rows.defjvp
def _rows_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    # Written out for the order of its products. The product rule would give `a - b` as a sum of
    # large terms, whose rounding swamps the gradient where scores are large and near each other;
    # and `a - b` times a cotangent can overflow, which its product with the slope cannot.
    swap, v, sign, first, last = primals
    _, dv, _, dfirst, dlast = tangents
    tail, slope = swap._tail(jnp.abs(v))
    stay, leave = stay_or_leave(v, sign, tail)
    change = ((first - last) * jnp.where(sign == 0, 0.0, slope)) * dv
    tangents = (stay * dfirst + leave * dlast + change, leave * dfirst + stay * dlast - change)
    return _rows(*primals), tangents
