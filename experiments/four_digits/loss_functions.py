# SPDX-License-Identifier: Apache-2.0
"""How far a soft order of scores is from the true one: the functions behind the table of losses."""

import dataclasses

import jax
import jax.numpy as jnp

from arlsort.likelihood import cauchy_log_likelihood
from arlsort.networks import engine
from arlsort.operators.amortized import AmortizedSort
from arlsort.operators.learned import LearnedSort
from arlsort.operators.relaxed_program import RelaxedProgram
from arlsort.operators.sorting_network import SortingNetwork
from arlsort.programs import algorithms
from arlsort.reasoner import traces
from arlsort.soft_permutation import from_order

# PyTorch's `BCELoss`, which the published experiment uses, ends logarithms at -100 and the
# denominator of the gradient at 1e-12.
_LOG_FLOOR = -100.0
_DENOMINATOR_FLOOR = 1e-12


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


def last_pointer_loss(operator: LearnedSort, scores: jax.Array, order: jax.Array) -> jax.Array:
    """`pointer_loss` of the last pointers of a learned sort."""
    return pointer_loss(*operator.log_pointers(scores), order)


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
    """`permutation_loss` of the soft swaps, plus the squared error of P by the exact swaps.

    The latter is the mean over all entries of P. (The paper takes the squared distance between the
    lists of pictures that both P make.)

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


def likelihood_loss(
    operator: AmortizedSort | LearnedSort,
    scores: jax.Array,
    order: jax.Array,
    noise_scales: jax.Array | None = None,
) -> jax.Array:
    """Negative log-likelihood of the order, as a network reads or executes it, per element.

    Args:
      operator: The sort.
      scores: `[lists, n]`.
      order: The index of the element at each position, `[lists, n]`.
      noise_scales: Scales of the noise, `[lists, n]`; None for 1.

    Returns:
      A scalar.
    """
    return -operator.log_likelihood(scores, order, noise_scales).mean() / order.shape[-1]


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


def swaps_loss(
    program: RelaxedProgram, scores: jax.Array, order: jax.Array, count: str = "swaps"
) -> jax.Array:
    """Swaps of relaxed bubble sort on lists in their true order, mean over lists.

    Args:
      program: Bubble sort.
      scores: `[lists, n]`.
      order: The index of the element at each position, `[lists, n]`.
      count: `swaps`, how many swaps there are; or `any`, the probability that there is one.

    Returns:
      A scalar.

    References:
      Petersen et al., Learning with Algorithmic Supervision via Continuous Relaxations,
      NeurIPS 2021.
    """
    _, counted = algorithms.bubble_sort(
        jnp.take_along_axis(scores, order, axis=-1),
        count=count,
        temperature=program.temperature,
        distribution=program.distribution,
        hard=program.hard,
    )
    return counted.mean()


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
    scores: jax.Array, order: jax.Array, noise_scales: jax.Array | None = None
) -> jax.Array:
    """Negative log-probability of every pair under Cauchy noise, mean over pairs and lists.

    Args:
      scores: `[..., n]`, in units of the noise.
      order: `[..., n]`.
      noise_scales: Scales of the noise, `[..., n]`; None for 1. The noise of a pair has their sum.

    Returns:
      A scalar.
    """
    noise_scales = jnp.ones_like(scores) if noise_scales is None else noise_scales
    ascending, widths = (jnp.take_along_axis(v, order, axis=-1) for v in (scores, noise_scales))
    small, large = jnp.triu_indices(scores.shape[-1], 1)
    gap = ascending[..., large] - ascending[..., small]
    # The smaller of the two probabilities, to full precision however far apart the pair is.
    tail = jnp.arctan2(widths[..., large] + widths[..., small], jnp.abs(gap)) / jnp.pi
    return -jnp.where(gap > 0, jnp.log1p(-tail), jnp.log(tail)).mean()


def cauchy_likelihood_loss(
    scores: jax.Array, order: jax.Array, noise_scales: jax.Array | None = None
) -> jax.Array:
    """Negative log-likelihood of the order of scores under Cauchy noise, exactly, per element.

    Args:
      scores: `[..., n]`, in units of the noise.
      order: `[..., n]`.
      noise_scales: Scales of the noise, `[..., n]`; None for 1.

    Returns:
      A scalar, mean over lists.
    """
    found = cauchy_log_likelihood(scores, order, noise_scales, temperature=1.0)
    return -found.mean() / order.shape[-1]


def cauchy_network_loss(
    scores: jax.Array, order: jax.Array, noise_scales: jax.Array | None = None
) -> jax.Array:
    """`permutation_loss` of an odd-even Cauchy network whose swaps know the noise scales.

    What tells the scales from the sort: a swap of a and b leaves them in order with the probability
    of the pair, `1/2 + atan((b - a) / (w_a + w_b)) / pi`, and mixes scales as it mixes scores.

    Args:
      scores: `[lists, n]`, in units of the noise.
      order: `[lists, n]`.
      noise_scales: Scales of the noise, `[lists, n]`; None for 1.

    Returns:
      A scalar.
    """
    lists, n = scores.shape
    noise_scales = jnp.ones_like(scores) if noise_scales is None else noise_scales
    weights = jnp.broadcast_to(jnp.eye(n, dtype=scores.dtype), (lists, n, n))
    wires = jnp.concatenate([scores[..., None], noise_scales[..., None], weights], axis=-1)
    (wires,) = engine.run(_SwapOfScales(), "odd_even", (jnp.moveaxis(wires, 0, -1),))
    return permutation_loss(jnp.moveaxis(wires[:, 2:], -1, 0), order)


class _SwapOfScales:
    """Wires carry `[2 + n, lists]`: a score, the scale of its noise, and its row of weights."""

    def scores(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mixes all that the wires carry; what is not compared stays."""
        gap = (b[:, :1] - a[:, :1]) / (a[:, 1:2] + b[:, 1:2])
        kept = jnp.where(sign == 0, 1.0, 0.5 + jnp.arctan(gap) / jnp.pi)
        return kept * a + (1 - kept) * b, (1 - kept) * a + kept * b
