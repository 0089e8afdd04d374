# SPDX-License-Identifier: Apache-2.0
"""NaN, infinities, half precision, names and constants: where programs are easily wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import programs
from arlsort.programs import algorithms

R = programs.Relaxer(temperature=0.5)
EXACT = programs.Relaxer(temperature=0.5, exact=True)


@pytest.mark.parametrize("stop", [3, np.int32(3), jnp.array(3)], ids=["int", "numpy", "jax"])
def test_a_loop_takes_a_constant_stop_under_jit(stop):
    counted = jax.jit(lambda x: programs.for_(5, lambda i, s: s + i, x, stop=stop))
    assert counted(0.0) == 3
    with pytest.raises(ValueError, match="stop: received 3, allowed: at most count, 2"):
        jax.jit(lambda x: programs.for_(2, lambda i, s: s, x, stop=stop))(0.0)


def test_inputs_are_bound_as_python_binds_them():
    @programs.relaxed
    def digits(r, a, b=2.0, c=3.0, *, unit=1.0):
        return (100 * a + 10 * b + c) * unit

    assert digits(1.0, c=4.0) == 124 and digits(c=4.0, a=1.0) == 124
    assert digits(b=5.0, a=1.0, unit=2.0) == 306
    for call, message in (
        (lambda: digits(b=1.0), "inputs: received 0 of them, missing a required argument: 'a'"),
        (lambda: digits(1.0, a=2.0), "inputs: received 1 of them, multiple values for .*'a'"),
        (lambda: digits(1.0, d=2.0), "inputs: received 1 of them, got an unexpected .*'d'"),
        (lambda: digits(1.0, unit=jnp.ones(2)), "unit: received a value of type"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_a_pass_after_the_end_has_no_say_in_the_gradient():
    def last(x):
        def above(s):
            return jnp.where(s > 1, 1.0, 0.0)

        return R.while_(above, lambda k, s: jnp.sqrt(s - 1), x, max_steps=4)

    value, slope = jax.value_and_grad(last)(jnp.array(2.0))
    assert value == 1 and slope == 0.5  # at 1 the root has an infinite slope
    together = jax.vmap(jax.grad(last))(jnp.array([2.0, 5.0]))
    np.testing.assert_allclose(together, [0.5, 0.25 / 2], rtol=1e-6)


def test_what_has_no_weight_has_no_say_in_a_derivative():
    def mixed(p):
        return lambda x: R.if_(jnp.array(p), x, jnp.sqrt(x))

    for p, expected in ((1.0, 1.0), (0.5, np.inf)):
        _, change = jax.jvp(mixed(p), (jnp.array(0.0),), (jnp.array(1.0),))
        assert change == expected


def test_weights_are_judged_alike_under_jit_and_without():
    one, other = jnp.array([1.0, 0.0]), jnp.array([-1.0, 1.0])

    def opposed(one, other):
        return R.if_(R.cosine(one, other), 1.0, 0.0)

    np.testing.assert_allclose(opposed(one, other), -np.sqrt(0.5), rtol=1e-6)
    np.testing.assert_allclose(jax.jit(opposed)(one, other), -np.sqrt(0.5), rtol=1e-6)
    assert R.if_(np.float32(1) + np.finfo(np.float32).eps, 2.0, 0.0) > 1.9
    for weight in (1.01, np.array([0.5, -0.01])):
        for run in (lambda f: f, jax.jit):
            with pytest.raises(ValueError, match=r"allowed: weights in \[0, 1\]"):
                run(lambda x: R.if_(weight, x, 0 * x))(jnp.ones(2))  # noqa: B023


def test_exact_programs_do_not_hide_nan():
    nan, row = jnp.array(jnp.nan), jnp.array([0.5, jnp.nan])
    for r in (R, EXACT):
        for compared in (r.greater(nan, 0.0), r.less_equal(0.0, nan), r.equal(nan, nan)):
            assert np.isnan(compared)
        assert np.isnan(r.same(row, row[::-1])) and np.isnan(r.argmin(row, axis=0)).all()
        assert np.isnan(r.is_true(nan)) and np.isnan(r.if_(nan, 1.0, 0.0))
    assert np.isnan(programs.Relaxer(jnp.array(-1.0), exact=True).greater(1.0, 0.0))
    np.testing.assert_array_equal(EXACT.less(jnp.array([0.0, 1.0, jnp.nan]), 0.5), [1, 0, np.nan])
    rows = jnp.array([[2.0, jnp.nan, 1.0], [2.0, 3.0, 1.0]])
    for hard in (False, True):
        values, swaps = algorithms.bubble_sort(rows, temperature=0.01, hard=hard)
        assert np.isnan(values[0]).all() and np.isnan(swaps[0])
        np.testing.assert_allclose(values[1], [1, 2, 3], atol=1e-5)


@pytest.mark.parametrize(
    "function, inputs, most",
    [  # both programs are 2.2, 1.7 and 2.5 times the soft one
        (algorithms.insertion_sort, (jnp.ones(8),), 1.2),
        (algorithms.levenshtein, (jnp.ones((4, 4)), jnp.ones((4, 4))), 1.2),
        (algorithms.shortest_path, (jnp.ones((4, 4)),), 1.8),
    ],
)
def test_an_exact_result_without_a_gradient_runs_the_program_once(function, inputs, most):

    def operations(hard):
        compiled = jax.jit(lambda *x: function(*x, hard=hard)).lower(*inputs).compile()
        return compiled.cost_analysis()["flops"]

    assert operations(True) < most * operations(False)


def test_infinities_in_classes_and_lists_are_clipped():
    assert R.same(jnp.array([jnp.inf, 0.0]), jnp.array([1.0, 0.0])) == 1
    x = jnp.array([1.0, jnp.inf, 0.0])
    values, _ = algorithms.bubble_sort(x, temperature=0.01)
    largest = float(np.finfo(np.float32).max) / 2**16
    np.testing.assert_allclose(values, [0, 1, largest], rtol=1e-5, atol=1e-5)
    exact, _ = algorithms.bubble_sort(x, temperature=0.01, hard=True)
    np.testing.assert_array_equal(exact, [0, 1, np.inf])


def test_loops_add_up_in_single_precision():
    def mean(dtype):
        state = {"x": jnp.zeros((), dtype)}
        end = R.while_(lambda s: 0.9, lambda k, s: {"x": s["x"] + 1}, state, max_steps=60)
        return end["x"]

    assert mean(jnp.bfloat16).dtype == jnp.bfloat16
    assert mean(jnp.bfloat16) == mean(jnp.float32).astype(jnp.bfloat16)


def test_reads_and_writes_take_lists_of_floats_and_no_integers():
    assert programs.read([1.0, 2.0], [0.5, 0.5]) == 1.5
    np.testing.assert_array_equal(programs.write(np.ones(2), [0.0, 1.0], 3.0), [1, 3])
    for call in (programs.read, lambda x, w: programs.write(x, w, 1.5)):
        with pytest.raises(TypeError, match="array: received dtype int32, allowed: floats"):
            call(jnp.arange(2), [0.5, 0.5])


def test_only_python_numbers_change_their_kind_in_a_branch():
    np.testing.assert_array_equal(R.if_(0.5, 1, jnp.array([2.0, 4.0])), [1.5, 2.5])
    for pair in ((jnp.arange(2), jnp.ones(2)), (jnp.ones(2), jnp.arange(2))):
        with pytest.raises(ValueError, match=r"state\['n'\]: received shape \(2,\)"):
            R.if_(0.5, *({"n": one} for one in pair))


def test_errors_of_loops_name_what_has_another_shape():
    def run(condition):
        return R.while_(condition, lambda k, s: {"x": s["x"] + 1}, {"x": 0.0}, max_steps=2)

    with pytest.raises(ValueError, match=r"state\['x'\]: received shape \(\), .*the condition"):
        run(lambda s: jnp.ones(3))
    shapes = iter([(), (3,)])
    with pytest.raises(ValueError, match=r"condition: received shape \(3,\) after a pass"):
        run(lambda s: jnp.ones(next(shapes)))
    with pytest.raises(ValueError, match=r"stop: received shape \(2,\), allowed: a scalar"):
        programs.for_(2, lambda i, s: s, 0.0, stop=jnp.arange(2))
