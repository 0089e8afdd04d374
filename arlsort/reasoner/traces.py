# SPDX-License-Identifier: Apache-2.0
"""The sorts as array programs that record CLRS's probes.

Each function takes the keys of one list, `[n]`, and returns its trace: every state that CLRS's
samplers record, element for element, ties included. They are pure JAX: map them over lists with
`jax.vmap`, inside a jitted training step.

Reference: Veličković et al., *The CLRS Algorithmic Reasoning Benchmark*, ICML 2022.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from arlsort.reasoner.config import PLACE, algorithm_spec

Array = jax.Array


class Trace(NamedTuple):
    """The recorded states of one run of a sort.

    Attributes:
      hints: The choices of each hint, as ints: of a POINTER `[T, n]`, each element's target, with
        the first element's own predecessor and the root's own parent being itself; of a MASK_ONE
        its marked element and of a CATEGORICAL its state, both `[T]`. Beside CLRS's hints there is
        `place_h`, each element's place.
      order: `[n]` int, the elements in their final order.
      length: Scalar int, number of recorded states; later rows repeat the last one.
    """

    hints: dict[str, Array]
    order: Array
    length: Array


def predecessors(order: Array) -> Array:
    """Predecessor pointers of the elements of `order` `[..., n]`; the first's is itself."""
    before = jnp.concatenate([order[..., :1], order[..., :-1]], axis=-1)
    return _by_element(order, before)


def places_of(order: Array) -> Array:
    """Place of each element of `order` `[..., n]`: the inverse permutation."""
    return _by_element(order, _places(order.shape))


def parents(order: Array, heap_size: Array | int) -> Array:
    """Parent pointers of the elements of a heap. The root and elements outside are their own.

    Args:
      order: `[..., n]` the elements by place.
      heap_size: `[...]` the heap takes this many places, from the first.
    """
    places = _places(order.shape)
    below = (places > 0) & (places < jnp.asarray(heap_size)[..., None])
    above = order[..., np.maximum(np.arange(order.shape[-1]) - 1, 0) // 2]
    return _by_element(order, jnp.where(below, above, order))


def _places(shape: tuple[int, ...], axis: int = -1) -> Array:
    """Indices along an axis, in an array of the whole shape."""
    return jax.lax.broadcasted_iota(jnp.arange(0).dtype, shape, axis % len(shape))


def _by_element(order: Array, by_place: Array) -> Array:
    """Reorders values by place, `[..., n]`, to values by the element there.

    All comparisons at once: faster than a scatter, and than a gather under `jax.vmap`.
    """
    elements = _places((*order.shape, order.shape[-1]), axis=-2)
    return jnp.sum(jnp.where(order[..., None, :] == elements, by_place[..., None, :], 0), axis=-1)


def _pointers(orders: Array) -> dict[str, Array]:
    """The pointers that every sort has, of orders `[..., n]`."""
    return {"pred_h": predecessors(orders), PLACE: places_of(orders)}


def _at(v: Array, place: Array) -> Array:
    """`v[..., place]` of `[..., n]` and `[...]`, without a gather."""
    return jnp.sum(jnp.where(_places(v.shape) == place[..., None], v, 0), axis=-1)


def _swap(v: Array, a: Array, b: Array) -> Array:
    places = jnp.arange(v.shape[0])
    return jnp.where(places == a, _at(v, b), jnp.where(places == b, _at(v, a), v))


def insertion_sort(keys: Array) -> Trace:
    """Traces insertion sort: one state for each pass of its outer loop, `T = n`."""
    n = keys.shape[0]
    places = jnp.arange(n)

    def insert(state: tuple[Array, Array], j: Array) -> tuple[tuple[Array, Array], tuple]:
        a, order = state
        key = a[j]
        slot = jnp.sum((places < j) & (a <= key))  # the sorted prefix, ties keep their order
        displaced = order[slot]  # what stood in the slot; j itself when nothing moves
        shifted = (places > slot) & (places <= j)
        move = lambda v, new: jnp.where(  # noqa: E731
            places == slot, new, jnp.where(shifted, jnp.roll(v, 1), v)
        )
        a, order = move(a, key), move(order, j)
        return (a, order), (order, displaced, j)

    (_, order), (orders, i, j) = jax.lax.scan(insert, (keys, places), places[1:])
    return Trace(
        hints={
            **_pointers(jnp.concatenate([places[None], orders])),
            "i": jnp.pad(i, (1, 0)),
            "j": jnp.pad(j, (1, 0)),
        },
        order=order,
        length=jnp.asarray(n),
    )


def bubble_sort(keys: Array) -> Trace:
    """Traces bubble sort: one state for each comparison, `T = n (n - 1) / 2 + 1`."""
    n = keys.shape[0]
    places = jnp.arange(n)
    compared = [(i, j) for i in range(n - 1) for j in range(n - 1, i, -1)]
    compared_i = jnp.asarray([i for i, _ in compared], jnp.int32)
    compared_j = jnp.asarray([j for _, j in compared], jnp.int32)

    def compare(
        state: tuple[Array, Array], ij: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        a, order = state
        i, j = ij  # the same for all lists, so that indexing with them is no gather
        falls = a[j] < a[j - 1]
        here, before = (places == j) & falls, (places == j - 1) & falls
        a, order = (jnp.where(here, v[j - 1], jnp.where(before, v[j], v)) for v in (a, order))
        return (a, order), (order, order[i], order[j])

    (_, order), (orders, i, j) = jax.lax.scan(compare, (keys, places), (compared_i, compared_j))
    return Trace(
        hints={
            **_pointers(jnp.concatenate([places[None], orders])),
            "i": jnp.pad(i, (1, 0)),
            "j": jnp.pad(j, (1, 0)),
        },
        order=order,
        length=jnp.asarray(len(compared) + 1),
    )


class _Run(NamedTuple):
    """A sort between two states, where the number of states depends on the keys.

    All numbers share one array, since XLA spends a kernel on each array of a loop.
    """

    order: Array  # [n]
    stack: Array  # [2, n] what waits
    state: Array  # [k] numbers; the last is whether the sort is done
    marks: Array  # [m] numbers of the record of the step that led here


def _until_done(step: Callable[[_Run], _Run], start: _Run, total: int) -> tuple[Array, ...]:
    """Runs a sort for `total` steps; a finished one holds its last record.

    Returns:
      The order after each step `[total, n]`, the marks `[total, m]` and the number of steps
      before the sort was done.
    """

    def unless_done(run: _Run, _: None) -> tuple[_Run, tuple]:
        done = run.state[-1] > 0
        run = jax.tree.map(lambda old, new: jnp.where(done, old, new), run, step(run))
        return run, (run.order, run.marks, ~done)

    orders, marks, live = jax.lax.scan(unless_done, start, None, length=total)[1]
    return orders, marks, jnp.sum(live)


def quicksort(keys: Array) -> Trace:
    """Traces quicksort with Lomuto's partition: a state for each comparison and pivot swap.

    The recursion runs on an explicit stack, left part first. The number of states depends on the
    keys; the arrays have room for the most there can be, `T = n (n + 1) / 2 - 1`.
    """
    n = keys.shape[0]
    places = jnp.arange(n)
    names = ("p", "r", "i", "j")
    if n < 2:  # CLRS's quicksort records no state for a single key
        nothing = dict.fromkeys(names, jnp.zeros(1, places.dtype))
        nothing |= _pointers(places[None])
        return Trace(nothing, places, jnp.asarray(1))

    def step(run: _Run) -> _Run:
        p, r, i, j, waiting, _ = run.state  # the range, the scan in it, how many ranges wait
        pivoting = j == r
        key, pivot = (_at(keys, _at(run.order, place)) for place in (j, r))
        smaller = key <= pivot
        i = jnp.where(smaller & ~pivoting, i + 1, i)
        left = jnp.where(pivoting, i + 1, jnp.where(smaller, i, j))

        # After the pivot: the left part if there is something to sort in it, else the right part,
        # else the last part that waits. The right part waits while the left one is sorted.
        right, left_part = jnp.stack([i + 2, r]), jnp.stack([p, i])
        has_right, has_left = i + 2 < r, p < i
        waits, idle = pivoting & has_left & has_right, pivoting & ~has_left & ~has_right
        stack = jnp.where(((places == waiting) & waits)[None], right[:, None], run.stack)
        top = _at(run.stack, jnp.broadcast_to(jnp.maximum(waiting - 1, 0), 2))
        next_p, next_r = jnp.where(has_left, left_part, jnp.where(has_right, right, top))
        done = idle & (waiting == 0)
        waiting = waiting + waits - idle
        following = jnp.stack([next_p, next_r, next_p - 1, next_p, waiting, done])
        going_on = jnp.stack([p, r, i, j + 1, waiting, done])
        return _Run(
            order=_swap(run.order, left, j),
            stack=stack,
            state=jnp.where(pivoting, following, going_on),
            marks=jnp.stack([p, r, i + 1, j]),
        )

    zeros = functools.partial(jnp.zeros, dtype=places.dtype)
    first = jnp.array([0, n - 1, -1, 0, 0, 0], places.dtype)
    start = _Run(places, zeros((2, n)), first, zeros(4))
    total = algorithm_spec("quicksort").num_hints(n)
    orders, marks, length = _until_done(step, start, total)
    hints = {name: _at(orders, marks[:, i]) for i, name in enumerate(names)}
    return Trace({**_pointers(orders), **hints}, orders[-1], length)


_BUILD, _EXCHANGE, _REPAIR = range(3)  # CLRS's phases


def heapsort(keys: Array) -> Trace:
    """Traces heapsort: a state for each node an element sinks by, and for each exchanged root.

    The number of states depends on the keys; the arrays have room for the most there can be.
    """
    n = keys.shape[0]
    places = jnp.arange(n)

    def step(run: _Run) -> _Run:
        # The heap takes the first `size` places. Either its root is exchanged with its last, or
        # the element at `node` sinks below its larger child, which it does because of `cause`: the
        # place it was at, or where the last root went.
        size, exchanging, node, cause, building, _ = run.state
        exchanging, building = exchanging > 0, building > 0
        size = size - exchanging
        largest, most = node, _at(keys, _at(run.order, node))
        for child in (2 * node + 1, 2 * node + 2):
            key = _at(keys, _at(run.order, child))
            larger = (child < size) & (key > most)
            largest, most = jnp.where(larger, child, largest), jnp.where(larger, key, most)
        one, other = jnp.where(exchanging, 0, node), jnp.where(exchanging, size, largest)
        sinking = jnp.where(building, _BUILD, _REPAIR)
        marks = [
            jnp.where(exchanging, 0, cause),
            jnp.where(exchanging, size, node),
            largest,
            size - 1,
            jnp.where(exchanging, _EXCHANGE, sinking),
        ]
        # An element that sank to its place ends the building of a node, or the repair of the heap.
        rests = ~exchanging & (largest == node)
        building = building & ~(rests & (cause == 0))
        cause = jnp.where(exchanging, size, cause - (rests & building))
        node = jnp.where(exchanging, 0, jnp.where(rests, cause, largest))
        exchanging = rests & ~building
        done = exchanging & (size == 1)
        return run._replace(
            order=_swap(run.order, one, other),
            state=jnp.stack([size, exchanging, node, cause, building, done]),
            marks=jnp.stack(marks),
        )

    zeros = functools.partial(jnp.zeros, dtype=places.dtype)
    first = jnp.array([n, 0, n - 1, n - 1, 1, 0], places.dtype)
    start = _Run(places, zeros((2, 0)), first, zeros(5))
    total = algorithm_spec("heapsort").num_hints(n)
    orders, marks, length = _until_done(step, start, total - 1)
    i, j, largest, last, phase = marks.T
    hints = {
        **_pointers(orders),
        "parent": parents(orders, last + 1),
        "i": _at(orders, i),
        "j": _at(orders, j),
        "largest": jnp.where(phase == _EXCHANGE, 0, _at(orders, largest)),
        "heap_size": _at(orders, last),
        "phase": phase,
    }
    before = {
        **_pointers(places),
        "parent": parents(places, n),
        **dict.fromkeys(("i", "j", "largest", "heap_size"), jnp.asarray(n - 1)),
        "phase": jnp.asarray(_BUILD),
    }
    hints = {name: jnp.concatenate([before[name][None], hints[name]]) for name in before}
    return Trace(hints, orders[-1], length + 1)


_TRACERS: dict[str, Callable[[Array], Trace]] = {
    "insertion_sort": insertion_sort,
    "bubble_sort": bubble_sort,
    "quicksort": quicksort,
    "heapsort": heapsort,
}


def trace(algorithm: str, keys: Array) -> Trace:
    """Runs `algorithm` on `keys` `[n]` and returns the trace of CLRS.

    Raises:
      ValueError: for an unknown algorithm.

    Example:
      >>> import jax.numpy as jnp
      >>> trace("insertion_sort", jnp.array([0.3, 0.1, 0.2])).order.tolist()
      [1, 2, 0]
    """
    algorithm_spec(algorithm)
    return _TRACERS[algorithm](keys)


def traces_of_orders(algorithm: str, orders: Array) -> Trace:
    """The traces of lists that end in given orders `[b, n]`: those of their ranks.

    Example:
      >>> import jax.numpy as jnp
      >>> traces_of_orders("insertion_sort", jnp.array([[1, 2, 0]])).order.tolist()
      [[1, 2, 0]]
    """
    ranks = jnp.argsort(orders, axis=-1)
    return jax.vmap(functools.partial(trace, algorithm))(ranks)
