# SPDX-License-Identifier: Apache-2.0
"""Insertion sort, bubble sort and quicksort as array programs that record CLRS's probes.

Each function takes the keys of one list, ``[n]``, and returns its trace: every state CLRS's
samplers would record, element for element, ties included. They are pure JAX: map them over lists
with ``jax.vmap`` and run them inside a jitted training step.

Reference: Veličković et al., *The CLRS Algorithmic Reasoning Benchmark*, ICML 2022.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from arlsort.reasoner.config import algorithm_spec

Array = jax.Array


class Trace(NamedTuple):
    """The recorded states of one run of a sort.

    Attributes:
      pointers: ``[T, n]`` int, hint ``pred_h``: each element's predecessor in the current order;
        the first element points to itself.
      masks: for each MASK_ONE hint its marked element, ``[T]`` int.
      order: ``[n]`` int, the elements in their final order.
      length: scalar int, number of recorded states; later rows repeat the last one.
    """

    pointers: Array
    masks: dict[str, Array]
    order: Array
    length: Array


def predecessors(order: Array) -> Array:
    """Predecessor pointers of the elements of ``order`` ``[n]``; the first points to itself."""
    n = order.shape[0]
    places = jnp.arange(n)
    place_of = jnp.sum(jnp.where(order[None, :] == places[:, None], places[None, :], 0), axis=1)
    return order[jnp.maximum(place_of - 1, 0)]


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
        pointers=jnp.concatenate([predecessors(places)[None], pointers]),
        masks={"i": jnp.pad(i, (1, 0)), "j": jnp.pad(j, (1, 0))},
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
        pointers=jnp.concatenate([predecessors(places)[None], pointers]),
        masks={"i": jnp.pad(i, (1, 0)), "j": jnp.pad(j, (1, 0))},
        order=order,
        length=jnp.asarray(len(compared) + 1),
    )


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
        zero = jnp.zeros(1, places.dtype)
        masks = dict.fromkeys(("p", "r", "i", "j"), zero)
        return Trace(jnp.zeros((1, n), places.dtype), masks, places, jnp.asarray(1))
    zero, last = jnp.asarray(0), jnp.asarray(n - 1)
    stack = jnp.zeros(n, places.dtype)
    start = _Partition(
        keys, places, zero, last, zero - 1, zero, stack, stack, zero, jnp.asarray(False)
    )

    def step(s: _Partition, _: None) -> tuple[_Partition, tuple]:
        pivoting = s.j == s.r
        smaller = s.keys[s.j] <= s.keys[s.r]
        i = jnp.where(smaller & ~pivoting, s.i + 1, s.i)
        left = jnp.where(pivoting, i + 1, jnp.where(smaller, i, s.j))
        a, order = _swap(s.keys, left, s.j), _swap(s.order, left, s.j)
        record = (predecessors(order), order[s.p], order[s.r], order[i + 1], order[s.j])

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
        finished = pivoting & (waiting == 0)
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
            done=finished,
        )
        return jax.tree.map(lambda old, new: jnp.where(s.done, old, new), s, new), (
            *record,
            ~s.done,
        )

    total = algorithm_spec("quicksort").num_hints(n)
    end, (pointers, p, r, i, j, live) = jax.lax.scan(step, start, None, length=total)
    length = jnp.sum(live)
    held = jnp.minimum(jnp.arange(total), length - 1)  # a finished run holds its last state
    masks = {name: marked[held] for name, marked in zip("prij", (p, r, i, j), strict=True)}
    return Trace(pointers[held], masks, end.order, length)


_TRACERS: dict[str, Callable[[Array], Trace]] = {
    "insertion_sort": insertion_sort,
    "bubble_sort": bubble_sort,
    "quicksort": quicksort,
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
