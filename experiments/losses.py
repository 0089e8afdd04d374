# SPDX-License-Identifier: Apache-2.0
"""What is minimised when only the order of a list is known."""

import dataclasses

import jax
import jax.numpy as jnp

from arlsort.operators.base import Operator, complaint
from arlsort.permutation import from_order

LOSSES = ("auto", "bce", "pointer")

# PyTorch's `BCELoss`, which the published experiment uses, ends logarithms at -100 and the
# denominator of the gradient at 1e-12.
_LOG_FLOOR = -100.0
_DENOMINATOR_FLOOR = 1e-12


def choose(loss: str, operator: Operator) -> str:
    """Says which loss an operator is trained with.

    Args:
      loss: One of `LOSSES`. "auto" takes "pointer" for an operator with pointers, else "bce".
      operator: The operator.

    Returns:
      "bce" or "pointer".

    Raises:
      ValueError: If the operator has no pointers and the loss needs them.
    """
    has_pointers = hasattr(operator, "log_pointers")
    if loss == "auto":
        return "pointer" if has_pointers else "bce"
    if loss == "pointer" and not has_pointers:
        raise ValueError(
            complaint("loss", f"pointer for {type(operator).__name__}", "pointer for learned; bce")
        )
    return loss


def order_loss(
    kind: str, operator: Operator, scores: jax.Array, numbers: jax.Array, key: jax.Array
) -> jax.Array:
    """Computes the mean loss over lists.

    Equal numbers are ordered by their place in the list (a stable argsort), as published.

    Args:
      kind: "bce" or "pointer".
      operator: What turns scores into a soft order.
      scores: `[lists, n]`.
      numbers: `[lists, n]`; only their order is used.
      key: Randomness for an operator that samples.

    Returns:
      A scalar.
    """
    order = jnp.argsort(numbers, axis=-1)
    operator = with_key(operator, key)
    if kind == "pointer":
        log_predecessor, log_first = operator.log_pointers(scores)  # type: ignore[attr-defined]
        return pointer_loss(log_predecessor, log_first, order)
    return permutation_loss(operator.permutation(scores), order)


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
