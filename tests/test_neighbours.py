# SPDX-License-Identifier: Apache-2.0
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from arlsort import neighbours

RNG = np.random.default_rng(4)
QUERIES = jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32)
CANDIDATES = jnp.asarray(RNG.normal(size=(7, 2)), jnp.float32)
LABELS = jnp.asarray([0, 1, 2, 0, 1, 2, 1])
LAPSUM = arlsort.LapSum(temperature=0.3)


def _distances(metric=lambda d: (d**2).sum(-1)):
    return metric(np.asarray(QUERIES)[:, None] - np.asarray(CANDIDATES)[None])


def test_the_exact_neighbours_are_the_k_nearest():
    weights = np.asarray(arlsort.soft_neighbours(QUERIES, CANDIDATES, 3, "hard"))
    for row, distances in zip(weights, _distances(), strict=True):
        assert set(np.flatnonzero(row == 1)) == set(np.argsort(distances)[:3])
        assert row.sum() == 3


@pytest.mark.parametrize("operator", [LAPSUM, "permutahedron"], ids=["lapsum", "permutahedron"])
def test_weights_are_the_mask_of_the_nearest(operator):
    weights = arlsort.soft_neighbours(QUERIES, CANDIDATES, 3, operator)
    expected = arlsort.top_k_mask(jnp.asarray(-_distances()), 3, operator)
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), 3, atol=1e-5)


def test_blocks_of_candidates_change_nothing(monkeypatch):
    def taxicab(queries, candidates):
        return jnp.abs(queries[:, None] - candidates[None]).sum(axis=-1)

    run = functools.partial(arlsort.soft_neighbours, QUERIES, CANDIDATES, 2, LAPSUM, metric=taxicab)
    whole = run()
    expected = arlsort.top_k_mask(jnp.asarray(-_distances(lambda d: np.abs(d).sum(-1))), 2, LAPSUM)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    monkeypatch.setattr(neighbours, "_AT_ONCE", 3 * QUERIES.size)
    np.testing.assert_allclose(run(), whole, atol=1e-6)


def test_one_query_and_one_candidate_are_lists_too():
    weights = arlsort.soft_neighbours(QUERIES[:1], CANDIDATES[:1], 1, LAPSUM)
    np.testing.assert_allclose(weights, [[1.0]])


def test_masked_candidates_are_no_neighbours():
    where = jnp.arange(7) < 5
    weights = arlsort.soft_neighbours(QUERIES, CANDIDATES, 2, LAPSUM, where=where)
    some = arlsort.soft_neighbours(QUERIES, CANDIDATES[:5], 2, LAPSUM)
    np.testing.assert_allclose(weights[:, :5], some, atol=1e-6)
    assert not np.asarray(weights[:, 5:]).any()


@jax.jit
def _masked(queries, candidates, where):
    def total(queries, candidates):
        weights = arlsort.soft_neighbours(queries, candidates, 2, LAPSUM, where=where)
        return jnp.where(jnp.isnan(weights), 0.0, weights**2).sum(), weights

    return jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(queries, candidates)


@pytest.mark.parametrize("junk", [np.nan, np.inf, 1e8])
def test_what_stands_in_masked_candidates_changes_nothing(junk):
    where = jnp.arange(7) < 5
    (_, want), slopes = _masked(QUERIES, CANDIDATES.at[5:].set(0.0), where)
    (_, found), (by_query, by_candidate) = _masked(QUERIES, CANDIDATES.at[5:].set(junk), where)
    np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(by_query, slopes[0])
    np.testing.assert_array_equal(by_candidate, slopes[1])
    some = arlsort.soft_neighbours(QUERIES, CANDIDATES[:5], 2, LAPSUM)
    np.testing.assert_allclose(found[:, :5], some, atol=1e-5)
    assert np.asarray(by_query).any() and not np.asarray(by_candidate)[5:].any()


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_a_query_that_is_unknown_has_no_effect_on_others(junk):
    where = jnp.arange(7) < 5
    (_, want), slopes = _masked(QUERIES, CANDIDATES, where)
    (_, found), (by_query, by_candidate) = _masked(QUERIES.at[1, 0].set(junk), CANDIDATES, where)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[::2], want[::2])
    np.testing.assert_array_equal(by_query[::2], slopes[0][::2])
    assert not np.asarray(by_query[1]).any() and np.isfinite(by_candidate).all()


def test_the_temperature_of_a_stochastic_operator_is_not_ignored():
    def draw(temperature):
        operator = arlsort.NeuralSort(temperature, stochastic=True, key=jax.random.key(0))
        return arlsort.soft_neighbours(QUERIES, CANDIDATES, 2, operator)

    assert np.abs(draw(0.1) - draw(10.0)).max() > 0.1


def test_every_query_has_noise_of_its_own():
    operator = arlsort.NeuralSort(0.1, stochastic=True, key=jax.random.key(0))
    same = jnp.zeros((4, 2))
    weights = np.asarray(arlsort.soft_neighbours(same, 0 * CANDIDATES, 1, operator))
    assert len({tuple(row.round(3)) for row in weights}) == 4


def test_the_loss_is_minus_the_share_of_the_right_class_and_teaches():
    weights = arlsort.soft_neighbours(QUERIES, CANDIDATES, 2, LAPSUM)
    labels = LABELS[:3]
    same = np.asarray(labels)[:, None] == np.asarray(LABELS)[None]
    expected = -(np.asarray(weights) * same).sum(1).mean() / 2
    loss = functools.partial(
        neighbours.knn_loss,
        query_labels=labels,
        candidate_labels=LABELS,
        k=2,
        operator=LAPSUM,
    )
    value, slope = jax.value_and_grad(lambda q: loss(q, CANDIDATES))(QUERIES)
    np.testing.assert_allclose(value, expected, atol=1e-6)
    better = loss(QUERIES - 0.01 * slope / jnp.abs(slope).max(), CANDIDATES)
    assert better < value


@pytest.mark.parametrize("batch_size", [2, 100])
def test_neighbours_vote(batch_size):
    found = neighbours.knn_predict(QUERIES, CANDIDATES, LABELS, 3, 3, batch_size=batch_size)
    for got, distances in zip(found, _distances(), strict=True):
        votes = np.bincount(np.asarray(LABELS)[np.argsort(distances)[:3]], minlength=3)
        assert got == votes.argmax()


def test_exact_neighbours_vote_as_their_weights_do():
    candidates = jnp.round(2 * CANDIDATES)  # with ties
    queries = jnp.concatenate([jnp.round(QUERIES), jnp.full_like(QUERIES[:1], jnp.nan)])
    for k in (1, 2, 5):
        weights = arlsort.soft_neighbours(queries, candidates, k, "hard")
        votes = np.asarray(weights) @ np.eye(3)[np.asarray(LABELS)]
        found = neighbours.knn_predict(queries, candidates, LABELS, k, 3)
        np.testing.assert_array_equal(found, votes.argmax(axis=1))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: arlsort.soft_neighbours(QUERIES, CANDIDATES, 0), "k: received 0, allowed: 1 to 7"),
        (lambda: arlsort.soft_neighbours(QUERIES, CANDIDATES, 8), "k: received 8, allowed: 1 to 7"),
        (
            lambda: arlsort.soft_neighbours(QUERIES[0], CANDIDATES, 1),
            "queries: received shape",
        ),
        (
            lambda: arlsort.soft_neighbours(QUERIES, CANDIDATES[:, :1], 1),
            "candidates: received shape (7, 1)",
        ),
        (
            lambda: arlsort.soft_neighbours(QUERIES, CANDIDATES, 1, metric=lambda q, c: q),
            "metric: received a function that returns shape (3, 2)",
        ),
        (
            lambda: neighbours.knn_predict(QUERIES, CANDIDATES, LABELS, 1, 4),
            "candidate_labels: received none of 3, allowed: at least one candidate of each class",
        ),
        (
            lambda: neighbours.knn_predict(QUERIES, CANDIDATES, LABELS, 1, 2),
            "candidate_labels: received 2, allowed: 0 to 1",
        ),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_zeros_of_either_sign_are_the_same_distance():
    def metric(queries, candidates):
        return 0.0 * queries @ candidates.T  # -0 where the signs differ

    queries, candidates = jnp.array([[1.0]]), jnp.array([[-1.0], [1.0], [2.0]])
    found = neighbours.knn_predict(queries, candidates, jnp.arange(3), 1, 3, metric=metric)
    assert found.tolist() == [0]
