# SPDX-License-Identifier: Apache-2.0
"""How well a reasoner sorts: exact order, CLRS's micro-F1 and the distance from the mean."""

import functools
from typing import Any, Final, NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp

from arlsort.reasoner import distances, inference, network, scale
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from arlsort.reasoner.readout import MAX_POWER
from arlsort.reasoner.traces import predecessors

Array = jax.Array

VALID_AT: Final = 0.95  # a length counts as validated when this share of lists is in exact order
LISTS: Final = 1000
_PAIRS = 2**16  # lists * n * n that go through the network at a time
_DISTANT: Final = 200  # lists, at most, whose distance from the mean is measured
_TEMPERATURES: Final = (0.01, 0.1, 0.3)  # temperatures in ranges of a list
_SPREADS = 3  # tried, from the widest trained on, each half of the one before


class Measured(NamedTuple):
    """Results of `measure`, as arguments of `arlsort.reasoner.checkpoint.save`.

    Attributes:
      scores: Exact order and micro-F1 by length, and the number of lists; of a network that
        learned from perturbed copies also the `divergence` of P from the mean
        permutation, by law of the lists and by temperature, at the longest length.
      validated_length: The longest of the trained lengths up to which all are in exact order in at
        least 95 % of the lists.
      sharpest_spread: The range of scores at which most lists are sorted right.
    """

    scores: dict[str, Any]
    validated_length: int
    sharpest_spread: float


def micro_f1(log_pred: Array, log_first: Array, order: Array) -> Array:
    """CLRS's score of output pointers: the share of elements with the right predecessor.

    The likeliest predecessor counts, and of the likeliest first element that it is the first. What
    `clrs.evaluate` gives for a sort.

    Args:
      log_pred: `[b, n, n]`, row j the log weights of j's cyclic predecessor.
      log_first: `[b, n]` log weights of being first.
      order: `[b, n]` the elements in their true order.

    Example:
      >>> import jax.numpy as jnp
      >>> order = jnp.array([[2, 0, 1]])
      >>> pred = jnp.eye(3)[jnp.array([[2, 0, 1]])]  # of 0, 1 and 2, which follows 1 in the cycle
      >>> print(micro_f1(pred, jnp.array([[0.0, 0.0, 1.0]]), order))
      1.0
    """
    chex.assert_equal_shape([log_first, order])
    elements = jnp.broadcast_to(jnp.arange(order.shape[-1]), order.shape)
    first = elements == jnp.argmax(log_first, axis=-1)[:, None]
    found = jnp.where(first, elements, jnp.argmax(log_pred, axis=-1))
    return jnp.mean(found == predecessors(order))


@functools.partial(jax.jit, static_argnames=("config", "n", "noise", "num_lists"))
def score(
    params: hk.Params,
    key: Array,
    config: ReasonerConfig,
    n: int,
    spread: float | Array,
    noise: str | None,
    num_lists: int = LISTS,
) -> dict[str, Array]:
    """Scores of fresh uniform lists, from 0 to 1.

    Args:
      params: Parameters.
      key: Random key of the lists.
      config: The reasoner.
      n: List length.
      spread: The range each list is stretched to before the network sees it.
      noise: Law of the perturbation the reasoner was trained with; None for clean keys in [0, 1].
      num_lists: Number of lists.

    Returns:
      `exact_order`, the share of lists that are right in every position at temperature 0, and
      `micro_f1`.
    """
    x = jax.random.uniform(key, (num_lists, n))
    scores = x if noise is None else scale.unit_range(x) * spread

    def said(row: Array) -> network.Prediction:
        found = inference.predict(params, config, row[None], noise, network.no_hints)
        return jax.tree.map(lambda leaf: leaf[0], found)

    size = max(1, min(num_lists, _PAIRS // (n * n)))
    found = jax.lax.map(said, scores, batch_size=size)  # in parts: all lists at once may not fit
    order = jnp.argsort(x, axis=-1)
    exact = jnp.argmax(inference.read(found, MAX_POWER), axis=-1) == order
    return {
        "exact_order": jnp.mean(jnp.all(exact, axis=-1)),
        "micro_f1": micro_f1(found.pred, found.pred_mask, order),
    }


def divergences(
    params: hk.Params, config: ReasonerConfig, n: int, noise: str, num_lists: int = LISTS
) -> dict[str, dict[str, float]]:
    """Distance of P from the mean permutation in nats, by law of the lists and temperature.

    Args:
      params: Parameters.
      config: The reasoner.
      n: List length.
      noise: Law of the perturbation the reasoner was trained with.
      num_lists: Number of lists.
    """

    @jax.jit
    def divergence(scores: Array, temperature: Array) -> Array:
        def one(row: Array) -> Array:
            found = distances.distance(permute, row[None], temperature, noise)
            return found.divergence

        size = max(1, min(num_lists, _PAIRS // (n * n * n)))
        return jnp.mean(jax.lax.map(one, scores, batch_size=size))

    def permute(x: Array) -> Array:
        return inference.read(inference.predict(params, config, x, noise, network.no_hints))

    key = jax.random.key(n)
    drawn = {law: draw(key, num_lists, n) for law, draw in distances.LAWS.items()}
    return {
        law: {f"{t:g}": round(float(divergence(lists, t)), 5) for t in _TEMPERATURES}
        for law, lists in drawn.items()
    }


def measure(
    params: hk.Params, config: ReasonerConfig, training: TrainingConfig, num_lists: int = LISTS
) -> Measured:
    """Scores of every trained length.

    The sharpest spread is the one of three, down from the widest trained on, that sorts most lists
    of the longest length right. Other lists then measure each length.

    Args:
      params: Parameters.
      config: The reasoner.
      training: How it was trained.
      num_lists: Fresh lists for each length.
    """
    noise = training.noise if training.hints != "clrs" else None
    lengths = sorted(set(training.lengths))
    by_lists = functools.partial(score, params, config=config, noise=noise, num_lists=num_lists)
    choose, report = jax.random.split(jax.random.key(training.seed + 2024))
    spreads = [training.max_spread / 2**i for i in range(_SPREADS)] if noise else [1.0]
    tried = {
        spread: float(by_lists(choose, n=lengths[-1], spread=spread)["exact_order"])
        for spread in spreads
    }
    spread = max(spreads, key=lambda spread: tried[spread])
    found = {n: jax.device_get(by_lists(report, n=n, spread=spread)) for n in lengths}
    scores: dict[str, Any] = {
        name: {str(n): float(values[name]) for n, values in found.items()}
        for name in ("exact_order", "micro_f1")
    }
    if training.hints == "perturbed":
        few = min(num_lists, _DISTANT)
        scores["divergence"] = divergences(params, config, lengths[-1], training.noise, few)
    failing = [n for n in lengths if found[n]["exact_order"] < VALID_AT]
    valid = [n for n in lengths if not failing or n < failing[0]]
    return Measured(
        {
            **scores,
            "lists": num_lists,
            "exact_order_by_spread": {f"{s:g}": value for s, value in tried.items()},
        },
        max(valid, default=1),
        spread,
    )
