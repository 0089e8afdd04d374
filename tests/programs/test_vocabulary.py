# SPDX-License-Identifier: Apache-2.0
"""AlgoVision's vocabulary: every form of its instructions, and none of its traps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.programs import algovision as v
from tests.programs import algovision_programs as written
from tests.programs.test_algovision import Jnp

ARRAY = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4)), jnp.float32)
SQUARE = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 3)), jnp.float32)


def _let(*statements, output="a", **options):
    """What statements make of `a`, of numbers; beside an array, a square, and i = 1, j = 0."""
    program = v.Algorithm(
        v.Input("array"),
        v.Input("square"),
        v.Var("a", jnp.array(0.5)),
        v.Var("x", lambda: jnp.array(3.0)),
        v.Var("half", jnp.zeros(2)),
        v.Var("row", jnp.array([1.0, 2.0, 3.0])),
        v.VarInt("i", 1),
        v.VarInt("j", lambda i: i - 1),
        v.VarInt("places", range(2)),
        *statements,
        v.Output(output),
        **options,
    )
    return np.asarray(program(ARRAY, SQUARE))


ROWS = [
    (v.Let("a", "x"), "a", [3.0, 3.0]),
    (v.Let("a", lambda x: x**2), "a", [9.0, 9.0]),
    (v.Let("a", 2), "a", [2.0, 2.0]),
    (v.Let("a", "i"), "a", [1.0, 1.0]),
    (v.Let("row", jnp.arange(3.0)), "row", [[0, 1, 2]] * 2),
    (v.Let("a", "array", ["i"]), "a", ARRAY[:, 1]),
    (v.Let("a", lambda array, i: array[:, i]), "a", ARRAY[:, 1]),
    (v.Let("a", "square", ["i", lambda j: j + 2]), "a", SQUARE[:, 1, 2]),
    (v.Let("half", "array", [slice(0, None, 2)]), "half", ARRAY[:, ::2]),
    (v.Let("row", "square", [None, -1]), "row", SQUARE[:, :, -1]),
    (v.Let("array", ["i"], "x"), "array", ARRAY.at[:, 1].set(3)),
    (v.Let("array", [lambda i: i + 1], 0.0), "array", ARRAY.at[:, 2].set(0)),
    (v.Let("array", [0], "array", [-1]), "array", ARRAY.at[:, 0].set(ARRAY[:, 3])),
    (v.Let("array", [0], lambda array, places: array[:, places[1]]), "array", None),
    (v.Let("square", [1, "j"], "x"), "square", SQUARE.at[:, 1, 0].set(3)),
    # Those that the package writes to other places, or refuses.
    (v.Let("square", [1], "row"), "square", SQUARE.at[:, 1].set(jnp.arange(1.0, 4.0))),
    (v.Let("array", [slice(1, 3)], "x"), "array", ARRAY.at[:, 1:3].set(3)),
    (v.Let("square", [None, 1], "row"), "square", SQUARE.at[:, :, 1].set(jnp.arange(1.0, 4.0))),
]


@pytest.mark.parametrize("statement, output, expected", ROWS, ids=map(str, range(len(ROWS))))
def test_every_form_of_let(statement, output, expected):
    if expected is None:
        expected = ARRAY.at[:, 0].set(ARRAY[:, 1])
    np.testing.assert_allclose(_let(statement, output=output), expected, rtol=1e-6)


def test_several_variables_and_weights_on_the_left():
    two = v.Let(["a", "x"], lambda a, x: (a + x, a - x))
    assert _let(two)[0] == 3.5 and _let(two, output="x")[0] == -2.5
    weights = jnp.array([0.0, 0.25, 0.5, 1.0])
    for index in (weights, lambda array: jnp.broadcast_to(weights, array.shape)):
        got = _let(v.Let("array", [index], "x"), output="array")
        w = np.asarray(weights)
        np.testing.assert_allclose(got, w * 3 + (1 - w) * np.asarray(ARRAY), rtol=1e-6)


REFUSED = [
    (lambda: _let(v.Let("a", "nothing")), "variable: received 'nothing'"),
    (lambda: _let(v.Let("a", "array")), r"a: received shape \(2, 4\), allowed: shape \(2,\)"),
    (lambda: _let(v.Let("array", [7], 0.0)), "an index of array: received 7, allowed: -4 to 3"),
    (lambda: _let(v.LetInt("a", 1)), "LetInt: received 'a'"),
    (lambda: _let(v.For("i", 2)), "For: received 'i'"),
    (lambda: _let(v.If(v.GT("a", 0), v.LetInt("i", 5))), "i: received 5 if true and 1 if false"),
    (
        lambda: _let(
            v.While(v.GT("a", 0), v.LetInt("i", lambda i: i + 1), max_iter=2), v.Let("a", "i")
        ),
        "i: received a read after a While",
    ),
    (lambda: _let(v.Var("a", jnp.ones(()))), "a: received a second variable"),
    (lambda: v.Algorithm(v.Input("x")), "Algorithm: received no Output"),
]


@pytest.mark.parametrize("call, message", REFUSED, ids=[message for _, message in REFUSED])
def test_errors_name_the_variable(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_integer_and_what_is_no_form_is_refused():
    with pytest.raises(TypeError, match="n: received 1.5"):
        v.VarInt("n", 1.5)
    with pytest.raises(TypeError, match="Let: received"):
        v.Let("a", ["i"], "b", "c")
    with pytest.raises(TypeError, match="Algorithm: received 3"):
        v.Algorithm(v.Input("x"), v.Output("x"), 3)


def test_integers_are_not_rounded():
    counter, many = v.Var("n", jnp.array(1)), v.Var("m", jnp.arange(3))
    for statement, name in (
        (v.Let("n", lambda n: n / 2), "n"),
        (v.Let("n", 0.5), "n"),
        (v.Let("m", [1], "a"), "m"),
    ):
        message = f"{name}: received float32 for a variable of int32"
        with pytest.raises(TypeError, match=message):
            _let(counter, many, statement)
    with pytest.raises(TypeError, match="m: received dtype int32, allowed: floats"):
        _let(many, v.Let("m", [jnp.array([0.0, 0.5, 1.0])], 2))
    assert (_let(counter, v.Let("n", lambda n: n + 1), output="n") == 2).all()


def test_conditions_have_a_weight_for_each_row_and_a_beta_above_zero():
    with pytest.raises(ValueError, match=r"GT of 'square': received shape \(2, 3, 3\), .* \(2,\)"):
        _let(v.If(v.GT("square", 0.0), v.Let("a", 1.0)))
    with pytest.raises(ValueError, match=r"LT: received shape \(2, 1\)"):
        _let(v.While(v.LT(lambda a: a[:, None], 0.0), v.Let("a", 1.0)))
    for bad in (lambda: v.GT("a", 0.0, beta=0.0), lambda: v.Min(-1.0)):
        with pytest.raises(ValueError, match="beta: received"):
            bad()


def test_inputs_may_be_lists():
    program = v.Algorithm(v.Input("x"), v.Let("x", lambda x: 2 * x), v.Output("x"))
    np.testing.assert_array_equal(program([1.0, 2.0]), [2, 4])
    with pytest.raises(ValueError, match=r"x: received shape \(\)"):
        program(1.0)


def test_soft_minima_are_exact_in_the_exact_program():
    least, best = v.Min(2.0), v.ArgMax(2.0)

    def program(hard):
        where = v.Let("y", lambda x, y: least(x, y))
        return v.Algorithm(
            v.Input("x"),
            v.Var("y", lambda: least(0.6, 0.5)),
            v.Var("z", jnp.zeros(2)),
            v.If(v.GT("x", -9.0), where),
            v.Let("z", lambda x: best(x, 0.3)),
            v.Output("y"),
            v.Output("z"),
            hard=hard,
        )

    x = jnp.array([0.2, 0.7])
    (y, z), (soft, shares) = program(True)(x), program(False)(x)
    np.testing.assert_allclose(y, [0.2, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(z, [[0, 1], [1, 0]])
    assert (abs(soft - y) > 1e-3).all() and (abs(shares - z) > 0.1).all()
    slopes = [jax.grad(lambda x: program(hard)(x)[0].sum())(x) for hard in (True, False)]  # noqa: B023
    np.testing.assert_allclose(*slopes, rtol=1e-6)


def test_bubble_sort_as_the_readme_of_the_package_has_it():
    exchange = [
        v.Let(["left", "right"], lambda left, right: (right, left)),
        v.Let("scores", ["k"], "left"),
        v.Let("scores", [lambda k: k + 1], "right"),
        v.Let("unsorted", 1.0),
        v.Let("mistakes", lambda mistakes: mistakes + 1),
    ]
    neighbours = v.Let("left", "scores", ["k"]), v.Let("right", "scores", [lambda k: k + 1])
    program = v.Algorithm(
        v.Input("scores"),
        v.Var("left", jnp.array(0.0)),
        v.Var("right", jnp.array(0.0)),
        v.Var("unsorted", jnp.array(1.0)),
        v.Var("mistakes", jnp.array(0.0)),
        v.VarInt("last", lambda scores: scores.shape[1] - 1),
        v.While(
            v.IsTrue("unsorted"),
            v.Let("unsorted", 0),
            v.For("k", "last", *neighbours, v.If(v.GT("left", "right"), exchange)),
            v.LetInt("last", lambda last: last - 1),
        ),
        v.Output("scores"),
        v.Output("mistakes"),
        beta=2e3,
    )
    x = jnp.array([[3.0, 1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    values, mistakes = program(x)
    np.testing.assert_allclose(values, jnp.sort(x), atol=1e-5)
    np.testing.assert_allclose(mistakes, [5, 0], atol=1e-5)


def test_loops_over_lists_and_nested_ranges():
    add = v.Let("a", lambda a, k: a + k)
    assert _let(v.For("k", "places", add))[0] == 1.5
    assert _let(v.For("k", [3, 1], add))[0] == 4.5
    assert _let(v.For("k", lambda i: range(3, i, -1), add))[0] == 5.5
    nested = v.For("m", 3, v.For("k", "m", v.Let("a", lambda a, k, m: a + 10 * m + k)))
    assert _let(nested)[0] == 0.5 + 10 + 20 + 21


def test_conditions_are_joined_and_take_a_beta_of_their_own():
    one, other = v.GT("x", 2.0, beta=1.0), v.LT("a", lambda x: x - 2)
    p, q = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-0.5 * 10))
    for condition, weight in ((one & other, p * q), (one | ~other, 1 - (1 - p) * q)):
        got = _let(v.If(condition, v.Let("a", 1.5)))
        np.testing.assert_allclose(got, 0.5 + weight, rtol=1e-5)


def test_printing_changes_nothing(capfd):
    assert _let(v.Print(lambda x, i: x * i))[0] == 0.5
    jax.effects_barrier()
    assert capfd.readouterr().out == "[3. 3.]\n"


@jax.jit
def _bubble(x, beta):
    return written.bubble_sort(v, Jnp, 10.0)(x, beta=beta)


def test_rows_do_not_see_each_other():
    x = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
    x[1] = np.sort(x[1])  # this one stops first
    together = _bubble(x, 10.0)
    alone = [_bubble(np.stack([row] * 3), 10.0) for row in x]
    for part, *rows in zip(together, *alone, strict=True):
        np.testing.assert_allclose(part, [one[0] for one in rows], rtol=1e-6, atol=1e-7)


def test_a_statement_has_the_beta_of_each_algorithm_that_it_is_in():
    shared = v.If(v.GT("x", 0.0), v.Let("x", 0.0))
    programs = [v.Algorithm(v.Input("x"), shared, v.Output("x"), beta=beta) for beta in (1.0, 4.0)]
    got = [float(program(jnp.ones(1))[0]) for program in programs]
    np.testing.assert_allclose(got, [1 - 1 / (1 + np.exp(-1)), 1 - 1 / (1 + np.exp(-4))], rtol=1e-5)


@pytest.mark.parametrize("where", ["algorithm", pytest.param("statement", marks=pytest.mark.slow)])
def test_hard_is_exact_forward_and_soft_backward(where):
    def run(x, hard):
        options = {"hard": hard, "max_iter": 12}
        count = [v.Let("x", lambda x: x + 1), v.If(v.GT("x", 3.2), v.Let("y", 1.0))]
        loop = v.While(v.LT("x", 5), *count, **(options if where == "statement" else {}))
        ports = v.Input("x"), v.Var("y", jnp.array(0.0)), loop, v.Output("x"), v.Output("y")
        program = v.Algorithm(*ports, beta=8.0, **(options if where == "algorithm" else {}))
        return sum(one.sum() for one in program(x))

    x = jnp.array([0.8])
    (soft, slope), (exact, hard_slope) = (
        jax.value_and_grad(run)(x, hard) for hard in (False, True)
    )
    np.testing.assert_allclose(exact, 6.8, rtol=1e-6)
    assert abs(soft - exact) > 0.05 and abs(slope[0]) > 1e-3
    np.testing.assert_allclose(slope, hard_slope, rtol=1e-6)


def test_writing_beside_an_infinity_is_no_nan():
    program = v.Algorithm(
        v.Input("x"),
        v.If(v.GT(lambda x: x[:, 0], 0.0), v.Let("x", [1], 2.0)),
        v.Output("x"),
        beta=1e4,
    )
    x = jnp.array([[1.0, 0.0, jnp.inf], [-1.0, 0.0, -jnp.inf]])
    np.testing.assert_array_equal(program(x), [[1, 2, np.inf], [-1, 0, -np.inf]])


@pytest.mark.slow
def test_equality_has_a_finite_gradient_anywhere():
    program = v.Algorithm(v.Input("x"), v.If(v.Eq("x", 0.0), v.Let("x", 1.0)), v.Output("x"))
    x = jnp.array([0.0, 0.1, 20.0, -1e4, 1e30])
    assert np.isfinite(jax.grad(lambda x: program(x).sum())(x)).all()


def test_a_network_in_a_function_is_trained():
    def loss(weights, x):
        scores = v.Let("x", lambda x: jnp.tanh(x * weights))
        program = v.Algorithm(
            v.Input("x"), v.While(v.LT("x", 0.5), scores, max_iter=2), v.Output("x")
        )
        return program(x).sum()

    x = jnp.array([0.4, 2.0])
    slope = jax.jit(jax.grad(loss))(jnp.array(1.3), x)
    step = 1e-2
    expected = (loss(1.3 + step, x) - loss(1.3 - step, x)) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-2)
    assert slope > 0.1


def test_one_statement_in_two_places_where_its_integers_differ_is_refused():
    first = v.Let("a", "array", ["i"])
    with pytest.raises(ValueError, match="one statement in two places"):
        _let(first, v.LetInt("i", 2), first)
