# SPDX-License-Identifier: Apache-2.0
"""Predecessor pointers become the permutation they point out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.reasoner import pointer_readout
from arlsort.reasoner.hints import output_pointers


@pytest.mark.slow
@pytest.mark.parametrize("order", [[0, 1], [2, 0, 1], [3, 1, 4, 0, 2]])
def test_hard_pointers_give_their_order(order):
    pred, first = output_pointers(jnp.array(order))
    weights = pointer_readout.permutation(jnp.log(pred), jnp.log(first))
    np.testing.assert_allclose(weights, np.eye(len(order))[order], atol=1e-5)


def test_rows_sum_to_one_and_columns_nearly():
    logits = jax.random.normal(jax.random.key(0), (7, 6, 6))
    first = jax.nn.log_softmax(jax.random.normal(jax.random.key(1), (7, 6)))
    weights = pointer_readout.permutation(logits, first)
    np.testing.assert_allclose(weights.sum(-1), np.ones((7, 6)), atol=1e-5)
    np.testing.assert_allclose(weights.sum(-2), np.ones((7, 6)), atol=1e-2)


def test_an_element_no_pointer_leads_to_is_placed_without_nan():
    pred = jnp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    first = jnp.log(jnp.array([1.0, 0.0, 0.0]) + 1e-6)
    loss = lambda p: (pointer_readout.permutation(p, first)[2] ** 2).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(loss)(jnp.log(pred + 1e-30))
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()
