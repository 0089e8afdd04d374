# SPDX-License-Identifier: Apache-2.0
"""Algorithms as layers, each written in the language of `programs`."""

from typing import Any

import jax
import jax.numpy as jnp

from arlsort import checks
from arlsort.checks import error_message
from arlsort.numerics import finite
from arlsort.programs import bubble, conditions, control, relaxed, states
from arlsort.programs.conditions import and_
from arlsort.programs.relaxed import Relaxer

NORMS = ("probabilistic", "hamacher", "yager")
"""The t-conorms that join the marks of a path."""

NEIGHBOURS = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))
"""The ways from a cell of a grid, as (rows, columns)."""

# What surrounds a grid costs at least this, and more than twice all of its cells.
_WALL = 1e12

# AlgoVision's example of a shortest path joins marks with it.
_HAMACHER = 5.0


def bubble_sort_in_steps(
    r: Relaxer, x: jax.Array, *, count: str = "swaps"
) -> tuple[jax.Array, jax.Array]:
    """`bubble_sort` in the language of programs; `relaxed` makes a layer of it."""
    checks.check_choice("count", count, ("swaps", "any"))
    n = len(x)

    def compare(i: jax.Array, s: dict[str, Any]) -> dict[str, Any]:
        a, b = s["x"][i], s["x"][i + 1]
        swaps = s["swaps"] + 1 if count == "swaps" else 1.0
        swapped = dict(s, x=s["x"].at[i].set(b).at[i + 1].set(a), again=1.0, swaps=swaps)
        return r.if_(r.greater(a, b), swapped, s)

    def one_pass(k: jax.Array, s: dict[str, Any]) -> dict[str, Any]:
        return control.for_(max(n - 1, 0), compare, dict(s, again=0.0), stop=n - 1 - k)

    start = {"x": x, "again": 1.0, "swaps": 0.0}
    end = r.while_(lambda s: s["again"], one_pass, start, max_steps=max(n, 1))
    return end["x"], end["swaps"]


@relaxed.relaxed(ranks=(1,))
def bubble_sort(r: Relaxer, x: jax.Array, *, count: str = "swaps") -> tuple[jax.Array, jax.Array]:
    """Sorts by bubble sort, and counts its swaps.

    Pass k compares and swaps neighbours `(i, i + 1)` for i < n - 1 - k. Passes go on while the last
    one has swapped. In an ascending list every swap is a mistake, so the mean number of swaps is a
    loss for a network whose scores are listed in the true order. A tie counts as half a swap: three
    equal scores cost 1.375.

    Beyond +-M, 2^16 below the largest number of their dtype or float32, scores are clipped to that,
    and infinite ones come back as M; with `hard` they come back as they are. NaN makes all NaN.

    Args:
      r: Given by `relaxed`; not an argument of the layer.
      x: Scores `[..., n]`, floating.
      count: `swaps`, how many there are; or `any`, the weight that there is one.

    Keyword arguments of every relaxed program are `temperature`, `distribution` and `hard`, see
    `relaxed`.

    Returns:
      The scores `[..., n]` ascending, and the count `[...]`.

    Example:
      >>> import jax.numpy as jnp
      >>> values, swaps = bubble_sort(jnp.array([3.0, 1.0, 2.0]), temperature=0.01)
      >>> print(values, swaps)
      [1. 2. 3.] 2.0

    References:
      Petersen et al., Learning with Algorithmic Supervision via Continuous Relaxations,
      NeurIPS 2021.
    """
    x = checks.check_scores("x", x)
    if r.exact or len(x) < 2:
        return bubble_sort_in_steps(r, x, count=count)
    checks.check_choice("count", count, ("swaps", "any"))
    scores = finite.clip(x)
    nothing = jnp.zeros_like(scores, shape=(len(x), 0))
    found = bubble.run(conditions.comparator(r.swap, scores.dtype), scores, nothing)
    counted = found.swaps if count == "swaps" else found.any
    return found.values.astype(x.dtype), counted


@relaxed.relaxed(ranks=(1,))
def insertion_sort(r: Relaxer, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sorts by insertion sort, and counts how often an element moves down by one place.

    Args:
      r: Given by `relaxed`; not an argument of the layer.
      x: Scores `[..., n]`, floating.

    Returns:
      The scores `[..., n]` ascending, and the number of moves `[...]`.

    Example:
      >>> import jax.numpy as jnp
      >>> values, moves = insertion_sort(jnp.array([3.0, 1.0, 2.0]), temperature=0.01)
      >>> print(values, moves)
      [1. 2. 3.] 2.0
    """
    n = len(checks.check_scores("x", x))

    def insert(i: jax.Array, s: dict[str, Any]) -> dict[str, Any]:
        def move(k: jax.Array, s: dict[str, Any]) -> dict[str, Any]:
            j = i - 1 - k
            a, b = s["x"][j], s["x"][j + 1]
            moved = dict(s, x=s["x"].at[j].set(b).at[j + 1].set(a), moves=s["moves"] + 1)
            return r.if_(and_(s["going"], r.greater(a, b)), moved, dict(s, going=0.0))

        return control.for_(n - 1, move, dict(s, going=1.0), stop=i)

    start = {"x": x, "going": 1.0, "moves": 0.0}
    end = control.for_(n, insert, start) if n > 1 else states.canonical(start)
    return end["x"], end["moves"]


@relaxed.relaxed(ranks=(0, 0))
def multiply(r: Relaxer, a: jax.Array, b: jax.Array, *, most: int = 16) -> jax.Array:
    """Multiplies by repeated addition: adds a as long as more than half of one is left of b.

    The number of passes depends on b, and so does the gradient, through the weight of every pass.

    Args:
      r: Given by `relaxed`; not an argument of the layer.
      a: Numbers `[...]`, floating.
      b: Whole numbers `[...]` of at most `most`, floating.
      most: How many passes there are, static.

    Returns:
      The products `[...]`.

    Example:
      >>> import jax.numpy as jnp
      >>> print(multiply(jnp.array(1.5), jnp.array(4.0), temperature=0.01))
      6.0
    """
    a, b = states.check_floating("a", a), states.check_floating("b", b)

    def once(_: jax.Array, s: dict[str, Any]) -> dict[str, Any]:
        return {"total": s["total"] + a, "left": s["left"] - 1}

    start = {"total": 0.0 * a, "left": b}
    return r.while_(lambda s: r.greater(s["left"], 0.5), once, start, max_steps=most)["total"]


@relaxed.relaxed(ranks=(1, 0))
def binary_search(r: Relaxer, x: jax.Array, value: jax.Array) -> jax.Array:
    """Counts by binary search how many of ascending numbers are less than a value.

    A read is exact, at the nearest place below the middle, and so is the test whether anything is
    left to search. So gradients come only from comparisons with the value.

    Args:
      r: Given by `relaxed`; not an argument of the layer.
      x: Ascending numbers `[..., n]`, floating; n >= 1.
      value: What is searched `[...]`.

    Returns:
      The soft number of smaller ones `[...]`, in [0, n].

    Example:
      >>> import jax.numpy as jnp
      >>> print(binary_search(jnp.arange(8.0), jnp.array(4.5), temperature=0.01))
      5.0
    """
    n = len(x)
    if n == 0:
        raise ValueError(error_message("x", f"shape {x.shape}", "one number or more"))

    def halve(_: jax.Array, s: dict[str, Any]) -> dict[str, Any]:
        middle = jnp.floor((s["low"] + s["high"]) / 2)
        read = x[jnp.clip(middle.astype(jnp.int32), 0, n - 1)]
        return r.if_(r.less(read, value), dict(s, low=middle + 1), dict(s, high=middle))

    def open_(s: dict[str, Any]) -> jax.Array:
        # Places are compared in places: the temperature is in the unit of the numbers.
        return jnp.where(s["high"] - s["low"] > 0.5, 1.0, 0.0)

    start = {"low": 0.0, "high": float(n)}
    low = r.while_(open_, halve, start, max_steps=n.bit_length())["low"]
    return finite.within(low, jnp.zeros_like(low), jnp.full_like(low, n))


@relaxed.relaxed(ranks=(2, 2))
def levenshtein(r: Relaxer, a: jax.Array, b: jax.Array) -> jax.Array:
    """The edit distance of two strings of class probabilities.

    `D[i, j] = min(D[i-1, j] + 1, D[i, j-1] + 1, D[i-1, j-1] + 1 - same(a[i], b[j]))`, with the
    soft minimum and the condition `same` of `Relaxer`.

    Args:
      r: Given by `relaxed`; not an argument of the layer.
      a: `[..., m, classes]`; each row has the probabilities of one character.
      b: `[..., n, classes]`.

    Returns:
      The distance `[...]`, in edits; of half precision in float32.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> one, other = (jax.nn.one_hot(jnp.array(s), 5) for s in ([0, 1, 2, 3], [0, 2, 4]))
      >>> print(levenshtein(one, other, temperature=0.01).round(2))
      2.0

    References:
      Petersen et al., Learning with Algorithmic Supervision via Continuous Relaxations,
      NeurIPS 2021; Levenshtein, Soviet Physics Doklady 1966.
    """
    a, b = checks.check_scores("a", a), checks.check_scores("b", b)
    if a.shape[-1] != b.shape[-1]:
        received, allowed = f"{b.shape[-1]} classes", f"{a.shape[-1]}, those of a"
        raise ValueError(error_message("b", received, allowed))
    m, n = len(a), len(b)
    same = jax.vmap(lambda one: jax.vmap(lambda other: r.same(one, other))(b))(a)  # [m, n]
    zero, one = jnp.zeros((), same.dtype), jnp.ones((), same.dtype)
    down, along = (jnp.arange(size + 1, dtype=same.dtype) for size in (m, n))
    table = jnp.zeros((m + 1, n + 1), same.dtype).at[:, 0].set(down).at[0, :].set(along)

    def row(i: jax.Array, table: jax.Array) -> jax.Array:
        def cell(j: jax.Array, table: jax.Array) -> jax.Array:
            substitute = r.if_(same[i, j], zero, one)
            ways = (table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + substitute)
            return table.at[i + 1, j + 1].set(r.minimum(*ways))

        return control.for_(n, cell, table)

    return control.for_(m, row, table)[m, n]


@relaxed.relaxed(ranks=(2,))
def shortest_path(
    r: Relaxer,
    costs: jax.Array,
    *,
    steps: int | None = None,
    tconorm: str = "probabilistic",
    parameter: float | None = None,
) -> jax.Array:
    """Marks the cheapest way from the top left of a grid to the bottom right, over 8 neighbours.

    Bellman-Ford with soft minima, `D[u] = sum_v w[u, v] D[v] + cost[u]` with
    `w[u, :] = softmax(-D[v] / temperature)` over the neighbours and D = 0 at the start. Then a
    weight of one goes back from the end by w, and what passes a cell is joined to its mark by a
    t-conorm: `probabilistic`, `p + q - p q`; `yager`, `min(1, p + q)`; or `hamacher`,
    `(p + q + (c - 2) p q) / (1 + (c - 1) p q)` with c the parameter, at 1 the probabilistic one.

    An infinite cost counts as the largest number, so the path avoids it if it can.

    Args:
      r: Given by `relaxed`; not an argument of the layer.
      costs: The cost of each cell, `[..., h, w]`, positive; the start costs nothing.
      steps: How many passes there are, each way; by default one for every cell, which finds any
        way. AlgoVision's example takes 25 for 12 x 10.
      tconorm: How marks are joined.
      parameter: Of `hamacher`, > 0; 5 by default, as in AlgoVision's example.

    Returns:
      The mark of every cell `[..., h, w]`, in [0, 1].

    Raises:
      TypeError: If the costs are not floating, or the parameter is not a static number.
      ValueError: If the t-conorm is not known, or the parameter not above zero or of another one.

    Example:
      >>> import jax.numpy as jnp
      >>> costs = jnp.array([[1.0, 9.0, 1.0], [1.0, 9.0, 1.0], [9.0, 1.0, 1.0]])
      >>> print(shortest_path(costs, temperature=0.01).round(1))
      [[1. 0. 0.]
       [1. 0. 0.]
       [0. 1. 1.]]

    References:
      Petersen et al., Learning with Algorithmic Supervision via Continuous Relaxations,
      NeurIPS 2021; Bellman, Quarterly of Applied Mathematics 1958.
    """
    checks.check_choice("tconorm", tconorm, NORMS)
    if parameter is not None:
        checks.check_positive("parameter", parameter)
        if tconorm != "hamacher":
            raise ValueError(error_message("parameter", parameter, f"None for {tconorm}"))
    c = _HAMACHER if parameter is None else float(parameter)
    given = checks.check_scores("costs", costs)
    costs = given.astype(finite.work_dtype(given))
    largest = finite.largest(costs.dtype) / max(costs.size, 1)  # so that all together are finite
    costs = jnp.clip(costs, -largest, largest)
    steps = costs.size if steps is None else steps
    before = _ways_to(r, costs, steps)

    def back(_: jax.Array, s: dict[str, jax.Array]) -> dict[str, jax.Array]:
        sent = jnp.pad(s["at"][..., None] * before, ((1, 1), (1, 1), (0, 0)))
        parts = [_shifted(sent[..., k], -i, -j) for k, (i, j) in enumerate(NEIGHBOURS)]
        marked = _joined(s["marked"], s["at"], tconorm, c)
        return {"at": jnp.stack(parts).sum(axis=0), "marked": marked}

    end = jnp.zeros_like(costs).at[-1, -1].set(1.0)
    marked = control.for_(steps, back, {"at": end, "marked": jnp.zeros_like(end)})["marked"]
    return marked.astype(given.dtype)


def _ways_to(r: Relaxer, costs: jax.Array, steps: int) -> jax.Array:
    """By Bellman-Ford, the weight of each neighbour as the place before, `[h, w, 8]`."""
    wall = _WALL + 2 * jax.lax.stop_gradient(jnp.abs(costs).sum())

    def relax(_: jax.Array, s: dict[str, jax.Array]) -> dict[str, jax.Array]:
        padded = jnp.pad(s["distance"], 1, constant_values=wall)
        around = jnp.stack([_shifted(padded, *way) for way in NEIGHBOURS], axis=-1)
        before = r.argmin(around, axis=-1)
        distance = (before * around).sum(axis=-1) + costs
        # What has come to the start goes no further.
        return {"distance": distance.at[0, 0].set(0.0), "before": before.at[0, 0].set(0.0)}

    distance = jnp.full_like(costs, wall).at[0, 0].set(0.0)
    start = {"distance": distance, "before": jnp.zeros_like(costs, shape=(*costs.shape, 8))}
    return control.for_(steps, relax, start)["before"]


def _shifted(padded: jax.Array, i: int, j: int) -> jax.Array:
    """What is at (row + i, column + j) of a padded grid, for every place of the grid."""
    h, w = padded.shape
    return padded[1 + i : h - 1 + i, 1 + j : w - 1 + j]


def _joined(p: jax.Array, q: jax.Array, tconorm: str, c: float) -> jax.Array:
    if tconorm == "probabilistic":
        return p + q - p * q
    if tconorm == "hamacher":
        both = p * q
        return (p + q + (c - 2) * both) / (1 + (c - 1) * both)
    return 1 - jax.nn.relu(1 - p - q)
