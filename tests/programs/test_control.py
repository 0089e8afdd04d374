# SPDX-License-Identifier: Apache-2.0
"""Branches and loops: what is promised beside their formulas, and what is refused."""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import programs
from arlsort.programs import algorithms

R = programs.Relaxer(temperature=0.5)


def test_a_state_is_any_pytree_and_branches_may_be_functions():
    state = {"x": jnp.arange(3.0), "pair": (jnp.ones(()), [2.0])}
    double = R.if_(0.25, lambda s, k: jax.tree.map(lambda x: k * x, s), lambda s, k: s, state, 2.0)
    chex.assert_trees_all_close(double, jax.tree.map(lambda x: 1.25 * x, state))


def test_what_both_branches_share_stays_one_object():
    state = {"x": jnp.ones(2), "n": jnp.arange(3)}
    assert R.if_(0.5, {**state, "x": 0 * state["x"]}, state)["n"] is state["n"]


def test_a_condition_of_a_batch_mixes_row_by_row():
    mixed = R.if_(jnp.array([0.0, 0.5, 1.0]), jnp.ones((3, 2)), jnp.zeros((3, 2)))
    np.testing.assert_array_equal(mixed, [[0, 0], [0.5, 0.5], [1, 1]])


def test_what_has_no_weight_may_be_infinite_or_nan():
    def mixed(p):
        return R.if_(p, jnp.array([jnp.inf, jnp.nan, jnp.inf]), jnp.array([1.0, 2.0, jnp.inf]))

    np.testing.assert_array_equal(mixed(jnp.array(0.0)), [1, 2, jnp.inf])
    np.testing.assert_array_equal(mixed(jnp.array(1.0))[::2], [jnp.inf, jnp.inf])
    np.testing.assert_array_equal(mixed(jnp.array(0.5))[::2], [jnp.inf, jnp.inf])


def test_a_row_that_has_stopped_stays_finite():
    def grown(x, skip):
        s = {"x": x, "go": jnp.ones(2)}
        end = R.while_(
            lambda s: s["go"],
            lambda k, s: {"x": s["x"] ** 2, "go": jnp.where(s["x"] > 10, 0.0, 1.0)},
            s,
            max_steps=20,
            skip=skip,
        )
        return end["x"].sum(), end["x"]

    for skip in (False, True):
        gradient, x = jax.grad(grown, has_aux=True)(jnp.array([2.0, 11.0]), skip)
        np.testing.assert_allclose(x, [256, 121])
        np.testing.assert_allclose(gradient, [8 * 2.0**7, 22])


@pytest.mark.slow
def test_rematerialisation_changes_no_gradient():
    def ours(x, remat):
        s = programs.for_(3, lambda i, x: jnp.sin(x) * x, x, stop=2, remat=remat)
        return R.while_(lambda s: R.less(s, 1), lambda k, s: s * 1.5, s, max_steps=3, remat=remat)

    gradients = [jax.grad(ours)(jnp.array(0.7), remat) for remat in (False, True)]
    np.testing.assert_allclose(*gradients, rtol=1e-6)


def test_a_loop_stops_where_a_traced_number_says():
    counted = jax.jit(lambda stop: programs.for_(5, lambda i, s: s + i, 0.0, stop=stop))
    assert [float(counted(stop)) for stop in (0, 3, 9)] == [0.0, 3.0, 10.0]


def test_a_new_temperature_compiles_nothing():
    traced = []

    @programs.relaxed
    def one(r, x):
        traced.append(1)
        return r.if_(r.greater(x, 0.0), x, 0.0)

    x = jnp.array(1.0)
    values = [one(x, temperature=t) for t in (0.1, 1, np.float32(2), jnp.array(3.0))]
    assert len(traced) == 1 and np.all(np.diff(values) < 0)
    one(x, hard=True)
    assert len(traced) == 3  # the soft program and the exact one


def test_programs_do_not_grow_with_the_list():
    def equations(n):
        program = jax.vmap(programs.relaxed(algorithms.bubble_sort_in_steps))
        gradient = jax.grad(lambda x: program(x)[1].sum())
        return str(jax.make_jaxpr(gradient)(jnp.zeros((2, n)))).count(" = ")

    assert equations(5) == equations(50) > 100


def test_temperatures_that_are_not_above_zero_give_nan():
    one = jax.jit(lambda t: programs.relaxed(lambda r, x: r.greater(x, 0.0))(1.0, temperature=t))
    assert np.isnan(one(0.0)) and np.isnan(one(-1.0)) and one(1e-30) == 1
    with pytest.raises(ValueError, match="temperature: received 0"):
        algorithms.bubble_sort(jnp.ones(2), temperature=0)


def test_a_layer_says_what_it_takes():
    names = list(inspect.signature(algorithms.bubble_sort).parameters)
    assert names == ["x", "temperature", "distribution", "hard", "count"]


def test_leading_axes_are_mapped():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)
    values, swaps = algorithms.bubble_sort(x)
    assert values.shape == (2, 3, 4) and swaps.shape == (2, 3)
    one = algorithms.bubble_sort(x[1, 2])
    chex.assert_trees_all_close((values[1, 2], swaps[1, 2]), one, rtol=1e-6)
    found = algorithms.binary_search(jnp.arange(3.0), jnp.array([0.5, 1.5]), temperature=0.01)
    np.testing.assert_allclose(found, [1, 2], atol=1e-5)


def test_inputs_may_be_named_and_must_be_floating():
    x = jnp.array([2.0, 1.0])
    chex.assert_trees_all_close(algorithms.bubble_sort(x=x), algorithms.bubble_sort(x))
    with pytest.raises(TypeError, match="inputs: received 1 of them, missing .*'b', allowed: a"):
        algorithms.levenshtein(x)
    with pytest.raises(TypeError, match="x: received dtype int32"):
        algorithms.bubble_sort(jnp.arange(3))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_stays_half(dtype):
    def results(x, costs):
        return (
            algorithms.bubble_sort(x)[0],
            algorithms.insertion_sort(x)[0],
            algorithms.shortest_path(costs),
            algorithms.multiply(x, x),
            programs.write(x, jnp.ones(4), 0.5),
        )

    shapes = jax.ShapeDtypeStruct((4,), dtype), jax.ShapeDtypeStruct((2, 3), dtype)
    assert {one.dtype for one in jax.eval_shape(results, *shapes)} == {jnp.dtype(dtype)}


def _while(s, body, **options):
    return R.while_(lambda s: 0.5, body, s, **{"max_steps": 2, **options})


REFUSED = [
    (lambda: R.if_(0.5, {"x": jnp.ones(2)}, {"x": jnp.ones(3)}), r"state\['x'\]: received shape"),
    (lambda: R.if_(0.5, {"n": 1, "x": 0.0}, {"n": 2, "x": 0.0}), r"state\['n'\]: received int"),
    (lambda: R.if_(0.5, {"x": 1.0}, {"x": 1.0, "y": 2.0}), r"state\['y'\]: received a leaf"),
    (lambda: R.if_(0.5, jnp.ones(2), jnp.ones(2, jnp.bfloat16)), "state: received .*bfloat16"),
    (lambda: R.if_(1.5, 1.0, 0.0), r"condition: received 1.5, allowed: weights in \[0, 1\]"),
    (lambda: R.if_(jnp.ones(3), {"x": 1.0}, {"x": jnp.ones(2)}), r"state\['x'\]: .*condition"),
    (lambda: R.is_true(-0.5), "value: received -0.5"),
    (lambda: _while({"x": 1.0}, lambda k, s: s, max_steps=None), "max_steps: received None"),
    (lambda: _while({"x": 1.0}, lambda k, s: s, max_steps=0), "max_steps: received 0"),
    (
        lambda: _while({"n": 1}, lambda k, s: {"n": s["n"] + 1}),
        r"state\['n'\]: received int32 that",
    ),
    (lambda: _while({"x": 1.0}, lambda k, s: {"x": jnp.ones(2)}), r"state\['x'\]: .*\(2,\)"),
    (lambda: programs.for_(2, lambda i, s: {}, {"x": 1.0}), r"state\['x'\]: received a leaf"),
    (lambda: programs.for_(-1, lambda i, s: s, 1.0), "count: received -1"),
    (lambda: programs.for_(2, lambda i, s: s, 1.0, stop=3), "stop: received 3"),
    (lambda: algorithms.levenshtein(jnp.ones(3), jnp.ones((3, 2))), "a: received shape"),
    (lambda: algorithms.bubble_sort(jnp.ones(3), distribution="normal"), "distribution: received"),
    (lambda: algorithms.bubble_sort(jnp.ones(3), count="all"), "count: received 'all'"),
]


@pytest.mark.parametrize("call, message", REFUSED, ids=[message for _, message in REFUSED])
def test_errors_name_the_variable(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_loops_keep_integers_that_they_do_not_change():
    state = {"x": 1.0, "n": jnp.arange(3)}

    def inner(k, s):
        return programs.for_(2, lambda i, s: {**s, "x": s["x"] + s["n"][i]}, s)

    end = R.while_(lambda s: 0.5, inner, state, max_steps=2)
    assert end["n"] is state["n"] and end["x"] == 0.5 * 1 + 0.25 * 2 + 0.25 * 3
