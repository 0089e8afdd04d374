# SPDX-License-Identifier: Apache-2.0
"""How near an operator is to the mean permutation of noisy scores.

Draws lists of several kinds, and compares the operator with `arlsort.numerics.mean_permutation`,
which integrates over the noise.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from arlsort import checks
from arlsort.numerics.mean_permutation import mean_permutation
from arlsort.operators import base

TEMPERATURES: Final = (0.01, 0.03, 0.1, 0.3, 1.0)
LISTS: Final = 30
LONGEST_GRADIENT: Final = 24
_NEGLIGIBLE = 1e-9  # a weight below it counts as this in the distance
_ELEMENTS = 2**17  # lists * n * n at a time of P alone; of the exact mean a 64th


def _with_both_ends(draw: Callable[[np.random.Generator, int], np.ndarray]) -> Callable:
    """Grades 0 to 1, both of which occur."""
    return lambda rng, n: np.concatenate([[0.0, 1.0], draw(rng, n - 2)])


KINDS: Final[Mapping[str, Callable[[np.random.Generator, int], np.ndarray]]] = {
    "uniform": lambda rng, n: rng.uniform(size=n),
    "normal": lambda rng, n: rng.normal(size=n),
    "zeros and ones": _with_both_ends(lambda rng, n: rng.integers(0, 2, n)),
    "grades of 5": _with_both_ends(lambda rng, n: rng.integers(0, 5, n) / 4),
    "tight clusters": lambda rng, n: (
        np.round(rng.uniform(size=n) * 3) / 3 + 1e-3 * rng.normal(size=n)
    ),
    "one outlier": lambda rng, n: np.concatenate([rng.uniform(size=n - 1), [10.0]]),
}
"""Kinds of lists: a random generator and a length to scores."""


class Distance(NamedTuple):
    """How far an operator is from the mean permutation, over several lists.

    Attributes:
      kl: Kullback-Leibler distance from the mean permutation, nats a position, mean over lists.
      values: Largest error of a soft value in a list as a share of its range, mean over lists.
      worst_value: The same of the worst list.
      gradient: Cosine between the gradients of a weighted sum of P, of all lists together; None for
        lists longer than `LONGEST_GRADIENT`, whose exact gradient takes too long.
    """

    kl: float
    values: float
    worst_value: float
    gradient: float | None


def lists(kind: str, n: int, count: int, seed: int) -> np.ndarray:
    """Draws lists of range 1, `[count, n]`, float32; n >= 2."""
    rng = np.random.default_rng([seed, n, list(KINDS).index(kind)])
    x = np.stack([KINDS[kind](rng, n) for _ in range(count)])
    x = x - x.mean(axis=1, keepdims=True)
    return (x / np.ptp(x, axis=1, keepdims=True)).astype(np.float32)


def distance(
    operator: base.Operator,
    kind: str,
    n: int,
    temperature: float,
    *,
    noise: str,
    count: int = LISTS,
    seed: int = 2026,
) -> Distance:
    """Compares an operator with the mean permutation of noisy lists of range 1.

    Args:
      operator: Its temperature, the scale of the noise, is set to `temperature`.
      kind: One of `KINDS`.
      n: Length of the lists.
      temperature: Scale of the noise.
      noise: Its law, the one that the operator was trained with.
      count: How many lists.
      seed: Of the lists.

    Example:
      >>> from arlsort import AmortizedSort
      >>> distance(AmortizedSort(), "uniform", 5, 0.1, noise="gaussian", count=10).kl < 0.02
      True
    """
    checks.check_choice("kind", kind, tuple(KINDS))
    for name, value, least in (("n", n, 2), ("count", count, 1)):
        if type(value) is not int or value < least:
            raise ValueError(checks.error_message(name, value, f"an int >= {least}"))
    if not hasattr(operator, "temperature"):
        received = f"{type(operator).__name__}, which has no temperature"
        raise ValueError(checks.error_message("operator", received, "one with a temperature"))
    x = lists(kind, n, count, seed)
    fields: dict[str, Any] = {"temperature": temperature}
    if hasattr(operator, "normalize"):
        fields["normalize"] = False  # else the gradient has that of the range, which is 1, as well
    operator = dataclasses.replace(operator, **fields)
    if n > LONGEST_GRADIENT:
        pull = None
    else:
        pull = np.random.default_rng(seed).normal(size=(n, n)).astype(np.float32)
    size = max(1, _ELEMENTS // (n * n * 64))
    exact, found = [], []
    for part in (x[i : i + size] for i in range(0, count, size)):
        exact.append(jax.device_get(_exact(part, pull, temperature, noise)))
        found.append(jax.device_get(_soft(operator, part, pull)))
    (truth, slope), (soft, soft_slope) = (
        tuple(np.concatenate(leaf) for leaf in zip(*each, strict=True)) for each in (exact, found)
    )
    kl, error = apart(truth, soft, x)
    norms = np.linalg.norm(slope) * np.linalg.norm(soft_slope)
    cosine = float((slope * soft_slope).sum() / norms) if norms > _NEGLIGIBLE else 1.0
    return Distance(
        kl,
        float(error.mean()),
        float(error.max()),
        None if pull is None else cosine,
    )


def apart(truth: np.ndarray, soft: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray]:
    """How far one P `[b, n, n]` is from another.

    Args:
      truth: What is to be met.
      soft: What was found.
      x: Scores `[b, n]`.

    Returns:
      The Kullback-Leibler distance in nats a position, a mean, and `[b]`, the largest error of a
      soft value of each list.

    Example:
      >>> half, x = np.full((1, 2, 2), 0.5), np.array([[0.0, 1.0]])
      >>> print(apart(half, np.eye(2)[None] * 0.5 + 0.25, x)[1])
      [0.25]
    """
    ratio = np.log(np.maximum(truth, _NEGLIGIBLE) / np.maximum(soft, _NEGLIGIBLE))
    error = np.abs(np.einsum("bij,bj->bi", soft - truth, x)).max(axis=1)
    return float((truth * ratio).sum(axis=-1).mean()), error


Pulled = tuple[jax.Array, jax.Array]
"""P `[b, n, n]`, and the gradient of its sum with weights `[n, n]`, or zeros if there are none."""


@jax.jit
def _soft(operator: base.Operator, x: jax.Array, pull: jax.Array | None) -> Pulled:
    return _pulled(operator.permutation, x, pull)


@functools.partial(jax.jit, static_argnums=3)
def _exact(x: jax.Array, pull: jax.Array | None, temperature: jax.Array, noise: str) -> Pulled:
    return _pulled(lambda x: mean_permutation(x / temperature, noise), x, pull)


def _pulled(
    permutation: Callable[[jax.Array], jax.Array], x: jax.Array, pull: jax.Array | None
) -> Pulled:
    if pull is None:
        return permutation(x), jnp.zeros_like(x)
    found, back = jax.vjp(permutation, x)
    return found, back(jnp.broadcast_to(pull, found.shape))[0]


def exact_order(operator: base.Operator, n: int, *, count: int = 1000, seed: int = 2026) -> float:
    """Share of uniform lists whose places all point to the right element at temperature zero."""
    operator = dataclasses.replace(operator, temperature=0.0)  # type: ignore[call-arg]
    x = np.random.default_rng([seed, n]).uniform(size=(count, n)).astype(np.float32)
    size = max(1, _ELEMENTS // (n * n))
    sort = jax.jit(lambda x: jnp.argmax(operator.permutation(x), axis=-1))
    found = np.concatenate([sort(x[i : i + size]) for i in range(0, count, size)])
    return float((found == np.argsort(x, axis=-1, kind="stable")).all(axis=-1).mean())


def table(
    operator: base.Operator,
    lengths: Sequence[int],
    *,
    noise: str,
    kinds: Sequence[str] = tuple(KINDS),
    temperatures: Sequence[float] = TEMPERATURES,
    count: int = LISTS,
    seed: int = 2026,
) -> list[dict[str, Any]]:
    """Distances for all combinations, one dictionary a row, as a card and `evaluate` have them."""
    return [
        {"kind": kind, "n": n, "temperature": temperature}
        | distance(operator, kind, n, temperature, noise=noise, count=count, seed=seed)._asdict()
        for kind in kinds
        for n in lengths
        for temperature in temperatures
    ]
