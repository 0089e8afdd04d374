# SPDX-License-Identifier: Apache-2.0
"""Sorting networks with a comparator of your own, for anything that can be mixed.

The functions of `arlsort.functional` order scores. These send the items themselves through a
network, and ask at each comparator which of the two mixtures there goes first. They take one list;
use `jax.vmap` for several. Call them in a jitted function. On their own they compile anew each
time, since your function may have changed.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import engine
from arlsort.networks.swaps import DISTRIBUTIONS, Swap, log_sum_exp
from arlsort.networks.topology import NETWORKS
from arlsort.numerics import finite, meshes, prefixes

Compare = Callable[[jax.Array, jax.Array], jax.Array]


def comparison_sort(
    items: jax.Array,
    compare: Compare,
    network: str = "bitonic",
    *,
    distribution: str = "logistic",
    temperature: ArrayLike = 1.0,
    descending: bool = False,
    where: jax.Array | None = None,
) -> jax.Array:
    """Sorts items softly by a comparison of two.

    At each comparator the items a and b become `α a + (1 - α) b` and `(1 - α) a + α b`, where
    `α = F(-compare(a, b) / temperature)` is the weight with which a stays before b.

    Args:
      items: `[n, ...]`, floating.
      compare: By how much the first item comes after the second: a differentiable function of two
        arrays `[pairs, ...]` of items to numbers `[pairs]`, positive where the first comes later.
        It should be antisymmetric. It is called when a kind of layer is traced.
      network: `"bitonic"`, `"odd_even"` or `"odd_even_merge"`.
      distribution: F, one of those of `SortingNetwork` but `"logistic_art"`.
      temperature: In the unit of what `compare` returns; > 0.
      descending: Whether the item that is last by `compare` comes first.
      where: Mask of the items that count, `[n]`; None for all.

    Returns:
      Mixtures of items, of the shape and dtype of `items`. With a mask they are those of the
      shorter list, then zero; masked values change nothing. The whole result is NaN if any number
      of `items` is NaN, or a traced temperature is not positive.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If a name or the temperature is not allowed, or if `compare` returns another shape
        than `[pairs]`.

    Example:
      >>> import jax.numpy as jnp
      >>> by_size = lambda a, b: jnp.abs(a) - jnp.abs(b)
      >>> print(comparison_sort(jnp.array([-3.0, 1.0, 2.0]), by_size, temperature=0.01).round(2))
      [ 1.  2. -3.]

    References:
      Petersen et al., Differentiable Sorting Networks for Scalable Sorting and Ranking
      Supervision, ICML 2021.
    """
    items = checks.check_scores("items", items)
    if not callable(compare):
        raise TypeError(checks.error_message("compare", repr(compare), "a function of two items"))
    checks.check_choice("network", network, NETWORKS)
    checks.check_choice("distribution", distribution, _PLAIN)
    checks.check_positive("temperature", temperature)
    checks.check_flag("descending", descending)
    if where is not None:
        where = checks.check_mask("where", where, items.shape[:1], "items")
    swap = _ItemSwap(functools.partial(_compared, compare, "compare"), distribution, temperature)
    return _through(swap, network, items, descending, where)


def vector_sort(
    items: jax.Array,
    key: Callable[[jax.Array], jax.Array],
    network: str = "bitonic",
    *,
    distribution: str = "logistic",
    temperature: ArrayLike = 1.0,
    descending: bool = False,
) -> jax.Array:
    """Sorts items softly by a key, computed anew from the mixtures in every layer.

    For a linear key `arlsort.sort_by(key(items), items, ...)` gives the same with the same network.
    It also takes batches and any operator.

    Args:
      items: `[n, ...]`, floating.
      key: A differentiable function of items `[pairs, ...]` to numbers `[pairs]`.
      network: As for `comparison_sort`.
      distribution: The swap distribution.
      temperature: In the unit of the keys; > 0.
      descending: Whether the item with the largest key comes first.

    Returns:
      Mixtures of items, of the shape and dtype of `items`; all NaN if any number is.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: As for `comparison_sort`, of `key` where that says `compare`.

    Example:
      >>> import jax.numpy as jnp
      >>> items = jnp.array([[3.0, 30.0], [1.0, 10.0]])
      >>> print(vector_sort(items, lambda item: item[..., 0], temperature=0.01).round(2))
      [[ 1. 10.]
       [ 3. 30.]]
    """
    if not callable(key):
        raise TypeError(checks.error_message("key", repr(key), "a function of an item"))

    def compare(a: jax.Array, b: jax.Array) -> jax.Array:
        return _compared(lambda a, b: key(a), "key", a, b) - _compared(
            lambda a, b: key(b), "key", a, b
        )

    return comparison_sort(
        items,
        compare,
        network,
        distribution=distribution,
        temperature=temperature,
        descending=descending,
    )


def smooth_sort(
    x: jax.Array,
    maximum: Callable[[jax.Array, jax.Array], jax.Array] = log_sum_exp,
    network: str = "bitonic",
) -> jax.Array:
    """Sorts scores by a network whose comparators use a smooth maximum.

    A comparator turns a and b into `a + b - maximum(a, b)` and `maximum(a, b)`, which keeps the sum
    of all scores. With the default, `log(exp(a) + exp(b))`, both leave the range of a and b, by up
    to log 2. A maximum that mixes a and b, as in `SortingNetwork(distribution="logistic")`, stays
    within it.

    Args:
      x: Scores `[n]`, floating.
      maximum: A differentiable, symmetric function of two arrays of scores.
      network: As for `comparison_sort`.

    Returns:
      Soft values, ascending, of the shape and dtype of `x`. If a score is NaN, all are.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If the network is unknown, `x` is not a vector, or `maximum` returns another
        shape than that of its arguments.

    Example:
      >>> import jax.numpy as jnp
      >>> print(smooth_sort(jnp.array([30.0, 10.0, 20.0])).round(2))
      [10. 20. 30.]
    """
    x = checks.check_scores("x", x)
    if x.ndim != 1:
        raise ValueError(checks.error_message("x", f"shape {x.shape}", "a vector; use jax.vmap"))
    if not callable(maximum):
        raise TypeError(checks.error_message("maximum", repr(maximum), "a function of two scores"))
    checks.check_choice("network", network, NETWORKS)
    return _through(_MaximumSwap(maximum), network, x, False)


def rank_among(x: jax.Array, values: jax.Array, width: ArrayLike = 0.1) -> jax.Array:
    """Gives soft ranks of scores by how near each is to each of the sorted values.

    `ranks[j] = sum_i i w[j, i]` with `w[j, :] = softmax_i(-(x[j] - values[i])**2 / (2 width**2))`.
    The transpose of w would give soft indices.

    Args:
      x: Scores `[n]`, floating.
      values: Their soft sort, ascending, `[n]`.
      width: Standard deviation of the Gaussian, in the unit of the scores; > 0.

    Returns:
      0-based soft ranks `[n]`; equal scores have equal ranks. A NaN score has rank NaN; a NaN in
      `values` makes all NaN.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If the shapes differ or the width is not allowed.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([30.0, 10.0, 20.0])
      >>> print(rank_among(x, smooth_sort(x)).round(2))
      [2. 0. 1.]
    """
    x, values = checks.check_scores("x", x), checks.check_scores("values", values)
    if x.ndim != 1 or x.shape != values.shape:
        raise ValueError(
            checks.error_message("values", f"shape {values.shape}", f"that of x, {x.shape}")
        )
    checks.check_positive("width", width)
    scores, among = finite.clip(x), finite.clip(values)
    scale = finite.temperature(width, scores.dtype)
    # Divided first: squares of scores could overflow.
    apart = jnp.clip((scores[:, None] - among[None, :]) / scale, -_FAR, _FAR)
    weights = jax.nn.softmax(-0.5 * apart**2, axis=-1)
    positions = jnp.arange(x.shape[0], dtype=weights.dtype)
    ranks = jnp.matmul(weights, positions, precision=lax.Precision.HIGHEST)
    ranks = finite.positions(ranks, x.shape[0], x.dtype)
    return jnp.where(finite.is_positive(width), ranks, jnp.nan)


_PLAIN = tuple(name for name in DISTRIBUTIONS if name != "logistic_art")

# Differences are cut off at this many widths or temperatures; their squares are finite in float32.
_FAR = 1e15


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["temperature"],
    meta_fields=["compare", "distribution"],
)
@dataclasses.dataclass(frozen=True)
class _ItemSwap:
    compare: Compare
    distribution: str
    temperature: Any

    def scores(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
        column = sign.reshape(sign.shape[0])
        late = self.compare(*_real(a, b, sign)) / finite.temperature(self.temperature, a.dtype)
        v = -column * jnp.clip(late, -_FAR, _FAR)
        one = jnp.ones((), a.dtype)
        swap = Swap(self.distribution, error_free=False, temperature=one, art_lambda=one)
        return swap.mix(v.reshape(sign.shape), sign, a, b)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["temperature"], meta_fields=["maximum"]
)
@dataclasses.dataclass(frozen=True)
class _MaximumSwap:
    maximum: Callable[[jax.Array, jax.Array], jax.Array]
    temperature: Any = 1.0  # it has none

    def scores(self, a: jax.Array, b: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
        one, other = _real(a, b, sign)
        largest = _checked("maximum", self.maximum(one, other), a.shape, "that of its scores")
        smallest = jnp.minimum(one, other) - (largest - jnp.maximum(one, other))
        first = jnp.where(sign > 0, smallest, largest)
        last = jnp.where(sign > 0, largest, smallest)
        return jnp.where(sign == 0, a, first), jnp.where(sign == 0, b, last)


def _real(a: jax.Array, b: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Puts a pair that is to be compared, without its gradient, where there is none to compare.

    A function of the user's need not be differentiable at two copies of one item; and a derivative
    that is not finite is not, even times zero.
    """
    some = jnp.argmax(sign.reshape(sign.shape[0]) != 0)
    one, other = (
        jnp.where(sign == 0, lax.stop_gradient(lax.dynamic_index_in_dim(w, some)), w)
        for w in (a, b)
    )
    return one, other


def _compared(compare: Compare, name: str, a: jax.Array, b: jax.Array) -> jax.Array:
    result = _checked(name, compare(a, b), a.shape[:1], f"a number for each of the pairs {a.shape}")
    return result.astype(a.dtype)


def _checked(name: str, result: Any, shape: tuple[int, ...], meaning: str) -> jax.Array:
    """Makes sure that a function of the user's returned real numbers of a shape."""
    if not isinstance(result, (jax.Array, np.ndarray)):
        received = f"a function that returns {type(result).__name__}"
        raise TypeError(checks.error_message(name, received, f"one that returns an array {shape}"))
    if not (
        jnp.issubdtype(result.dtype, jnp.floating) or jnp.issubdtype(result.dtype, jnp.integer)
    ):
        received = f"a function that returns {result.dtype}"
        raise TypeError(checks.error_message(name, received, "one that returns real numbers"))
    if result.shape != shape:
        received = f"a function that returns shape {result.shape}"
        raise ValueError(checks.error_message(name, received, f"{shape}: {meaning}"))
    return jnp.asarray(result)


def _through(
    swap: engine.Comparator,
    network: str,
    items: jax.Array,
    descending: bool,
    where: jax.Array | None = None,
) -> jax.Array:
    spec = (None, *jax.typeof(items).sharding.spec[1:])
    # The swap comes as a tree: on a mesh the type of a traced temperature is another inside.
    run = functools.partial(_run, network, descending)
    return meshes.without_shardings(run, spec, items)(swap, items, where)


def _run(
    network: str, descending: bool, swap: Any, items: jax.Array, where: jax.Array | None
) -> jax.Array:
    n = items.shape[0]
    if where is not None and n > 1:
        return _run_masked(network, descending, swap, items, where)
    work = items if n > 1 else jnp.zeros((2, *items.shape[1:]), items.dtype)
    unknown = jnp.isnan(work).any() | ~finite.is_positive(swap.temperature)
    work = finite.clip(jnp.where(unknown, 0.0, work))
    (work,) = engine.run(swap, network, (work,))
    if n < 2:
        return items  # the functions were called all the same, so errors show at once
    work = jnp.flip(work, axis=0) if descending else work
    return jnp.where(unknown, jnp.nan, work).astype(items.dtype)


def _run_masked(
    network: str, descending: bool, swap: Any, items: jax.Array, where: jax.Array
) -> jax.Array:
    place, count = prefixes.to_front(where)
    order = jnp.argsort(place)
    inside = prefixes.within(count, where.shape).reshape(-1, *(1,) * (items.ndim - 1))
    front = jnp.where(inside, jnp.take(items, order, axis=0), 0)
    unknown = jnp.isnan(front).any() | ~finite.is_positive(swap.temperature)
    work = finite.clip(jnp.where(unknown, 0.0, front))
    # The functions may see what follows the items: it is a copy of one.
    work = jnp.where(inside, work, lax.stop_gradient(work[:1]))
    (work,) = engine.run(swap, network, (work,), count)
    work = prefixes.reverse(work, count, 0) if descending else work
    work = jnp.where(inside, work, 0.0)
    return jnp.where(unknown, jnp.nan, work).astype(items.dtype)
