# SPDX-License-Identifier: Apache-2.0
"""Pairs of strings are what they are said to be, and their loss is that of a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common.datasets import Split, Splits
from experiments.program_tasks import strings
from experiments.program_tasks.strings import StringTask

TASK = StringTask(
    classes=3,
    length=3,
    pairs="edited",
    networks=1,
    batch_size=4,
    learning_rate=0.01,
    steps=4,
    channels=(2, 2),
    temperature=0.1,
)


def slow_distance(a, b):
    if len(a) == 0 or len(b) == 0:
        return len(a) + len(b)
    shorter = min(slow_distance(a[:-1], b), slow_distance(a, b[:-1])) + 1
    return min(shorter, slow_distance(a[:-1], b[:-1]) + int(a[-1] != b[-1]))


def soft_distance(a, b, temperature):
    """The relaxed program in loops: a soft minimum of three, one by the cosine of classes."""
    table = np.zeros((len(a) + 1, len(b) + 1))
    table[:, 0], table[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i in range(len(a)):
        for j in range(len(b)):
            cosine = a[i] @ b[j] / np.linalg.norm(a[i]) / np.linalg.norm(b[j])
            same = 1 / np.cosh((1 - cosine) / temperature)
            three = np.array([table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + 1 - same])
            weights = np.exp(-(three - three.min()) / temperature)
            table[i + 1, j + 1] = three @ weights / weights.sum()
    return table[-1, -1]


@pytest.fixture(scope="module")
def split():
    """Digits whose picture is their label."""
    labels = np.random.default_rng(0).integers(0, 5, 60).astype(np.int32)
    images = np.broadcast_to(labels[:, None, None, None], (60, 8, 8, 1)).astype(np.uint8)
    return TASK.select(Splits(*3 * [Split(images, labels)])).train


def test_edit_distance_is_that_of_a_recursion():
    rng = np.random.default_rng(0)
    for m, n in ((4, 4), (2, 4)):
        first, second = rng.integers(0, 3, (12, m)), rng.integers(0, 3, (12, n))
        found = strings.edit_distance(jnp.asarray(first), jnp.asarray(second))
        expected = [slow_distance(a, b) for a, b in zip(first, second, strict=True)]
        assert found.tolist() == expected and len(set(expected)) > 2


def test_edits_make_every_distance_frequent_and_independent_strings_do_not():
    draw = jax.jit(strings.draw_labels, static_argnums=(1, 2, 3, 4))
    shares = {}
    for pairs in strings.PAIRS:
        labels = draw(jax.random.key(0), 1000, 4, 10, pairs)
        assert labels.shape == (1000, 2, 4) and labels.min() == 0 and labels.max() == 9
        distances = np.asarray(strings.edit_distance(labels[:, 0], labels[:, 1]))
        shares[pairs] = np.bincount(distances, minlength=5) / 1000
    assert shares["edited"].min() > 0.05 and shares["edited"][:4].min() > 0.15
    assert shares["independent"][:2].sum() < 0.02


@pytest.mark.parametrize("removed, inserted", [(0, 0), (0, 3), (3, 0), (1, 2), (2, 1), (3, 3)])
def test_an_edit_removes_and_inserts(removed, inserted):
    expected = [1, 2, 3, 4]
    del expected[removed]
    expected.insert(inserted, 9)
    found = strings._edit(*(jnp.array([v]) for v in ([1, 2, 3, 4], removed, inserted, 9)))
    assert found[0].tolist() == expected


def test_pictures_show_their_labels(split):
    assert set(split.labels) == {0, 1, 2}, "the other classes are left out"
    pairs = TASK.draw(jax.random.key(0), jax.device_put(split), 50)
    shown = (pairs.pictures[..., 0, 0, 0] * 255).round().astype(int)
    np.testing.assert_array_equal(shown, pairs.labels)
    assert set(np.asarray(pairs.labels).ravel()) == {0, 1, 2}


def test_relaxed_distance_is_that_of_a_loop_and_exact_where_classes_are_certain():
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(3), (4, 2, 3))
    certain = np.eye(3)[rng.integers(0, 3, (4, 2, 3))]
    found = jax.jit(TASK.distances)(jnp.asarray(np.concatenate([soft, certain]), jnp.float32))
    expected = [soft_distance(a, b, TASK.temperature) for a, b in soft]
    np.testing.assert_allclose(found[:4], expected, rtol=1e-5)
    exact = [slow_distance(a, b) for a, b in certain.argmax(axis=-1)]
    np.testing.assert_allclose(found[4:], exact, atol=0.2)  # ties of the soft minimum


def test_loss_is_the_squared_difference_of_distances(split, monkeypatch):
    spread = np.random.default_rng(0).dirichlet(np.ones(3), (4, 2, 3))
    monkeypatch.setattr(StringTask, "read", lambda *_: jnp.asarray(spread, jnp.float32))
    pairs = TASK.draw(jax.random.key(1), jax.device_put(split), 4)
    labels = np.asarray(pairs.labels)
    expected = [
        (soft_distance(*each, TASK.temperature) - slow_distance(*both)) ** 2
        for each, both in zip(spread, labels, strict=True)
    ]
    found = TASK.loss({}, pairs)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)


def test_accuracy_is_that_of_the_best_matching():
    labels = np.array([0, 0, 0, 1, 1, 2])
    outputs = np.array([2, 2, 1, 0, 0, 1])
    assert strings.matched(labels, outputs, 3).tolist() == [[2, 0, 1], [0, 2, 0], [0, 0, 1]]
