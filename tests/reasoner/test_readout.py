# SPDX-License-Identifier: Apache-2.0
"""Place pointers become the permutation they point out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from arlsort.numerics.mean_permutation import mean_permutation
from arlsort.reasoner import readout
from arlsort.reasoner.traces import places_of


@pytest.mark.parametrize("order", [[0, 1], [2, 0, 1], [3, 1, 4, 0, 2]])
def test_hard_pointers_give_their_order(order):
    places = jax.nn.one_hot(places_of(jnp.array(order)), len(order))
    found = readout.permutation(jnp.log(places))
    np.testing.assert_allclose(found, np.eye(len(order))[order], atol=1e-6)


def test_the_mean_places_give_the_mean_permutation():
    x = jnp.array([[0.0, 1.0, 0.5, 3.0], [2.0, 2.0, 0.0, 2.0]])
    mean = mean_permutation(x)
    found = readout.permutation(jnp.log(jnp.swapaxes(mean, -1, -2)))
    np.testing.assert_allclose(found, mean, atol=1e-4)


def test_rows_sum_to_one_and_columns_nearly():
    logits = 4 * jax.random.normal(jax.random.key(0), (7, 6, 6))
    weights = readout.permutation(logits)
    np.testing.assert_allclose(weights.sum(-1), np.ones((7, 6)), atol=1e-6)
    np.testing.assert_allclose(weights.sum(-2), np.ones((7, 6)), atol=0.15)


def test_a_power_decides_near_ties():
    mean = mean_permutation(jnp.array([0.0, 0.2, 8.0]))
    soft, sharp = (
        readout.permutation(jnp.log(mean.T), power=power) for power in (1.0, readout.MAX_POWER)
    )
    assert sharp[0].max() > soft[0].max()
    np.testing.assert_array_equal(sharp.argmax(-1), [0, 1, 2])


def test_pointers_that_contradict_each_other_give_finite_weights_and_gradients():
    logits = jnp.array([[0.0, -jnp.inf, -1e9], [0.0, -1e9, -1e9], [0.0, -1e30, -1e9]])
    loss = lambda v, power: (readout.permutation(v, power=power)[2] ** 2).sum()  # noqa: E731
    for power in (1.0, readout.MAX_POWER):
        value, gradients = jax.value_and_grad(loss, (0, 1))(logits, power)
        assert jnp.isfinite(value) and all(jnp.isfinite(part).all() for part in gradients)


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        logits = jax.random.normal(jax.random.key(1), (4, 4), jnp.float64)
        mix = jnp.arange(16.0).reshape(4, 4)
        check_grads(
            lambda v, power: (readout.permutation(v, power=power) * mix).sum(),
            (logits, jnp.float64(1.5)),
            order=1,
            modes=("fwd", "rev"),
        )
