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

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from arlsort import checks
from arlsort.operators import base, calls, registry
from arlsort.operators.lapsum import LapSum
from arlsort.operators.softsort import SoftSort
from arlsort.operators.sorting_network import SortingNetwork
from arlsort.shared_lists import lapsum, networks, softsort


def sort(x: jax.Array, operator: str | base.Operator, axis_name: str) -> jax.Array:
    """Sorts lists of which each device has a part; call it inside of `jax.shard_map`.

    With D devices along the axis, device d has the scores `d m ... (d + 1) m - 1` of each list of
    `n = D m`, and gets the values at these positions: those of `arlsort.sort` for the whole list,
    up to rounding. Values alone need memory for a few times m numbers of a list on each device.

    * `LapSum`: the devices sort their parts against each other, then all parts go round three
      times. A device takes O(n log m) time and O(m) memory. The gradient also keeps
      some integers and booleans for each score of the whole list, about 25 bytes.
    * `SoftSort`: the devices sort their parts against each other, then all parts go round once.
      Each device computes n m weights, and sends n numbers twice; so for a list that fits one
      device `arlsort.sort` is faster. The gradient keeps some n numbers on each device.
    * `SortingNetwork`: a comparator between two devices exchanges their scores. The gradient keeps
      m numbers for each layer. `bitonic` and `odd_even_merge` compile every layer, so that long
      lists take seconds to compile.

    Args:
      x: This device's scores `[..., m]`, floating.
      operator: A `LapSum`, a `SoftSort` without `stochastic`, or a `SortingNetwork`: `bitonic` or
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
    if x.size == 0:
        return x
    call = calls.Call.of(method, x, descending=False)
    unknown = lax.psum(call.unknown.astype(jnp.int32), axis_name) > 0
    values = run(call.operator, call.scores, axis_name).astype(x.dtype)
    return jnp.where(unknown[..., None], jnp.nan, values)


def _way(method: base.Operator, m: int, devices: int) -> Callable[..., jax.Array]:
    """How an operator's values are computed in parts, or why not."""
    n = m * devices
    if isinstance(method, LapSum) and not method.exact_forward:
        return lapsum.sort
    if isinstance(method, SoftSort) and not (method.stochastic or method.exact_forward):
        return softsort.sort
    if isinstance(method, SortingNetwork) and not method.exact_forward:
        if method.network == "odd_even":
            if m % 2:
                raise ValueError(checks.error_message("x", f"parts of {m}", "an even number"))
            return networks.odd_even
        if n & (n - 1):
            raise ValueError(checks.error_message("x", f"lists of {n}", "a power of two"))
        return networks.by_powers
    allowed = "LapSum, SoftSort or SortingNetwork, neither hard nor stochastic nor error-free"
    raise ValueError(checks.error_message("operator", repr(method), allowed))
