# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from arlsort.numerics import transport
from tests import references

GENERATOR = np.random.default_rng(3)
LOGITS = GENERATOR.normal(size=(3, 6, 6)) * np.array([1.0, 2.0, 4.0])[:, None, None]


def test_it_is_sinkhorns_algorithm():
    with jax.enable_x64(True):
        weights, converged = transport.balance(jnp.asarray(LOGITS))
    assert converged.all()
    expected = [references.balanced(np.exp(logits)) for logits in LOGITS]
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-12)


def test_derivatives_are_those_of_the_solution():
    mix = GENERATOR.normal(size=LOGITS.shape)
    with jax.enable_x64(True):
        check_grads(
            jax.jit(lambda logits: (transport.balance(logits)[0] * mix).sum()),
            (jnp.asarray(LOGITS),),
            order=1,
            modes=("fwd", "rev"),
            eps=1e-6,
            rtol=1e-7,
            atol=1e-7,
        )


def test_derivatives_of_what_has_hardly_any_weight_are_precise():
    # Two by two: W[0, 1] = logistic((l01 + l10 - l00 - l11) / 2), far below a rounding of one.
    def weight(gap):
        off = -gap * (1 - jnp.eye(2))
        return transport.balance(off)[0][0, 1]

    both = jax.jit(jax.value_and_grad(weight))
    for gap in (10.0, 30.0, 80.0):
        value, slope = both(jnp.float32(gap))
        np.testing.assert_allclose(value, np.exp(-gap), rtol=1e-4)
        np.testing.assert_allclose(slope, -np.exp(-gap), rtol=1e-4)


@pytest.mark.slow
def test_it_says_when_it_has_not_converged():
    logits = jnp.asarray(LOGITS, jnp.float32)
    weights, converged = transport.balance(logits, max_iterations=1)
    error = jnp.abs(weights.sum(axis=-2) - 1).max(axis=-1)
    np.testing.assert_array_equal(converged, error < 1e-5)
    assert not converged.all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-6)
    loose, converged = transport.balance(logits, tolerance=0.1)
    assert converged.all()
    assert (jnp.abs(loose.sum(axis=-2) - 1) <= 0.1).all()


@pytest.mark.slow
def test_what_the_backward_pass_keeps_does_not_grow_with_the_steps():
    def kept(iterations):
        _, pull = jax.vjp(lambda x: transport.balance(x, 0.0, iterations)[0], jnp.ones((5, 5)))
        return sum(leaf.size for leaf in jax.tree.leaves(pull))

    assert kept(1) == kept(1000)
