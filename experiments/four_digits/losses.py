# SPDX-License-Identifier: Apache-2.0
"""The table of losses for lists whose order alone is known.

A loss is written `name[/temperature][+noise_scales]`, as `pairwise/0.1` or
`likelihood+noise_scales`. The temperature divides the scores, and is for losses without an
operator, which has one of its own. With noise scales the network that reads also says of each
number how sure it is, which is the scale of the noise on its score.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from arlsort.checks import error_message, one_of
from arlsort.operators.amortized import AmortizedSort
from arlsort.operators.base import Operator
from arlsort.operators.learned import LearnedSort
from arlsort.operators.relaxed_program import RelaxedProgram
from arlsort.operators.sorting_network import SortingNetwork
from experiments.four_digits import loss_functions as functions

AUTO = "auto"
SCALED = "+noise_scales"

SomeOperator = TypeVar("SomeOperator", bound=Operator | None)


@dataclasses.dataclass(frozen=True)
class Need:
    """The inputs of a loss beside the scores.

    Attributes:
      title: What that is, in words.
      met_by: Tells whether an operator is that; None is no operator.
    """

    title: str
    met_by: Callable[[Operator | None], bool]


OPERATOR = Need("any operator that has P", lambda operator: operator is not None)
EXACT_SWAPS = Need(
    "a network with exact swaps",
    lambda operator: isinstance(operator, SortingNetwork) and operator.error_free,
)
LEARNED = Need("a learned sort", lambda operator: isinstance(operator, LearnedSort))
LIKELIHOOD = Need(
    "a learned sort, executed or amortised, that has a likelihood",
    lambda operator: isinstance(operator, LearnedSort | AmortizedSort) and operator.has_likelihood,
)
BUBBLE_SORT = Need(
    "bubble sort",
    lambda operator: isinstance(operator, RelaxedProgram) and operator.program == "bubble_sort",
)
NOTHING = Need("no operator", lambda operator: operator is None)


class Batch(NamedTuple):
    """The arguments of a loss.

    Attributes:
      operator: As the loss needs it.
      scores: `[lists, n]`.
      order: The index of the element at each position, `[lists, n]`.
      noise_scales: `[lists, n]`, the scales of the noise on the scores; None for 1.
    """

    operator: Any
    scores: jax.Array
    order: jax.Array
    noise_scales: jax.Array | None


@dataclasses.dataclass(frozen=True)
class LossEntry:
    """One loss.

    Attributes:
      title: What it is, in one line.
      needs: What it is computed from, beside the scores.
      function: Computes it, a scalar.
      noise_scales: Whether it takes noise scales, with an operator that does if it needs one.
    """

    title: str
    needs: Need
    function: Callable[[Batch], jax.Array]
    noise_scales: bool = False


def _permutation(batch: Batch) -> jax.Array:
    if batch.noise_scales is None:
        return batch.operator.permutation(batch.scores)
    return batch.operator.permutation(batch.scores, noise_scales=batch.noise_scales)


TABLE: Mapping[str, LossEntry] = {
    "likelihood": LossEntry(
        "negative log-likelihood of the order, as a network reads or executes it",
        LIKELIHOOD,
        lambda b: functions.likelihood_loss(b.operator, b.scores, b.order, b.noise_scales),
        noise_scales=True,
    ),
    "pointer": LossEntry(
        "cross-entropy of the sort's last pointers with those of the true order",
        LEARNED,
        lambda b: functions.last_pointer_loss(b.operator, b.scores, b.order),
    ),
    "trace": LossEntry(
        "the same, after every step of the run",
        LEARNED,
        lambda b: functions.trace_loss(b.operator, b.scores, b.order),
    ),
    "error_free": LossEntry(
        "`bce` of the soft swaps, plus the squared error of P by the exact swaps",
        EXACT_SWAPS,
        lambda b: functions.error_free_loss(b.operator, b.scores, b.order),
    ),
    "bce": LossEntry(
        "binary cross-entropy of P with the true permutation",
        OPERATOR,
        lambda b: functions.permutation_loss(_permutation(b), b.order),
        noise_scales=True,
    ),
    "rows": LossEntry(
        "cross-entropy of each row of P with the element that belongs there",
        OPERATOR,
        lambda b: functions.row_loss(_permutation(b), b.order),
        noise_scales=True,
    ),
    "swaps": LossEntry(
        "mean number of swaps of bubble sort, given the list in its true order",
        BUBBLE_SORT,
        lambda b: functions.swaps_loss(b.operator, b.scores, b.order),
    ),
    "any_swap": LossEntry(
        "probability that bubble sort swaps anything, given the list in its true order",
        BUBBLE_SORT,
        lambda b: functions.swaps_loss(b.operator, b.scores, b.order, count="any"),
    ),
    "plackett_luce": LossEntry(
        "negative log-likelihood of the order under Plackett-Luce",
        NOTHING,
        lambda b: functions.plackett_luce_loss(b.scores, b.order),
    ),
    "pairwise": LossEntry(
        "logistic loss of every pair",
        NOTHING,
        lambda b: functions.pairwise_loss(b.scores, b.order),
    ),
    "cauchy_pairs": LossEntry(
        "negative log-likelihood of every pair under Cauchy noise",
        NOTHING,
        lambda b: functions.cauchy_pairs_loss(b.scores, b.order, b.noise_scales),
        noise_scales=True,
    ),
    "cauchy_likelihood": LossEntry(
        "negative log-likelihood of the order under Cauchy noise, exactly",
        NOTHING,
        lambda b: functions.cauchy_likelihood_loss(b.scores, b.order, b.noise_scales),
        noise_scales=True,
    ),
    "cauchy_network": LossEntry(
        "`bce` of an odd-even Cauchy network whose swaps use the noise scales",
        NOTHING,
        lambda b: functions.cauchy_network_loss(b.scores, b.order, b.noise_scales),
        noise_scales=True,
    ),
}
"""All losses. The default of an operator, `auto`, is the first one whose need it meets."""


class Loss(NamedTuple):
    """A loss that was asked for, in parts."""

    name: str
    temperature: float = 1.0
    noise_scales: bool = False

    @property
    def entry(self) -> LossEntry:
        """Its row of the table."""
        return TABLE[self.name]


@functools.cache
def parse(text: str) -> Loss:
    """Reads `name[/temperature][+noise_scales]`.

    Raises:
      ValueError: If it has another form, or an option that the loss does not have.

    Example:
      >>> parse("cauchy_likelihood/0.1+noise_scales")
      Loss(name='cauchy_likelihood', temperature=0.1, noise_scales=True)
    """
    rest, plus, option = text.partition("+")
    name, slash, number = rest.partition("/")
    if name not in TABLE:
        raise ValueError(error_message("loss", repr(name), one_of(TABLE)))
    entry = TABLE[name]
    if plus and (plus + option != SCALED or not entry.noise_scales):
        able = (each for each, row in TABLE.items() if row.noise_scales)
        raise ValueError(error_message("loss", text, f"{SCALED} after {one_of(able)}"))
    temperature = 1.0
    if slash:
        try:
            temperature = float(number)
        except ValueError:
            temperature = math.nan
        if entry.needs is not NOTHING or not 0 < temperature < math.inf:
            allowed = f"a temperature > 0 after {one_of(meeting(None))}"
            raise ValueError(error_message("loss", text, allowed))
    return Loss(name, temperature, bool(plus))


def meeting(operator: Operator | None) -> list[str]:
    """Names the losses whose needs an operator meets, or, of None, those that need no operator."""
    return [name for name, entry in TABLE.items() if entry.needs.met_by(operator)]


def choose(loss: str, operator: Operator | None) -> str:
    """Says which loss an operator is trained with.

    Args:
      loss: As `parse` reads it, or "auto" for the default of the operator.
      operator: The operator; None where the loss needs none.

    Returns:
      The loss, not "auto".

    Raises:
      ValueError: If the operator is not what the loss needs.
    """
    possible = meeting(operator)
    if loss == AUTO and operator is not None:
        return possible[0]
    asked = parse(loss)
    if asked.name not in possible:
        beside = "no operator" if operator is None else type(operator).__name__
        allowed = one_of(possible)
        if asked.entry.needs is NOTHING:
            allowed += f"; without an operator loss:{loss}"
        raise ValueError(error_message("loss", f"{loss} for {beside}", allowed))
    scaled = asked.noise_scales and asked.entry.needs is OPERATOR
    if scaled and not isinstance(operator, AmortizedSort):
        received = f"{loss} for {type(operator).__name__}"
        allowed = f"{asked.name}, or an AmortizedSort, whose P takes noise scales"
        raise ValueError(error_message("loss", received, allowed))
    return loss


def order_loss(
    loss: str,
    operator: Operator | None,
    scores: jax.Array,
    numbers: jax.Array,
    key: jax.Array,
    noise_scales: jax.Array | None = None,
) -> jax.Array:
    """Computes the mean loss over lists.

    Equal numbers are ordered by their place in the list (a stable argsort), as published.

    Args:
      loss: What `choose` gave.
      operator: What turns scores into a soft order; None where the loss needs none.
      scores: `[lists, n]`.
      numbers: `[lists, n]`; only their order is used.
      key: Randomness for an operator that samples.
      noise_scales: `[lists, n]`, what the network says of its scores, for a loss with them.

    Returns:
      A scalar.
    """
    asked = parse(loss)
    order = jnp.argsort(numbers, axis=-1)
    scaled = scores / asked.temperature
    return asked.entry.function(Batch(with_key(operator, key), scaled, order, noise_scales))


def with_key(operator: SomeOperator, key: jax.Array) -> SomeOperator:
    """Gives an operator that samples a key of its own; leaves others as they are."""
    if operator is not None and operator.needs_key:
        return dataclasses.replace(operator, key=key)  # type: ignore[call-arg,type-var]
    return operator
