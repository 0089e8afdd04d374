# SPDX-License-Identifier: Apache-2.0
"""Pointers become the permutation they point out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.reasoner import readout
from arlsort.reasoner.hints import output_pointers


@pytest.mark.slow
@pytest.mark.parametrize("kind", readout.READOUTS)
@pytest.mark.parametrize("order", [[0, 1], [2, 0, 1], [3, 1, 4, 0, 2]])
def test_hard_pointers_give_their_order(order, kind):
    pred, first = output_pointers(jnp.array(order))
    weights = readout.permutation(jnp.log(pred), jnp.log(first), readout=kind)
    np.testing.assert_allclose(weights, np.eye(len(order))[order], atol=1e-5)


@pytest.mark.parametrize("kind", readout.READOUTS)
def test_rows_sum_to_one_and_two_ended_columns_too(kind):
    logits = jax.random.normal(jax.random.key(0), (7, 6, 6))
    first = jax.nn.log_softmax(jax.random.normal(jax.random.key(1), (7, 6)))
    weights = readout.permutation(logits, first, readout=kind)
    np.testing.assert_allclose(weights.sum(-1), np.ones((7, 6)), atol=1e-5)
    if kind == "two_ended":
        np.testing.assert_allclose(weights.sum(-2), np.ones((7, 6)), atol=1e-2)


@pytest.mark.slow
def test_a_power_decides_near_ties():
    x = jnp.array([0.0, 0.1, 8.0])
    orders = jnp.argsort(x[None] + jax.random.normal(jax.random.key(2), (2000, 3)), axis=-1)
    pred, first = jax.tree.map(lambda v: v.mean(0), jax.vmap(output_pointers)(orders))
    soft = readout.permutation(jnp.log(pred), jnp.log(first))
    sharp = readout.permutation(jnp.log(pred), jnp.log(first), power=readout.MAX_POWER)
    assert sharp[0].max() > soft[0].max()
    np.testing.assert_array_equal(sharp.argmax(-1), [0, 1, 2])


def test_an_element_no_pointer_leads_to_is_placed_without_nan():
    pred = jnp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    first = jnp.array([1.0, 0.0, 0.0])
    loss = lambda p: (readout.permutation(p, jnp.log(first + 1e-6))[2] ** 2).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(loss)(jnp.log(pred + 1e-30))
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()
