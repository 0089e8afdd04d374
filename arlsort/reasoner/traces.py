# SPDX-License-Identifier: Apache-2.0
"""The sorts as array programs that record CLRS's probes.

Each function takes the keys of one list, ``[n]``, and returns its trace: every state CLRS's
samplers would record, element for element, ties included. They are pure JAX: map them over lists
with ``jax.vmap`` and run them inside a jitted training step.

Reference: Veličković et al., *The CLRS Algorithmic Reasoning Benchmark*, ICML 2022.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from arlsort.reasoner.config import algorithm_spec

Array = jax.Array


class Trace(NamedTuple):
    """The recorded states of one run of a sort.

    Attributes:
      hints: what each hint chooses, as ints: of a POINTER ``[T, n]``, each element's target, with
        the first element's own predecessor and the root's own parent being itself; of a MASK_ONE
        its marked element and of a CATEGORICAL its state, both ``[T]``.
      order: ``[n]`` int, the elements in their final order.
      length: scalar int, number of recorded states; later rows repeat the last one.
    """

    hints: dict[str, Array]
    order: Array
    length: Array


def predecessors(order: Array) -> Array:
    """Predecessor pointers of the elements of ``order`` ``[n]``; the first points to itself."""
    return order[jnp.maximum(_place_of(order) - 1, 0)]


def parents(order: Array, heap_size: Array | int) -> Array:
    """Parent pointers ``[n]`` of the elements of a heap; its root, and what is not in it, its own.

    Args:
      order: ``[n]`` the elements by place.
      heap_size: the heap takes this many places, from the first.
    """
    place = _place_of(order)
    below = (place > 0) & (place < heap_size)
    return jnp.where(below, order[jnp.maximum(place - 1, 0) // 2], jnp.arange(order.shape[0]))


def _place_of(order: Array) -> Array:
    """The place of each element of ``order`` ``[n]``."""
    places = jnp.arange(order.shape[0])
    return jnp.sum(jnp.where(order[None, :] == places[:, None], places[None, :], 0), axis=1)


def insertion_sort(keys: Array) -> Trace:
    """Traces insertion sort: one state for each pass of its outer loop, ``T = n``."""
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
        return (a, order), (predecessors(order), displaced, j)

    (_, order), (pointers, i, j) = jax.lax.scan(insert, (keys, places), places[1:])
    return Trace(
        hints={
            "pred_h": jnp.concatenate([predecessors(places)[None], pointers]),
            "i": jnp.pad(i, (1, 0)),
            "j": jnp.pad(j, (1, 0)),
        },
        order=order,
        length=jnp.asarray(n),
    )


def _swap(v: Array, a: Array, b: Array) -> Array:
    places = jnp.arange(v.shape[0])
    return jnp.where(places == a, v[b], jnp.where(places == b, v[a], v))


def bubble_sort(keys: Array) -> Trace:
    """Traces bubble sort: one state for each comparison, ``T = n (n - 1) / 2 + 1``."""
    n = keys.shape[0]
    places = jnp.arange(n)
    compared = [(i, j) for i in range(n - 1) for j in range(n - 1, i, -1)]
    compared_i = jnp.asarray([i for i, _ in compared], jnp.int32)
    compared_j = jnp.asarray([j for _, j in compared], jnp.int32)

    def compare(
        state: tuple[Array, Array], ij: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        a, order = state
        i, j = ij
        other = jnp.where(a[j] < a[j - 1], j - 1, j)
        a, order = _swap(a, j, other), _swap(order, j, other)
        return (a, order), (predecessors(order), order[i], order[j])

    (_, order), (pointers, i, j) = jax.lax.scan(compare, (keys, places), (compared_i, compared_j))
    return Trace(
        hints={
            "pred_h": jnp.concatenate([predecessors(places)[None], pointers]),
            "i": jnp.pad(i, (1, 0)),
            "j": jnp.pad(j, (1, 0)),
        },
        order=order,
        length=jnp.asarray(len(compared) + 1),
    )


def _until_done(
    step: Callable[[Any], tuple[Any, dict[str, Array]]], start: Any, total: int
) -> tuple[Any, dict[str, Array], Array]:
    """Runs a sort whose number of states depends on the keys.

    Args:
      step: makes the next state and record of a state that is not ``done``.
      start: the first state.
      total: steps there is room for; a finished run holds its last record.

    Returns:
      The last state, the records and how many of them there are.
    """

    def unless_done(state: Any, _: None) -> tuple[Any, tuple]:
        new, record = step(state)
        new = jax.tree.map(lambda old, new: jnp.where(state.done, old, new), state, new)
        return new, (record, ~state.done)

    end, (records, live) = jax.lax.scan(unless_done, start, None, length=total)
    length = jnp.sum(live)
    held = jnp.minimum(jnp.arange(total), length - 1)
    return end, {name: record[held] for name, record in records.items()}, length


class _Partition(NamedTuple):
    """State of the iterative quicksort: the current range, its scan, and the waiting ranges."""

    keys: Array
    order: Array
    p: Array
    r: Array
    i: Array
    j: Array
    stack_p: Array
    stack_r: Array
    waiting: Array
    done: Array


def quicksort(keys: Array) -> Trace:
    """Traces quicksort with Lomuto's partition: a state for each comparison and pivot swap.

    The recursion runs on an explicit stack, left part first. The number of states depends on the
    keys; the arrays have room for the most there can be, ``T = n (n + 1) / 2 - 1``.
    """
    n = keys.shape[0]
    places = jnp.arange(n)
    if n < 2:  # CLRS's quicksort records no state for a single key
        marks = dict.fromkeys(("p", "r", "i", "j"), jnp.zeros(1, places.dtype))
        hints = {"pred_h": jnp.zeros((1, n), places.dtype), **marks}
        return Trace(hints, places, jnp.asarray(1))
    zero, last = jnp.asarray(0), jnp.asarray(n - 1)
    stack = jnp.zeros(n, places.dtype)
    start = _Partition(
        keys, places, zero, last, zero - 1, zero, stack, stack, zero, jnp.asarray(False)
    )

    def step(s: _Partition) -> tuple[_Partition, dict[str, Array]]:
        pivoting = s.j == s.r
        smaller = s.keys[s.j] <= s.keys[s.r]
        i = jnp.where(smaller & ~pivoting, s.i + 1, s.i)
        left = jnp.where(pivoting, i + 1, jnp.where(smaller, i, s.j))
        a, order = _swap(s.keys, left, s.j), _swap(s.order, left, s.j)
        record = {
            "pred_h": predecessors(order),
            "p": order[s.p],
            "r": order[s.r],
            "i": order[i + 1],
            "j": order[s.j],
        }

        def push(p: Array, r: Array, stacks: tuple[Array, Array, Array]) -> tuple:
            stack_p, stack_r, waiting = stacks
            wanted = pivoting & (p < r)
            here = (places == waiting) & wanted
            return (
                jnp.where(here, p, stack_p),
                jnp.where(here, r, stack_r),
                waiting + wanted,
            )

        stacks = push(i + 2, s.r, (s.stack_p, s.stack_r, s.waiting))
        stack_p, stack_r, waiting = push(s.p, i, stacks)
        top = jnp.maximum(waiting - 1, 0)
        p = jnp.where(pivoting, stack_p[top], s.p)
        r = jnp.where(pivoting, stack_r[top], s.r)
        new = _Partition(
            keys=a,
            order=order,
            p=p,
            r=r,
            i=jnp.where(pivoting, p - 1, i),
            j=jnp.where(pivoting, p, s.j + 1),
            stack_p=stack_p,
            stack_r=stack_r,
            waiting=jnp.where(pivoting, top, waiting),
            done=pivoting & (waiting == 0),
        )
        return new, record

    end, hints, length = _until_done(step, start, algorithm_spec("quicksort").num_hints(n))
    return Trace(hints, end.order, length)


class _Heap(NamedTuple):
    """State of heapsort: what it does next, where, and what is still in the heap."""

    keys: Array
    order: Array
    heap_size: Array
    exchanging: Array  # the root goes behind the heap next; else an element sinks
    node: Array  # where the sinking element is
    cause: Array  # the place that had an element sink: itself, or where the last root went
    building: Array
    done: Array


_BUILD, _EXCHANGE, _REPAIR = range(3)  # CLRS's phases


def heapsort(keys: Array) -> Trace:
    """Traces heapsort: a state for each node an element sinks by, and for each exchanged root.

    The number of states depends on the keys; the arrays have room for the most there can be.
    """
    n = keys.shape[0]
    places = jnp.arange(n)
    last, true = jnp.asarray(n - 1), jnp.asarray(True)
    start = _Heap(keys, places, last + 1, ~true, last, last, true, ~true)

    def step(s: _Heap) -> tuple[_Heap, dict[str, Array]]:
        # Exchange the root with the last of the heap, or the sinking element with its larger child.
        heap_size = s.heap_size - s.exchanging
        left, right = 2 * s.node + 1, 2 * s.node + 2
        largest = s.node
        for child in (left, right):
            larger = (child < heap_size) & (s.keys[child] > s.keys[largest])
            largest = jnp.where(larger, child, largest)
        one, other = jnp.where(s.exchanging, 0, s.node), jnp.where(s.exchanging, heap_size, largest)
        a, order = _swap(s.keys, one, other), _swap(s.order, one, other)
        sinking = jnp.where(s.building, _BUILD, _REPAIR)
        record = {
            "pred_h": predecessors(order),
            "parent": parents(order, heap_size),
            "i": order[jnp.where(s.exchanging, 0, s.cause)],
            "j": order[jnp.where(s.exchanging, heap_size, s.node)],
            "largest": jnp.where(s.exchanging, 0, order[largest]),
            "heap_size": order[heap_size - 1],
            "phase": jnp.where(s.exchanging, _EXCHANGE, sinking),
        }
        # An element that sank to its place ends the building of a node, or the repair of the heap.
        rests = ~s.exchanging & (largest == s.node)
        built = s.building & rests & (s.cause == 0)
        building = s.building & ~built
        exchanging = rests & ~building
        cause = jnp.where(s.exchanging, heap_size, s.cause - (rests & building))
        new = _Heap(
            keys=a,
            order=order,
            heap_size=heap_size,
            exchanging=exchanging,
            node=jnp.where(s.exchanging, 0, jnp.where(rests, cause, largest)),
            cause=cause,
            building=building,
            done=exchanging & (heap_size == 1),
        )
        return new, record

    total = algorithm_spec("heapsort").num_hints(n)
    end, hints, length = _until_done(step, start, total - 1)
    first = {
        "pred_h": predecessors(places),
        "parent": parents(places, n),
        **dict.fromkeys(("i", "j", "largest", "heap_size"), last),
        "phase": jnp.asarray(_BUILD),
    }
    hints = {name: jnp.concatenate([first[name][None], hints[name]]) for name in first}
    return Trace(hints, end.order, length + 1)


_TRACERS: dict[str, Callable[[Array], Trace]] = {
    "insertion_sort": insertion_sort,
    "bubble_sort": bubble_sort,
    "quicksort": quicksort,
    "heapsort": heapsort,
}


def trace(algorithm: str, keys: Array) -> Trace:
    """Runs ``algorithm`` on ``keys`` ``[n]`` and returns what CLRS would have recorded.

    Raises:
      ValueError: for an unknown algorithm.

    Example:
      >>> import jax.numpy as jnp
      >>> trace("insertion_sort", jnp.array([0.3, 0.1, 0.2])).order.tolist()
      [1, 2, 0]
    """
    algorithm_spec(algorithm)
    return _TRACERS[algorithm](keys)
