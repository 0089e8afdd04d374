# SPDX-License-Identifier: Apache-2.0
"""The steps of a run become the permutation they make."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators.learned import LearnedSort
from arlsort.reasoner import run_readout
from arlsort.reasoner.hints import mean_trace

READERS = sorted(run_readout.READERS)


def _log_hints(algorithm, copies):
    hints = mean_trace(algorithm, copies)[0]
    return {name: jnp.log(weights[1:] + 1e-9) for name, weights in hints.items()}


def _mean_permutation(copies):
    n = copies.shape[-1]
    return np.eye(n)[np.argsort(copies, axis=-1, stable=True)].mean(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", READERS)
@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_steps_of_one_run_give_its_order(algorithm, n):
    copies = jax.random.normal(jax.random.key(n), (1, n))
    found = run_readout.of_whole_run(algorithm, _log_hints(algorithm, copies))
    np.testing.assert_allclose(found, _mean_permutation(copies), atol=1e-3)


def test_the_mean_passes_of_bubble_sort_give_the_mean_permutation():
    x = jnp.array([0.0, 1.0, 0.5, 3.0])
    copies = x[None] + jax.random.normal(jax.random.key(0), (500, 4))
    found = run_readout.of_whole_run("bubble_sort", _log_hints("bubble_sort", copies))
    np.testing.assert_allclose(found, _mean_permutation(copies), atol=1e-5)


@pytest.mark.parametrize(
    "x", [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0, 0.5], [4.0, 4.0, 0.0, 0.0, 4.0]]
)
def test_mean_insertions_keep_clusters_apart(x):
    copies = jnp.array(x)[None] + 1e-3 * jax.random.normal(jax.random.key(1), (2000, len(x)))
    found = run_readout.of_whole_run("insertion_sort", _log_hints("insertion_sort", copies))
    np.testing.assert_allclose(found @ jnp.array(x), sorted(x), atol=0.01)


def test_insertions_of_any_weights_are_doubly_stochastic():
    drawn = 4 * jax.random.normal(jax.random.key(0), (2, 3, 5, 6))
    hints = dict(zip(("pred_h", "i"), jax.nn.log_softmax(drawn), strict=True))
    found = run_readout.read_insertions(hints)
    for axis in (-1, -2):
        np.testing.assert_allclose(found.sum(axis), np.ones((3, 6)), atol=1e-5)
    assert (found >= 0).all()


def test_no_more_of_a_run_is_kept_than_is_read():
    def needed(readout):
        operator = LearnedSort(readout=readout, allow_extrapolation=True)
        compiled = jax.jit(operator.permutation).lower(jnp.zeros((1, 96))).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert needed("run") < 1.1 * needed("two_ended"), "pointers of all steps would be n^3"


def test_two_readings_that_contradict_each_other_give_finite_weights_and_gradients():
    first, second = jnp.eye(3), jnp.roll(jnp.eye(3), 1, axis=0)
    weigh = lambda a: (run_readout.both(a, second) * jnp.arange(9.0).reshape(3, 3) ** 2).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(weigh)(first)
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()
    assert jnp.abs(gradient).max() > 1, "it says which weight would end the contradiction"
    np.testing.assert_allclose(run_readout.both(first, second).sum(-1), np.ones(3), atol=1e-5)


@pytest.mark.slow
def test_float32_gradients_of_sharp_steps_are_those_of_float64():
    order = np.array([2, 0, 1, 4, 3])

    def loss(hints):
        logs = {name: jax.nn.log_softmax(weights) for name, weights in hints.items()}
        weights = run_readout.read_insertions(logs)
        return -jnp.log(weights[np.arange(5), order] + 1e-12).mean()

    def gradient(hints):
        return np.concatenate([np.ravel(part) for part in jax.tree.leaves(jax.grad(loss)(hints))])

    with jax.enable_x64(True):
        for seed in range(5):
            draw = np.random.default_rng(seed).normal
            sharp = {"pred_h": 12 * draw(size=(4, 5)), "i": 12 * draw(size=(4, 5))}
            exact = gradient(jax.tree.map(jnp.asarray, sharp))
            found = gradient(jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), sharp))
            np.testing.assert_allclose(found, exact, atol=1e-4 * np.abs(exact).max())
