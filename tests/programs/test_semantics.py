# SPDX-License-Identifier: Apache-2.0
"""Programs mean what the formulas say, and with `hard=True` what Python would do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arlsort.networks.swaps import DISTRIBUTIONS
from tests.programs.interpreter import COMPARISONS, Interpreter, relaxed

NAMES = ("a", "b", "c")
STEP = 1e-6

leaves = st.one_of(st.sampled_from(NAMES), st.sampled_from([-1.0, -0.5, 0.5, 1.0]))
expressions = st.one_of(
    leaves,
    st.tuples(st.sampled_from(["+", "-", "min"]), leaves, leaves),
    st.tuples(st.just("*"), st.just(0.5), leaves),
)
comparisons = st.tuples(st.sampled_from(COMPARISONS), st.sampled_from(NAMES), leaves)
conditions = st.one_of(
    comparisons,
    st.tuples(st.sampled_from(["and", "or"]), comparisons, comparisons),
    st.tuples(st.just("not"), comparisons),
)
lets = st.tuples(st.just("let"), st.sampled_from(NAMES), expressions)


def _blocks(inner):
    few = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        st.tuples(st.just("if"), conditions, few, few),
        st.tuples(st.just("while"), conditions, few, st.integers(1, 3)),
        st.tuples(st.just("for"), st.integers(0, 3), st.integers(0, 3), few),
    )


statements = st.one_of(lets, _blocks(st.one_of(lets, _blocks(lets))))
written = st.lists(statements, min_size=1, max_size=3)
numbers = st.lists(
    st.floats(-2, 2).map(lambda x: round(x, 2) + 0.003), min_size=3, max_size=3, unique=True
)


def _check(program, values, distribution, temperature, gradients):
    def interpreted(values, exact=False):
        state = dict(zip(NAMES, values, strict=True))
        end = Interpreter(temperature, distribution, exact).run(program, state)
        return np.array([end[name] for name in NAMES])

    # Op by op: no program is compiled.
    with jax.enable_x64(True), jax.disable_jit():
        layer, x = relaxed(program), jnp.asarray(values)

        def ours(x, hard=False):
            state = dict(zip(NAMES, x, strict=True))
            options = {"temperature": temperature, "distribution": distribution, "hard": hard}
            end = layer(state, **options)
            return jnp.stack([jnp.asarray(end[name], jnp.float64) for name in NAMES])

        np.testing.assert_allclose(ours(x), interpreted(values), rtol=1e-10, atol=1e-12)
        exact = interpreted(values, exact=True)
        np.testing.assert_allclose(ours(x, hard=True), exact, rtol=1e-12, atol=1e-12)
        if not gradients:
            return
        mix = np.array([0.3, -1.1, 0.7])
        slope = jax.grad(lambda x: (ours(x) * mix).sum())(x)
        hard_slope = jax.grad(lambda x: (ours(x, hard=True) * mix).sum())(x)
    np.testing.assert_array_equal(slope, hard_slope)
    moved = [np.array(values) + STEP * unit for unit in np.eye(3)]
    back = [np.array(values) - STEP * unit for unit in np.eye(3)]
    pairs = zip(moved, back, strict=True)
    expected = [(interpreted(up) - interpreted(down)) @ mix / (2 * STEP) for up, down in pairs]
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@given(written, numbers)
@settings(max_examples=10)
def test_random_programs_are_the_formulas(program, values):
    _check(program, values, "logistic", 0.5, gradients=False)


@pytest.mark.slow
@given(written, numbers, st.sampled_from(sorted(DISTRIBUTIONS)), st.sampled_from([0.1, 1.0]))
@settings(max_examples=25)
def test_random_programs_have_the_gradients_of_the_formulas(program, values, distribution, t):
    _check(program, values, distribution, t, gradients=True)


LESS_A, LESS_B = ("let", "a", ("-", "a", "b")), ("let", "b", ("-", "b", "a"))
SUBTRACT = ("if", ("greater", "a", "b"), [LESS_A], [LESS_B])
COUNT = ("let", "c", ("+", "c", 1.0))
GCD = [("while", ("not_equal", "a", "b"), [SUBTRACT, COUNT], 6)]


@pytest.mark.parametrize(
    "distribution",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name not in ("logistic", "cauchy")))
        for name in sorted(DISTRIBUTIONS)
    ],
)
def test_every_distribution_is_its_formula(distribution):
    _check(GCD, [1.1, 0.4, 0.0], distribution, 0.3, gradients=False)
    _check(GCD, [6.0, 4.0, 0.0], distribution, 0.3, gradients=False)


def test_a_loop_is_differentiated_as_its_formula():
    _check(GCD, [1.1, 0.4, 0.0], "logistic", 0.3, gradients=True)
