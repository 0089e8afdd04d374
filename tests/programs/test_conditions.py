# SPDX-License-Identifier: Apache-2.0
"""Conditions, choices, reads and writes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import programs
from arlsort.networks.swaps import DISTRIBUTIONS

BIG = [0.0, 1e-30, 1.0, 90.0, 1e4, 1e19, 1e38, np.inf]
FAR = np.array([(s * a, t * b) for a in BIG for b in BIG for s in (1, -1) for t in (1, -1)])


@jax.jit
def _conditions(a, b, t):
    """Every condition of every distribution and its derivatives."""

    def weights(a, b):
        rs = [programs.Relaxer(t, name) for name in DISTRIBUTIONS]
        return jnp.stack([w for r in rs for w in (r.greater(a, b), r.equal(a, b), r.less(a, b))])

    slope = jax.vmap(jax.jacrev(weights, argnums=(0, 1)))
    return jax.vmap(weights)(a, b), slope(a, b)


@pytest.mark.parametrize("temperature", [1e-30, 0.1, 1e30])
def test_no_magnitude_gives_nan(temperature):
    a, b = jnp.asarray(FAR.T, jnp.float32)
    weights, slopes = _conditions(a, b, temperature)
    assert ((weights >= 0) & (weights <= 1 + 1e-6)).all()
    assert not any(np.isnan(slope).any() for slope in slopes)
    equal = weights[:, 1::3]
    assert (equal[np.asarray(a == b)] == 1).all()


def test_equal_has_a_slope_where_it_is_steep_and_none_at_ties():
    r = programs.Relaxer(0.1)
    slope = jax.grad(r.equal)
    assert slope(0.0, 0.0) == 0 and slope(0.05, 0.0) < -1 and slope(50.0, 0.0) == 0
    assert jax.grad(r.greater)(0.0, 0.0) == 2.5


def test_same_is_sech_and_finite_for_empty_vectors():
    r = programs.Relaxer(0.5)
    one, other = jnp.array([0.8, 0.2]), jnp.array([0.3, 0.7])
    cosine = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    np.testing.assert_allclose(r.same(one, other), 1 / np.cosh(2 * (1 - cosine)), rtol=1e-6)
    assert np.isfinite(jax.grad(lambda a: r.same(a, other))(jnp.zeros(2))).all()
    assert np.isfinite(jax.grad(lambda a: r.same(a, 1e30 * other))(1e30 * one)).all()


def test_a_value_that_is_no_weight_spoils_its_row_and_no_other():
    r = programs.Relaxer(0.5)
    got = jax.jit(lambda v: r.is_false(v))(jnp.array([0.25, 1.5, -0.1, 1.0]))
    np.testing.assert_array_equal(got, [0.75, np.nan, np.nan, 0])


def test_choices_are_softmax_means_over_arguments_and_axes():
    values = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    r = programs.Relaxer(0.5)
    shares = np.exp(-values / 0.5) / np.exp(-values / 0.5).sum(0)
    np.testing.assert_allclose(r.argmin(values, axis=0), shares, rtol=1e-5)
    np.testing.assert_allclose(r.minimum(*values), (shares * values).sum(0), rtol=1e-5)
    np.testing.assert_allclose(r.argmin(*values), shares.T, rtol=1e-5)
    np.testing.assert_allclose(r.maximum(-values, axis=-2), -r.minimum(*values), rtol=1e-5)
    exact = programs.Relaxer(0.5, exact=True)
    np.testing.assert_array_equal(exact.maximum(values, axis=1), values.max(1))
    np.testing.assert_array_equal(exact.argmax(1.0, 1.0, 0.0), [1, 0, 0])
    assert r.minimum(1.0, np.inf) == 1 and r.minimum(np.inf, np.inf) == np.inf
    with pytest.raises(ValueError, match="axis: received 2"):
        r.minimum(values, axis=2)
    with pytest.raises(ValueError, match="values: received 2 with axis 0"):
        r.minimum(1.0, 2.0, axis=0)


def test_reads_and_writes_along_any_axes():
    generator = np.random.default_rng(1)
    array = generator.normal(size=(2, 3, 4)).astype(np.float32)
    w = generator.uniform(size=(4, 2)).astype(np.float32)
    got = programs.read(jnp.asarray(array), w, axis=(2, 0))
    np.testing.assert_allclose(got, np.einsum("ijk,ki->j", array, w), rtol=1e-5)
    value = generator.normal(size=3).astype(np.float32)
    written = programs.write(jnp.asarray(array), w, value, axis=(-1, 0))
    spread = w.T[:, None, :]
    expected = spread * value[None, :, None] + (1 - spread) * array
    np.testing.assert_allclose(written, expected, rtol=1e-5, atol=1e-6)
    beside = programs.write(jnp.array([jnp.inf, 1.0]), jnp.array([0.0, 1.0]), 2.0)
    np.testing.assert_array_equal(beside, [np.inf, 2])


@pytest.mark.parametrize(
    "weights, axis, message",
    [
        (jnp.ones(3), 0, r"weights: received shape \(3,\), allowed: shape \(2,\)"),
        (np.array([0.0, 1.5]), 0, "weights: received"),
        (jnp.ones(2), 3, "axis: received 3"),
        (jnp.ones((2, 2)), (0, 0), "axis: received"),
    ],
)
def test_reads_say_what_is_wrong(weights, axis, message):
    with pytest.raises(ValueError, match=message):
        programs.read(jnp.ones((2, 3, 4)), weights, axis=axis)
