# SPDX-License-Identifier: Apache-2.0
"""The projections are those of the paper's reference, and stay within what the docstring says."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators.permutahedron import REGULARIZATIONS, Permutahedron
from tests import references

REFERENCE = json.loads((pathlib.Path(__file__).parent / "fast_soft_sort.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("regularization", REGULARIZATIONS)
@pytest.mark.parametrize("n", [2, 5, 13])
def test_values_and_ranks_are_those_of_the_reference_implementation(n, regularization):
    cases = [
        c for c in REFERENCE["cases"] if len(c["x"]) == n and c["regularization"] == regularization
    ]
    assert len(cases) == 4
    with jax.enable_x64(True):
        for case in cases:
            operator = Permutahedron(case["temperature"], regularization)
            x = np.array(case["x"])
            values = operator.sort(x)[::-1]
            np.testing.assert_allclose(values, case["descending"], rtol=0, atol=1e-9)
            # Its ascending sort is that of the negated scores, which is another in this kind.
            values = -operator.sort(-x)[::-1]
            np.testing.assert_allclose(values, case["ascending"], rtol=0, atol=1e-9)
            ranks = np.array(case["rank"]) - 1
            np.testing.assert_allclose(operator.rank(x), ranks, rtol=0, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.3, 3.0])
def test_the_entropic_kind_is_the_oracle(temperature):
    x = np.array([0.3, -1.2, 0.8, 0.1, 2.0])
    with jax.enable_x64(True):
        operator = Permutahedron(temperature, "entropic")
        got = operator.sort(x), operator.rank(x)
    expected = references.permutahedron(x, temperature, "entropic")
    for have, wanted in zip(got, expected, strict=True):
        np.testing.assert_allclose(have, wanted, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("regularization", REGULARIZATIONS)
def test_values_stay_between_the_scores_and_ranks_between_positions(regularization):
    x = np.random.default_rng(3).normal(size=(4, 40)).astype(np.float32) * 100
    operator = Permutahedron(1.0, regularization)
    values, ranks = operator.sort(x), operator.rank(0.01 * x)
    assert (values.min(-1) >= x.min(-1)).all() and (values.max(-1) <= x.max(-1)).all()
    assert ranks.min() >= 0 and ranks.max() <= 39
    # Moving all scores moves the values and leaves the ranks: Jacobian rows sum to 1 and to 0.
    ones = jnp.ones_like(x)
    np.testing.assert_allclose(jax.jvp(operator.sort, (x,), (ones,))[1], ones, atol=1e-5)
    moved = jax.jvp(operator.rank, (0.01 * x,), (ones,))[1]
    np.testing.assert_allclose(moved, np.zeros_like(x), atol=1e-3)


def test_bad_regularization_is_named():
    with pytest.raises(
        ValueError, match="regularization: received 'kl', allowed: 'l2', 'entropic'"
    ):
        Permutahedron(regularization="kl")


@pytest.mark.parametrize("regularization", REGULARIZATIONS)
@pytest.mark.parametrize("scale", [1e30, 1.0, 1e-30])
def test_cold_values_are_exact_at_every_scale(regularization, scale):
    x = scale * jnp.array([3.0, 1.0, 2.0, -1.0])
    for temperature in (1e-33, 1e-37):
        values = Permutahedron(temperature, regularization).sort(x)
        np.testing.assert_array_equal(values, jnp.sort(x))
