# SPDX-License-Identifier: Apache-2.0
"""Lists that are longer than one device holds: values, with the list shared among devices.

Example:
  >>> import jax, jax.numpy as jnp
  >>> from arlsort import sharding
  >>> from jax.sharding import NamedSharding, PartitionSpec
  >>> mesh, along = jax.make_mesh((1,), ("n",)), PartitionSpec("n")
  >>> def ranked(x):
  ...     return sharding.sort(x, "odd_even", "n")
  >>> x = jax.device_put(jnp.array([0.0, 300.0, 200.0, 100.0]), NamedSharding(mesh, along))
  >>> print(jax.shard_map(ranked, mesh=mesh, in_specs=along, out_specs=along)(x).round())
  [  0. 100. 200. 300.]
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from arlsort import checks
from arlsort.networks.swaps import Swap
from arlsort.numerics import meshes
from arlsort.operators import base, calls, registry
from arlsort.operators.softsort import SoftSort
from arlsort.operators.sorting_network import SortingNetwork

_BLOCK = 2**18  # weights that are made at a time


def sort(x: jax.Array, operator: str | base.Operator, axis_name: str) -> jax.Array:
    """Sorts lists of which each device has a part; call it inside of `jax.shard_map`.

    With D devices along the axis, device d has the scores `d m ... (d + 1) m - 1` of each list of
    `n = D m`, and gets the values at these positions: those of `arlsort.sort` for the whole list,
    up to rounding. Values alone need memory for a few times m numbers of a list on each device.

    * `SoftSort`: the devices sort their parts against each other, then all parts go round once.
      Each device computes n m weights, and sends n numbers twice; so for a list that fits one
      device `arlsort.sort` is faster. The gradient keeps some n numbers on each device.
    * `SortingNetwork`: a comparator between two devices has them exchange what is on its wires. The
      gradient keeps m numbers for each layer. Those by powers of two compile every layer, so that
      long lists take seconds to compile.

    Args:
      x: This device's scores `[..., m]`, floating.
      operator: A `SoftSort` without `stochastic`, or a `SortingNetwork`: `bitonic` or
        `odd_even_merge`, where n is a power of two, or `odd_even`, where m is even.
      axis_name: The axis of the mesh that the lists are shared along.

    Returns:
      This device's values `[..., m]`, of the dtype of `x`. NaN if there is one anywhere in a list.

    Raises:
      TypeError: If `x` is not a floating array.
      ValueError: If the operator or the length is not allowed, or there is no such axis here.

    Example:
      >>> import arlsort, jax, jax.numpy as jnp
      >>> from arlsort import sharding
      >>> from jax.sharding import NamedSharding, PartitionSpec
      >>> mesh, along = jax.make_mesh((1,), ("n",)), PartitionSpec("n")  # more, if you have them
      >>> x = jax.device_put(jnp.array([3.0, 1.0, 4.0, 2.0]), NamedSharding(mesh, along))
      >>> def values(x):
      ...     return sharding.sort(x, arlsort.SoftSort(temperature=0.1), "n")
      >>> values = jax.jit(jax.shard_map(values, mesh=mesh, in_specs=along, out_specs=along))
      >>> print(values(x).round(2))
      [1. 2. 3. 4.]

    References:
      Baudet and Stevenson, Optimal Sorting Algorithms for Parallel Computers, 1978, for the sort by
      parts; the papers of the operators.
    """
    method, x = registry.get(operator), checks.check_scores("x", x)
    try:
        devices, m = lax.axis_size(axis_name), x.shape[-1]
    except NameError:
        allowed = "an axis that the jax.shard_map around this call maps over"
        raise ValueError(checks.error_message("axis_name", repr(axis_name), allowed)) from None
    run = _way(method, m, devices)
    method._check(x)
    call = calls.Call.of(method, x, descending=False)
    unknown = lax.psum(call.unknown.astype(jnp.int32), axis_name) > 0
    values = run(call.operator, call.scores, axis_name).astype(x.dtype)
    return jnp.where(unknown[..., None], jnp.nan, values)


def _way(method: base.Operator, m: int, devices: int) -> Callable[..., jax.Array]:
    """How an operator's values are computed in parts, or why not."""
    n = m * devices
    if isinstance(method, SoftSort) and not (method.stochastic or method.exact_forward):
        return _softsort
    if isinstance(method, SortingNetwork) and not method.exact_forward:
        if method.network == "odd_even":
            if m % 2:
                raise ValueError(checks.error_message("x", f"parts of {m}", "an even number"))
            return _odd_even
        if n & (n - 1):
            raise ValueError(checks.error_message("x", f"lists of {n}", "a power of two"))
        return _by_powers
    allowed = "SoftSort or SortingNetwork, neither hard nor stochastic nor error-free"
    raise ValueError(checks.error_message("operator", repr(method), allowed))


def _softsort(operator: SoftSort, scores: jax.Array, axis_name: str) -> jax.Array:
    devices = lax.axis_size(axis_name)
    heads = _sorted(scores, axis_name)
    temperature = jnp.asarray(operator.temperature)

    def meet(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple, None]:
        columns, sums = carry

        def row(head: jax.Array) -> jax.Array:
            # A row's own score is among the columns of some device: the weight there is one, the
            # most. What has none is cut off before the division.
            distance = jnp.abs(head[..., None] - columns) ** operator.power
            cutoff = -2.0 * math.log(float(jnp.finfo(distance.dtype).tiny))
            weights = jnp.exp(-jnp.minimum(distance, cutoff * temperature) / temperature)
            return jnp.stack([weights.sum(axis=-1), (weights * columns).sum(axis=-1)], axis=-1)

        rows = jnp.moveaxis(heads, -1, 0)
        found = lax.map(jax.checkpoint(row), rows, batch_size=max(1, _BLOCK // columns.size))
        return (_send(columns, axis_name, 1), sums + jnp.moveaxis(found, 0, -2)), None

    start = meshes.vary_alike(scores, jnp.zeros((*scores.shape, 2), scores.dtype))
    (_, sums), _ = lax.scan(jax.checkpoint(meet), start, length=devices)
    return sums[..., 1] / sums[..., 0]


def _sorted(x: jax.Array, axis_name: str) -> jax.Array:
    """Sorts in parts: neighbours merge theirs, and one keeps the smaller half, in turn."""
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    m, own = x.shape[-1], jnp.sort(x, axis=-1)
    for turn in range(devices if devices > 1 else 0):
        firsts = range(turn % 2, devices - 1, 2)
        pairs = [pair for i in firsts for pair in ((i, i + 1), (i + 1, i))]
        other = lax.ppermute(own, axis_name, pairs)
        first = ((me - turn) % 2 == 0) & (me < devices - 1)
        last = ((me - turn) % 2 == 1) & (me > 0)
        # Equal scores of the first part stay before those of the second.
        pair = jnp.where(first, jnp.stack([own, other]), jnp.stack([other, own]))
        both = jnp.sort(jnp.concatenate([pair[0], pair[1]], axis=-1), axis=-1)
        own = jnp.where(first, both[..., :m], jnp.where(last, both[..., m:], own))
    return own


def _by_powers(operator: SortingNetwork, scores: jax.Array, axis_name: str) -> jax.Array:
    """A network by powers of two; with pairs as `topology.layers` has them."""
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    swap, m = operator._swap(scores), scores.shape[-1]
    wire, merging = me * m + jnp.arange(m), operator.network == "odd_even_merge"
    for stage in range((m * devices).bit_length() - 1):
        falls = (wire & (2 << stage) != 0) & (not merging)
        up = jnp.where(falls, -1.0, 1.0).astype(scores.dtype)
        for bit in range(stage, -1, -1):
            gap, across = 1 << bit, merging and bit < stage
            if gap >= m:
                scores = _between(swap, scores, up, gap // m, (2 << stage) // m, across, axis_name)
            elif across:
                scores = _across(swap, scores, wire, gap, 2 << stage, axis_name)
            else:
                sign = up.reshape(m // (2 * gap), 2, gap)[:, 0]
                scores = _within(swap, scores, sign)
    return scores


def _within(swap: Swap, scores: jax.Array, sign: jax.Array) -> jax.Array:
    """Compares neighbouring runs of wires; the signs `[pairs, run]` tell how long they are."""
    halves = scores.reshape(*scores.shape[:-1], sign.shape[0], 2, sign.shape[1])
    a, b = halves[..., 0, :], halves[..., 1, :]
    both = swap.scores(a, b, jnp.broadcast_to(sign, a.shape))
    return jnp.stack(both, axis=-2).reshape(scores.shape)


def _between(
    swap: Swap,
    scores: jax.Array,
    up: jax.Array,
    gap: int,
    block: int,
    across: bool,
    axis_name: str,
) -> jax.Array:
    """Compares all wires of a device with those of the one that is a gap further."""
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    if across:
        firsts = [i for i in range(devices) if i & gap and i % block + gap < block]
    else:
        firsts = [i for i in range(devices) if not i & gap]
    pairs = [pair for i in firsts for pair in ((i, i + gap), (i + gap, i))]
    low = jnp.asarray([i in firsts for i in range(devices)])[me]
    high = jnp.asarray([i - gap in firsts for i in range(devices)])[me]
    other = lax.ppermute(scores, axis_name, pairs)
    a, b = jnp.where(low, scores, other), jnp.where(low, other, scores)
    first, last = swap.scores(a, b, jnp.broadcast_to(up, a.shape))
    return jnp.where(low, first, jnp.where(high, last, scores))


def _across(
    swap: Swap, scores: jax.Array, wire: jax.Array, gap: int, block: int, axis_name: str
) -> jax.Array:
    """Compares odd runs of a block with the even ones after them, also over the device's ends."""
    before = _send(scores[..., -gap:], axis_name, 1)
    after = _send(scores[..., :gap], axis_name, -1)
    first = (wire[0] - gap + jnp.arange(len(wire) + 2 * gap)).reshape(-1, 2, gap)[:, 0]
    sign = (first % block + gap < block).astype(scores.dtype)
    parts = jnp.concatenate([before, scores, after], axis=-1)
    return _within(swap, parts, sign)[..., gap:-gap]


def _odd_even(operator: SortingNetwork, scores: jax.Array, axis_name: str) -> jax.Array:
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    swap, m = operator._swap(scores), scores.shape[-1]
    there = jnp.ones(m // 2 + 1, scores.dtype)
    there = there.at[0].set((me > 0).astype(scores.dtype))
    there = there.at[-1].set((me < devices - 1).astype(scores.dtype))

    def layer(x: jax.Array, signs: jax.Array) -> jax.Array:
        pairs = x.reshape(*x.shape[:-1], -1, 2)
        a, b = pairs[..., 0], pairs[..., 1]
        both = swap.scores(a, b, jnp.broadcast_to(signs, a.shape))
        return jnp.stack(both, axis=-1).reshape(x.shape)

    def two(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        x = layer(x, jnp.ones_like(there[1:]))
        before, after = _send(x[..., -1:], axis_name, 1), _send(x[..., :1], axis_name, -1)
        return layer(jnp.concatenate([before, x, after], axis=-1), there)[..., 1:-1], None

    return lax.scan(two, scores, length=m * devices // 2)[0]


def _send(x: jax.Array, axis_name: str, by: int) -> jax.Array:
    """Sends an array to a neighbour, in a circle."""
    devices = lax.axis_size(axis_name)
    return lax.ppermute(x, axis_name, [(i, (i + by) % devices) for i in range(devices)])
