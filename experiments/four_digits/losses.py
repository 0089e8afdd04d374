# SPDX-License-Identifier: Apache-2.0
"""What is minimised when only the order of a list is known.

`bce` and `rows` compare a soft permutation with the true one; `error_free` does so for a network
that swaps exactly forward; `pointer` and `trace` compare what a learned sort points to, at its end
or after every step, with what the sort of the true order does; `likelihood` leads it along the true
order and asks how likely that is. The others are the controls of the comparison. They take scores
and no operator; but for `leveled_network`, they use no sort at all.

A loss is written `name[/temperature][+levels]`, as `pairwise/0.1` or `likelihood+levels`. The
temperature divides the scores, and is for losses without an operator that has one of its own. With
levels the network that reads also says of each number how sure it is, which is the scale of the
noise on its score.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from arlsort.checks import error_message
from arlsort.likelihood import cauchy_log_likelihood
from arlsort.networks import engine
from arlsort.operators.base import Operator
from arlsort.operators.hard import Hard
from arlsort.operators.learned import LearnedSort
from arlsort.operators.sorting_network import SortingNetwork
from arlsort.reasoner import traces
from arlsort.soft_permutation import from_order

OF_WEIGHTS = ("bce", "rows")
OF_ERROR_FREE = ("error_free",)
OF_POINTERS = ("pointer", "trace", "likelihood")
OF_SCORES = ("plackett_luce", "pairwise", "cauchy_pairs", "thurstone", "leveled_network")
LOSSES = ("auto", *OF_WEIGHTS, *OF_ERROR_FREE, *OF_POINTERS, *OF_SCORES)
WITH_LEVELS = ("likelihood", "cauchy_pairs", "thurstone", "leveled_network")

# PyTorch's `BCELoss`, which the published experiment uses, ends logarithms at -100 and the
# denominator of the gradient at 1e-12.
_LOG_FLOOR = -100.0
_DENOMINATOR_FLOOR = 1e-12


class Loss(NamedTuple):
    """A loss that was asked for, in parts."""

    name: str
    temperature: float = 1.0
    levels: bool = False


@functools.cache
def parse(text: str) -> Loss:
    """Reads `name[/temperature][+levels]`.

    Raises:
      ValueError: If it is not of that form, or asks for what the loss does not have.

    Example:
      >>> parse("thurstone/0.1+levels")
      Loss(name='thurstone', temperature=0.1, levels=True)
    """
    rest, plus, levels = text.partition("+")
    name, slash, number = rest.partition("/")
    if name not in LOSSES:
        raise ValueError(error_message("loss", repr(name), ", ".join(LOSSES)))
    if plus and (levels != "levels" or name not in WITH_LEVELS):
        raise ValueError(error_message("loss", text, f"+levels after {', '.join(WITH_LEVELS)}"))
    temperature = 1.0
    if slash:
        try:
            temperature = float(number)
        except ValueError:
            temperature = math.nan
        if name not in OF_SCORES or not 0 < temperature < math.inf:
            allowed = f"a temperature > 0 after {', '.join(OF_SCORES)}"
            raise ValueError(error_message("loss", text, allowed))
    return Loss(name, temperature, bool(plus))


def choose(loss: str, operator: Operator) -> str:
    """Says which loss an operator is trained with.

    Args:
      loss: One of `LOSSES`, with what `parse` allows. "auto" takes "likelihood" for a learned sort
        that has one, else "pointer"; "error_free" for a network with exact swaps; and "bce" for
        all others.
      operator: The operator.

    Returns:
      The loss, not "auto".

    Raises:
      ValueError: If the loss is not one of the operator: those of pointers are of a learned sort
        alone, "error_free" of a network with exact swaps alone, and those of scores, in which no
        operator takes part, of the exact sort alone.
    """
    known: tuple[str, ...] = OF_WEIGHTS
    auto = "bce"
    if isinstance(operator, SortingNetwork) and operator.error_free:
        known += OF_ERROR_FREE
        auto = "error_free"
    if isinstance(operator, LearnedSort):
        known += OF_POINTERS
        auto = "likelihood" if operator.has_likelihood else "pointer"
    if loss == "auto":
        return auto
    if isinstance(operator, Hard):
        known += OF_SCORES
    if parse(loss).name not in known:
        raise ValueError(
            error_message("loss", f"{loss} for {type(operator).__name__}", ", ".join(known))
        )
    return loss


def order_loss(
    kind: str,
    operator: Operator,
    scores: jax.Array,
    numbers: jax.Array,
    key: jax.Array,
    levels: jax.Array | None = None,
) -> jax.Array:
    """Computes the mean loss over lists.

    Equal numbers are ordered by their place in the list (a stable argsort), as published.

    Args:
      kind: What `choose` gave.
      operator: What turns scores into a soft order.
      scores: `[lists, n]`.
      numbers: `[lists, n]`; only their order is used.
      key: Randomness for an operator that samples.
      levels: `[lists, n]`, what the network says of its scores, for a loss with levels.

    Returns:
      A scalar.
    """
    kind, temperature, _ = parse(kind)
    order = jnp.argsort(numbers, axis=-1)
    if kind in OF_SCORES:
        scores = scores / temperature
        if kind == "plackett_luce":
            return plackett_luce_loss(scores, order)
        if kind == "pairwise":
            return pairwise_loss(scores, order)
        if kind == "cauchy_pairs":
            return cauchy_pairs_loss(scores, order, levels)
        if kind == "leveled_network":
            return leveled_network_loss(scores, order, levels)
        return (
            -cauchy_log_likelihood(scores, order, levels, temperature=1.0).mean() / order.shape[-1]
        )
    if kind in OF_POINTERS:
        assert isinstance(operator, LearnedSort)
        if kind == "likelihood":
            return -operator.log_likelihood(scores, order, levels).mean() / order.shape[-1]
        if kind == "trace":
            return trace_loss(operator, scores, order)
        return pointer_loss(*operator.log_pointers(scores), order)
    if kind == "error_free":
        assert isinstance(operator, SortingNetwork)
        return error_free_loss(operator, scores, order)
    permutation = with_key(operator, key).permutation(scores)
    return {"bce": permutation_loss, "rows": row_loss}[kind](permutation, order)


def with_key(operator: Operator, key: jax.Array) -> Operator:
    """Gives an operator that samples a key of its own; leaves others as they are."""
    if operator.needs_key:
        return dataclasses.replace(operator, key=key)  # type: ignore[call-arg]
    return operator


def permutation_loss(permutation: jax.Array, order: jax.Array) -> jax.Array:
    """Binary cross-entropy between a soft permutation and the true one, mean over all entries.

    Args:
      permutation: `P[..., n, n]`, rows are positions.
      order: The index of the element at each position, `[..., n]`.

    Returns:
      A scalar.
    """
    return binary_cross_entropy(permutation, from_order(order, permutation.dtype)).mean()


@jax.custom_jvp
def binary_cross_entropy(p: jax.Array, target: jax.Array) -> jax.Array:
    """`-target log p - (1 - target) log(1 - p)`, finite with a finite gradient wherever p is.

    Values and gradients are those of PyTorch's `BCELoss`, but where a weight is exactly one and
    should be zero: there its gradient of 1e12 meets weights that only round to one, and blows up
    what it is multiplied with. Here `1 - p` is not taken to be smaller than half a rounding step.
    """
    p = jnp.clip(p, 0.0, 1.0)
    return -(target * _floored_log(p) + (1 - target) * _floored_log(1 - p))


@binary_cross_entropy.defjvp
def _binary_cross_entropy_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    p, target = jnp.clip(primals[0], 0.0, 1.0), primals[1]
    above = jnp.maximum(1 - p, jnp.finfo(p.dtype).eps / 2)
    slope = (p - target) / jnp.maximum(p * above, _DENOMINATOR_FLOOR)
    by_target = _floored_log(1 - p) - _floored_log(p)
    return binary_cross_entropy(p, target), slope * tangents[0] + by_target * tangents[1]


def _floored_log(x: jax.Array) -> jax.Array:
    absent = x <= 0  # not NaN, which must show
    return jnp.where(
        absent, _LOG_FLOOR, jnp.maximum(jnp.log(jnp.where(absent, 1.0, x)), _LOG_FLOOR)
    )


def pointer_loss(log_predecessor: jax.Array, log_first: jax.Array, order: jax.Array) -> jax.Array:
    """Negative log-likelihood of the true order under soft pointers, per element, mean over lists.

    The order is written as CLRS writes it: every element points to its predecessor, the first to
    the last, and a mask marks the first.

    Args:
      log_predecessor: `[..., n, n]`; entry `[j, i]` is the log-weight of `i` preceding `j`.
      log_first: `[..., n]`; the log-weight of `j` being the first.
      order: The index of the element at each position, `[..., n]`.

    Returns:
      A scalar.
    """
    n = order.shape[-1]
    previous = jnp.roll(order, 1, axis=-1)
    rows = jnp.take_along_axis(log_predecessor, order[..., None], axis=-2)  # [..., position, i]
    pointers = jnp.take_along_axis(rows, previous[..., None], axis=-1)[..., 0]
    first = jnp.take_along_axis(log_first, order[..., :1], axis=-1)[..., 0]
    return -(pointers.sum(axis=-1) + first).mean() / n


def row_loss(permutation: jax.Array, order: jax.Array) -> jax.Array:
    """Cross-entropy of the true element at each position, mean over positions and lists.

    Args:
      permutation: `P[..., n, n]`, rows are positions.
      order: The index of the element at each position, `[..., n]`.

    Returns:
      A scalar.
    """
    right = jnp.take_along_axis(permutation, order[..., None], axis=-1)
    return binary_cross_entropy(right, jnp.ones_like(right)).mean()


def error_free_loss(network: SortingNetwork, scores: jax.Array, order: jax.Array) -> jax.Array:
    """`permutation_loss` of the soft swaps, and the squared distance of what the exact swaps give.

    The latter is the mean over all entries of P. (The paper has the squared distance of the lists
    of pictures that both P make, which is that of P seen through the pictures.)

    Args:
      network: With `error_free=True`; the soft swaps are its own.
      scores: `[lists, n]`.
      order: The index of the element at each position, `[lists, n]`.

    Returns:
      A scalar.

    References:
      Kim et al., Generalized Neural Sorting Networks with Error-Free Differentiable Swap Functions,
      ICLR 2024.
    """
    soft = dataclasses.replace(network, error_free=False).permutation(scores)
    exact = network.permutation(scores)
    distance = ((exact - from_order(order, exact.dtype)) ** 2).mean()
    return permutation_loss(soft, order) + distance


def trace_loss(operator: LearnedSort, scores: jax.Array, order: jax.Array) -> jax.Array:
    """Negative log-likelihood of every step of the sort, and of its result, per element.

    The true order determines all that the sort records: what each hint chooses after each step.
    Of each hint the mean cross-entropy over steps, elements and lists is added to `pointer_loss`.

    Args:
      operator: The sort.
      scores: `[lists, n]`.
      order: The index of the element at each position, `[lists, n]`.

    Returns:
      A scalar.
    """
    predicted = operator.log_trace(scores)
    recorded = traces.traces_of_orders(operator.algorithm, order).hints
    loss = pointer_loss(predicted.log_predecessor, predicted.log_first, order)
    for name, log_weights in predicted.log_hints.items():
        chosen = recorded[name][:, 1:, ..., None]  # [lists, T - 1, ..., 1]
        loss -= jnp.take_along_axis(log_weights, chosen, axis=-1).mean()
    return loss


def plackett_luce_loss(scores: jax.Array, order: jax.Array) -> jax.Array:
    """Negative log-likelihood of an order, drawn from the largest down with weights `exp(score)`.

    Args:
      scores: `[..., n]`.
      order: The index of the element at each position, `[..., n]`.

    Returns:
      A scalar, per element, mean over lists.

    References:
      Xia et al., Listwise Approach to Learning to Rank, ICML 2008.
    """
    ascending = jnp.take_along_axis(scores, order, axis=-1)
    # The element at each position is chosen among itself and the smaller ones.
    return (jax.lax.cumlogsumexp(ascending, axis=ascending.ndim - 1) - ascending).mean()


def pairwise_loss(scores: jax.Array, order: jax.Array) -> jax.Array:
    """Logistic loss of every pair, `log(1 + exp(s_small - s_large))`, mean over pairs and lists.

    Args:
      scores: `[..., n]`.
      order: The index of the element at each position, `[..., n]`.

    Returns:
      A scalar.

    References:
      Burges et al., Learning to Rank using Gradient Descent, ICML 2005.
    """
    ascending = jnp.take_along_axis(scores, order, axis=-1)
    n = ascending.shape[-1]
    small, large = jnp.triu_indices(n, 1)
    return jax.nn.softplus(ascending[..., small] - ascending[..., large]).mean()


def cauchy_pairs_loss(
    scores: jax.Array, order: jax.Array, levels: jax.Array | None = None
) -> jax.Array:
    """Negative log-probability of every pair under Cauchy noise, mean over pairs and lists.

    Args:
      scores: `[..., n]`, in units of the noise.
      order: `[..., n]`.
      levels: Scales of the noise, `[..., n]`; None for 1. The noise of a pair has their sum.

    Returns:
      A scalar.
    """
    levels = jnp.ones_like(scores) if levels is None else levels
    ascending, widths = (jnp.take_along_axis(v, order, axis=-1) for v in (scores, levels))
    small, large = jnp.triu_indices(scores.shape[-1], 1)
    gap = ascending[..., large] - ascending[..., small]
    # The smaller of the two probabilities, to full precision however far apart the pair is.
    tail = jnp.arctan2(widths[..., large] + widths[..., small], jnp.abs(gap)) / jnp.pi
    return -jnp.where(gap > 0, jnp.log1p(-tail), jnp.log(tail)).mean()


def leveled_network_loss(
    scores: jax.Array, order: jax.Array, levels: jax.Array | None = None
) -> jax.Array:
    """`permutation_loss` of an odd-even Cauchy network whose swaps know the noise levels.

    What tells the levels from the sort: a swap of a and b leaves them in order with the probability
    of the pair, `1/2 + atan((b - a) / (w_a + w_b)) / pi`, and mixes levels as it mixes scores.

    Args:
      scores: `[lists, n]`, in units of the noise.
      order: `[lists, n]`.
      levels: Scales of the noise, `[lists, n]`; None for 1.

    Returns:
      A scalar.
    """
    lists, n = scores.shape
    levels = jnp.ones_like(scores) if levels is None else levels
    weights = jnp.broadcast_to(jnp.eye(n, dtype=scores.dtype), (lists, n, n))
    wires = jnp.concatenate([scores[..., None], levels[..., None], weights], axis=-1)
    (wires,) = engine.run(_LeveledSwap(), "odd_even", (jnp.moveaxis(wires, 0, -1),))
    return permutation_loss(jnp.moveaxis(wires[:, 2:], -1, 0), order)


class _LeveledSwap:
    """Wires carry `[2 + n, lists]`: a score, its level, and its row of weights."""

    def scores(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mixes all that the wires carry; what is not compared stays."""
        gap = (b[:, :1] - a[:, :1]) / (a[:, 1:2] + b[:, 1:2])
        kept = jnp.where(sign == 0, 1.0, 0.5 + jnp.arctan(gap) / jnp.pi)
        return kept * a + (1 - kept) * b, (1 - kept) * a + kept * b
