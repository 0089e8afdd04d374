# SPDX-License-Identifier: Apache-2.0
"""Soft k nearest neighbours: how much each candidate is one of the k nearest, and losses on it.

The k nearest of a query are the k largest of the negative distances, so any operator that knows a
soft top k knows soft neighbours. A network that embeds queries and candidates is trained so that
those near each other are of one class.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from arlsort import checks, selection
from arlsort.numerics import finite
from arlsort.operators import base, hard, registry

Metric = Callable[[jax.Array, jax.Array], jax.Array]

# Numbers that a metric of the user's may need at one time: those of a block of candidates.
_AT_ONCE = 2**24


def squared_euclidean(queries: jax.Array, candidates: jax.Array) -> jax.Array:
    """Squared Euclidean distances by one matrix product, `|q|^2 - 2 q c + |c|^2`, at least zero.

    Args:
      queries: `[q, d]`, floating.
      candidates: `[c, d]`.

    Returns:
      `[q, c]`.

    Example:
      >>> import jax.numpy as jnp
      >>> print(squared_euclidean(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0], [0.0, 0.0]])))
      [[25.  0.]]
    """
    centre = lax.stop_gradient(candidates.mean(axis=0, keepdims=True))  # for the rounding
    queries, candidates = queries - centre, candidates - centre
    product = jnp.matmul(queries, candidates.T, precision=lax.Precision.HIGHEST)
    own = (queries**2).sum(axis=-1)[:, None]
    theirs = (candidates**2).sum(axis=-1)[None]
    return jnp.maximum(own - 2 * product + theirs, 0.0)


def soft_neighbours(
    queries: jax.Array,
    candidates: jax.Array,
    k: int,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    metric: Metric = squared_euclidean,
    where: jax.Array | None = None,
) -> jax.Array:
    """Returns how much each candidate is one of the k nearest of each query.

    With distances `d[i, j]` these are the weights `top_k_mask(-d, k)`. Memory is that of a few
    arrays `[q, c]`; networks and `softsort` also make k rows of that.

    Args:
      queries: `[q, d]`, floating.
      candidates: `[c, d]`, floating.
      k: How many, from 1 to c.
      operator: How to sort; its temperature is in the unit of the distances.
      metric: A differentiable function of queries `[q, d]` and candidates `[b, d]` that returns
        distances `[q, b]`. It is called for blocks of candidates, so it may form `[q, b, d]`.
      where: Mask of the candidates that count, of a shape that broadcasts to `[q, c]`. A candidate
        that counts for no query changes nothing, even if it holds NaN.

    Returns:
      Weights `[q, c]` in [0, 1] of the dtype of `queries`; those of a query sum to k. A query with
      a NaN or an infinity gets NaN weights and a gradient of zero; other queries do not notice.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: If shapes do not match, k is not from 1 to c, or as for `top_k_mask`.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> candidates = jnp.array([[0.0], [1.0], [5.0]])
      >>> print(arlsort.soft_neighbours(jnp.array([[0.2]]), candidates, 2, "lapsum").round(1))
      [[1. 1. 0.]]

    References:
      Grover et al., Stochastic Optimization of Sorting Networks via Continuous Relaxations,
      ICLR 2019.
    """
    queries, candidates = _check_points(queries, candidates)
    k = _check_k(k, candidates.shape[0])
    if where is not None:
        shape = queries.shape[0], candidates.shape[0]
        where = checks.check_mask("where", where, shape, "the distances")
        # What no query may have is in no mean and in no product.
        candidates = jnp.where(where.any(axis=0)[:, None], candidates, 0)
    unknown = ~jnp.isfinite(queries).all(axis=-1, keepdims=True)
    distances = _distances(jnp.where(unknown, 0, queries), candidates, metric)
    weights = selection.top_k_mask(-distances, k, operator, where=where).astype(queries.dtype)
    return jnp.where(unknown, jnp.nan, weights)


def knn_loss(
    queries: jax.Array,
    candidates: jax.Array,
    query_labels: jax.Array,
    candidate_labels: jax.Array,
    k: int,
    operator: str | base.Operator = registry.DEFAULT,
    *,
    metric: Metric = squared_euclidean,
    where: jax.Array | None = None,
) -> jax.Array:
    """Minus the share of the k soft neighbours with the class of the query, on average.

    Args:
      queries: `[q, d]`, floating.
      candidates: `[c, d]`, floating.
      query_labels: Integers `[q]`.
      candidate_labels: Integers `[c]`.
      k: How many, from 1 to c.
      operator: How to sort.
      metric: As for `soft_neighbours`.
      where: As for `soft_neighbours`.

    Returns:
      A number from -1, all neighbours of the right class, to 0.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: As for `soft_neighbours`.

    Example:
      >>> import jax.numpy as jnp
      >>> x, labels = jnp.array([[0.0], [0.1], [5.0], [5.1]]), jnp.array([0, 0, 1, 1])
      >>> print(knn_loss(x, x, labels, labels, 2, "hard"))
      -1.0

    References:
      Grover et al., ICLR 2019.
    """
    weights = soft_neighbours(queries, candidates, k, operator, metric=metric, where=where)
    of_queries = _check_labels("query_labels", query_labels, weights.shape[0])
    of_candidates = _check_labels("candidate_labels", candidate_labels, weights.shape[1])
    same = of_queries[:, None] == of_candidates[None]
    return -jnp.where(same, weights, 0.0).sum(axis=-1).mean() / k


def knn_predict(
    queries: jax.Array,
    candidates: jax.Array,
    candidate_labels: jax.Array,
    k: int,
    num_classes: int,
    operator: str | base.Operator = "hard",
    *,
    metric: Metric = squared_euclidean,
    batch_size: int = 100,
) -> jax.Array:
    """Predicts the class that most of the k neighbours have.

    Args:
      queries: `[q, d]`, floating; taken in batches, so there may be any number.
      candidates: `[c, d]`, floating.
      candidate_labels: Integers `[c]`, each from 0 to `num_classes - 1`.
      k: How many, from 1 to c.
      num_classes: How many classes there are.
      operator: How to sort; soft neighbours vote by their weights. Of classes with equal votes the
        first one wins.
      metric: As for `soft_neighbours`.
      batch_size: Queries that are compared with all candidates at one time.

    Returns:
      Classes `[q]`, int32.

    Raises:
      TypeError: If an argument has the wrong type or dtype.
      ValueError: As for `soft_neighbours`; if a label is known and is no class; or if a class has
        no candidate, so that it could never be predicted.

    Example:
      >>> import jax.numpy as jnp
      >>> x, labels = jnp.array([[0.0], [0.1], [5.0], [5.1]]), jnp.array([0, 0, 1, 1])
      >>> print(knn_predict(jnp.array([[0.3], [4.0]]), x, labels, 1, 2))
      [0 1]
    """
    queries, candidates = _check_points(queries, candidates)
    k = _check_k(k, candidates.shape[0])
    labels = _check_labels("candidate_labels", candidate_labels, candidates.shape[0])
    checks.check_count("num_classes", num_classes)
    checks.check_count("batch_size", batch_size)
    check_classes(labels, num_classes)
    votes = jax.nn.one_hot(labels, num_classes, dtype=finite.work_dtype(queries))

    def predict(some: jax.Array) -> jax.Array:
        if isinstance(registry.get(operator), hard.Hard):
            total = _exact_votes(some, candidates, votes, k, metric)
        else:
            weights = soft_neighbours(some, candidates, k, operator, metric=metric)
            total = jnp.matmul(weights.astype(votes.dtype), votes, precision=lax.Precision.HIGHEST)
        return jnp.argmax(total, axis=-1).astype(jnp.int32)

    count, size = queries.shape[0], min(batch_size, max(queries.shape[0], 1))
    whole = count // size * size
    parts = queries[:whole].reshape(-1, size, queries.shape[1])
    found = lax.map(predict, parts).reshape(-1)
    return found if whole == count else jnp.concatenate([found, predict(queries[whole:])])


def _exact_votes(
    queries: jax.Array, candidates: jax.Array, votes: jax.Array, k: int, metric: Metric
) -> jax.Array:
    """The votes of the exact k nearest, without an array of weights: `[q, classes]`."""
    distances = _distances(queries, candidates, metric)
    distances = jnp.where(distances == 0, 0.0, distances)  # ties of zeros of either sign too
    nearest = lax.top_k(-distances, k)[1]  # [q, k]
    unknown = jnp.isnan(distances).any(axis=-1) | ~jnp.isfinite(queries).all(axis=-1)
    return jnp.where(unknown[:, None], jnp.nan, votes[nearest].sum(axis=1))


def _distances(queries: jax.Array, candidates: jax.Array, metric: Metric) -> jax.Array:
    """Distances `[q, c]`, by the user's function in blocks of candidates."""
    if not callable(metric):
        allowed = "a function of queries and candidates"
        raise TypeError(checks.error_message("metric", repr(metric), allowed))

    def measure(block: jax.Array) -> jax.Array:
        found = metric(queries, block)
        expected = (queries.shape[0], block.shape[0])
        shape = getattr(found, "shape", None)
        if shape != expected:
            received = f"a function that returns shape {shape}"
            raise ValueError(checks.error_message("metric", received, f"one of shape {expected}"))
        return jnp.asarray(found)

    count = candidates.shape[0]
    size = max(1, _AT_ONCE // max(1, math.prod(queries.shape)))
    if metric is squared_euclidean or size >= count:
        return measure(candidates)
    whole = count // size * size
    parts = candidates[:whole].reshape(-1, size, candidates.shape[1])
    found = lax.map(jax.checkpoint(measure), parts)  # [blocks, q, size]
    found = jnp.moveaxis(found, 0, 1).reshape(queries.shape[0], whole)
    if whole < count:
        found = jnp.concatenate([found, measure(candidates[whole:])], axis=1)
    return found


def _check_points(queries: Any, candidates: Any) -> tuple[jax.Array, jax.Array]:
    queries = checks.check_scores("queries", queries)
    candidates = checks.check_scores("candidates", candidates)
    if queries.ndim != 2:
        raise ValueError(checks.error_message("queries", f"shape {queries.shape}", "[q, d]"))
    if candidates.ndim != 2 or candidates.shape[1] != queries.shape[1]:
        allowed = f"[c, {queries.shape[1]}], as wide as the queries"
        raise ValueError(checks.error_message("candidates", f"shape {candidates.shape}", allowed))
    return queries, candidates


def _check_k(k: Any, candidates: int) -> int:
    k = checks.check_integer("k", k)
    if not 1 <= k <= candidates:
        raise ValueError(checks.error_message("k", k, f"1 to {candidates}, the candidates"))
    return k


def _check_labels(argument: str, labels: Any, count: int) -> jax.Array:
    if not isinstance(labels, (jax.Array, np.ndarray)):
        raise TypeError(checks.error_message(argument, type(labels).__name__, "an array of ints"))
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(checks.error_message(argument, f"dtype {labels.dtype}", "integers"))
    if labels.shape != (count,):
        raise ValueError(checks.error_message(argument, f"shape {labels.shape}", f"({count},)"))
    return jnp.asarray(labels)


def check_classes(labels: jax.Array, num_classes: int) -> None:
    """Raises ValueError if a label is no class, or a class has no label, where they are known."""
    if isinstance(labels, jax.core.Tracer):
        return
    known = np.asarray(labels)
    wrong = known[(known < 0) | (known >= num_classes)]
    if wrong.size:
        allowed = f"0 to {num_classes - 1}"
        raise ValueError(checks.error_message("candidate_labels", int(wrong[0]), allowed))
    empty = sorted(set(range(num_classes)) - set(known.tolist()))
    if empty:
        allowed = "at least one candidate of each class"
        raise ValueError(checks.error_message("candidate_labels", f"none of {empty[0]}", allowed))
