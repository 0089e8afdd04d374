# SPDX-License-Identifier: Apache-2.0
"""Pictures show what was computed."""

import json
import subprocess
import sys

import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

import arlsort
from arlsort import plot, programs
from arlsort.plot import runs
from arlsort.programs import algorithms

matplotlib.use("Agg")
X = [3.0, 1.0, 2.0, 0.5, 2.4]


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


def test_a_heat_map_has_the_weights_and_the_names():
    P = arlsort.permutation(jnp.array(X), "neuralsort")
    ax = plot.heat_map(P, columns=X, title="soft", colorbar=True)
    np.testing.assert_array_equal(ax.images[0].get_array(), P)
    assert [label.get_text() for label in ax.get_xticklabels()] == [str(x) for x in X]
    assert ax.get_title() == "soft" and len(ax.figure.axes) == 2
    assert plot.heat_map(P, ax=ax) is ax


def test_neighbours_are_as_opaque_as_their_weights():
    pictures = np.arange(3 * 4 * 2, dtype=np.float32).reshape(3, 4, 2)
    ax = plot.neighbours(pictures[0], pictures[1:], [0.75, 1.5], title="near")
    assert [image.get_alpha() for image in ax.images] == [1.0, 0.75, 1.0]
    for image, picture in zip(ax.images, pictures, strict=True):
        np.testing.assert_array_equal(image.get_array(), picture)
    assert [text.get_text() for text in ax.texts] == ["query", "0.75", "1.50"]
    assert ax.get_title() == "near"


def test_neighbours_may_be_unknown_standardised_or_in_colour():
    colours = np.full((2, 3, 3, 3), 255, np.uint8)
    for query, candidates in ((-jnp.eye(3), -jnp.ones((2, 3, 3))), (colours[0], colours)):
        axes = plot.neighbours(query, candidates, jnp.array([jnp.nan, 0.5]))
        assert [text.get_text() for text in axes.texts] == ["query", "nan", "0.50"]
        axes.figure.canvas.draw()
        assert all(image.get_array().max() <= 1 for image in axes.images)
    with pytest.raises(ValueError, match="query"):
        plot.neighbours(jnp.ones((3, 3, 2)), jnp.ones((1, 3, 3, 2)), jnp.ones(1))


def test_a_series_is_drawn_with_what_is_known_of_it():
    noisy, clean, denoised = np.random.default_rng(0).normal(size=(3, 7))
    ax = plot.series(noisy, clean=jnp.array(clean), denoised=denoised, title="steps")
    assert [line.get_label() for line in ax.lines] == ["noisy", "clean", "denoised"]
    for line, expected in zip(ax.lines, (noisy, clean, denoised), strict=True):
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6)
    assert plot.series(noisy, ax=ax) is ax and len(ax.lines) == 4 and ax.get_title() == ""


@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_a_program_stops_where_its_result_comes_from(temperature):
    layer, inputs = algorithms.multiply, (1.5, 3.0)
    figure = plot.program(layer, *inputs, temperature=temperature)
    left, total, weight = figure.axes
    steps = np.arange(len(weight.patches))
    np.testing.assert_allclose(left.lines[0].get_ydata(), 3.0 - steps, atol=1e-5)
    np.testing.assert_allclose(total.lines[0].get_ydata(), 1.5 * steps, atol=1e-5)
    weights = np.array([bar.get_height() for bar in weight.patches])
    assert abs(weights.sum() - 1) < 0.005 and weights.argmax() == 3
    result = layer(*inputs, temperature=temperature)
    np.testing.assert_allclose(total.lines[1].get_ydata(), result, rtol=0.01)
    np.testing.assert_allclose(weights @ total.lines[0].get_ydata(), result, rtol=0.02)


def test_the_last_step_of_a_program_has_what_is_left():
    @programs.relaxed
    def countdown(r, x):
        def step(k, s):
            return {"x": s["x"] - 1, "row": s["row"] + k, "whole": s["whole"]}

        start = {"x": x, "row": jnp.zeros((2, 3)), "whole": 7}
        s = r.while_(lambda s: r.greater(s["x"], 0.0), step, start, max_steps=2)
        return r.while_(lambda s: r.greater(s["x"], 5.0), step, s, max_steps=1)["x"]

    row, x, weight = plot.program(countdown, 9.0, hard=True).axes[:3]
    assert [bar.get_height() for bar in weight.patches] == [0, 0, 1]
    assert x.lines[0].get_ydata().tolist() == [9, 8, 7]
    assert row.images[0].get_array().tolist() == [[0, 0, 1]] * 6
    x = plot.program(countdown, 9.0, hard=True, loop=1).axes[1]
    assert x.lines[0].get_ydata().tolist() == [7, 6]
    with pytest.raises(ValueError, match="loop: received 2, allowed: 0 to 1"):
        plot.program(countdown, 9.0, loop=2)


def test_each_temperature_has_its_own_weights():
    figure = plot.temperatures(X, "neuralsort", (0.1, 2.0))
    for ax, t in zip(figure.axes, (0.1, 2.0), strict=False):
        expected = arlsort.permutation(jnp.array(X), arlsort.NeuralSort(temperature=t))
        np.testing.assert_allclose(ax.images[0].get_array(), expected, rtol=1e-6)
        assert ax.get_title() == f"temperature {t:g}"


def test_values_run_from_the_order_to_the_mean():
    lines = plot.values(X, "softsort", (1e-3, 1e3)).lines
    cold, hot = zip(*(line.get_ydata() for line in lines), strict=True)
    np.testing.assert_allclose(cold, sorted(X), atol=1e-3)
    np.testing.assert_allclose(hot, np.mean(X), atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["odd_even", "bitonic", "odd_even_merge"])
@pytest.mark.parametrize("error_free", [False, True])
def test_a_network_ends_with_the_values_of_the_operator(name, error_free):
    operator = arlsort.SortingNetwork(name, error_free=error_free)
    layers, states, swaps = runs._run(jnp.array(X), operator)
    np.testing.assert_allclose(states[-1], operator.sort(jnp.array(X)), rtol=1e-5)
    assert len(states) == len(layers) + 1 == len(swaps) + 1
    texts = [text.get_text() for text in plot.network(X, operator).axes[0].texts]
    drawn = [text for text in texts if text]  # an arrow is an annotation without words
    assert drawn[-1] == f"{states[-1][-1]:.3g}"
    assert len(drawn) == sum(map(len, layers)) + 2 * len(X)


def test_comparators_of_a_layer_do_not_cross():
    assert runs._apart(np.array([[0, 1], [2, 3]])) == [0, 0]
    assert runs._apart(np.array([[0, 2], [3, 1], [4, 5]])) == [0, 1, 0]


def test_an_execution_shows_every_step(tmp_path):
    operator = arlsort.LearnedSort()
    said = operator.log_trace(jnp.array(X))
    animation = plot.execution(X, operator)
    frames = list(animation.new_frame_seq())
    assert len(frames) == len(said.log_hints["pred_h"]) + 1
    above, below = animation._fig.axes
    animation._func(2)
    np.testing.assert_allclose(above.images[0].get_array(), np.exp(said.log_hints["pred_h"][2]))
    np.testing.assert_allclose(below.images[0].get_array()[0], np.exp(said.log_hints["i"][2]))
    animation._func(frames[-1])
    np.testing.assert_allclose(above.images[0].get_array(), np.exp(said.log_predecessor))
    assert above.get_title() == "output"
    animation.save(tmp_path / "sort.gif", writer="pillow")
    assert (tmp_path / "sort.gif").read_bytes()[:3] == b"GIF"


def test_curves_are_mean_and_range_over_seeds(tmp_path):
    runs = [
        {"operator": name, "curve": {"step": [1, 2], "em": em, "loss": [1.0, 0.5]}}
        for name, em in (("a", [0.1, 0.3]), ("a", [0.3, 0.5]), ("b", [0.0, 0.1]))
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"runs": runs}))
    panels = plot.curves(path, metrics=("em", "loss")).axes
    assert [ax.get_title() for ax in panels] == ["lists in exact order", "loss"]
    np.testing.assert_allclose(panels[0].lines[0].get_ydata(), [0.2, 0.4])
    assert [line.get_label() for line in panels[0].lines] == ["a", "b"]
    line = plot.mean_and_range(panels[0], [1, 2], [[1, 3], [3, 3]], marker="s")
    assert line.get_marker() == "s" and line.get_ydata().tolist() == [2, 3]
    with pytest.raises(ValueError, match="metrics: received 'ew', allowed: em, loss"):
        plot.curves({"runs": runs}, metrics=["ew"])


@pytest.mark.parametrize(
    "draw, error",
    [
        (lambda: plot.heat_map(jnp.ones((2, 3))), "P: received shape"),
        (lambda: plot.neighbours(X, [X], [1.0]), "query: received shape (5,)"),
        (lambda: plot.neighbours(jnp.eye(2), jnp.eye(2), [1.0]), "candidates: received shape"),
        (lambda: plot.neighbours(jnp.eye(2), [jnp.eye(2)], [1.0, 0.0]), "weights: received shape"),
        (lambda: plot.series(jnp.eye(2)), "noisy: received shape (2, 2)"),
        (lambda: plot.series([]), "noisy: received shape (0,)"),
        (lambda: plot.series(X, clean=X[:2]), "clean: received shape (2,), allowed: shape (5,)"),
        (lambda: plot.series(X, denoised=[X]), "denoised: received shape (1, 5)"),
        (lambda: plot.series([1j, 2]), "noisy: received dtype complex128, allowed: real numbers"),
        (lambda: plot.series(["a", "b"]), "noisy: received dtype <U1, allowed: real numbers"),
        (lambda: plot.series([[1], [1, 2]]), "noisy: received no array, allowed: real numbers"),
        (lambda: plot.series(X, clean=[1j] * 5), "clean: received dtype complex"),
        (lambda: plot.values(["a", "b"]), "x: received dtype <U1, allowed: real numbers"),
        (lambda: plot.program(jnp.sin, 1.0), "layer: received"),
        (
            lambda: plot.program(arlsort.RelaxedProgram(), jnp.array(X)),
            "received RelaxedProgram, allowed: a function that arlsort.programs.relaxed returned",
        ),
        (
            lambda: plot.program(algorithms.multiply, jnp.ones(3), jnp.ones(3)),
            "inputs: received a batch of shape (3,), allowed: one example",
        ),
        (lambda: plot.program(algorithms.insertion_sort, jnp.array(X)), "allowed: a program with"),
        (lambda: plot.program(algorithms.multiply, 1.0, 2.0, temperature=0), "temperature: rec"),
        (lambda: plot.program(algorithms.multiply, 1.0, 2.0, distribution="a"), "distribution: r"),
        (lambda: plot.heat_map(jnp.eye(2), columns=["a"]), "columns: received 1 names"),
        (lambda: plot.temperatures([[1.0]]), "x: received shape (1, 1)"),
        (lambda: plot.temperatures(X, "hard"), "operator: received Hard, which has no"),
        (lambda: plot.heat_map(jnp.zeros((0, 0))), "P: received shape (0, 0)"),
        (lambda: plot.temperatures(X, "softsort", ()), "temperatures: received none"),
        (lambda: plot.values(X, "softsort", ()), "temperatures: received none"),
        (lambda: plot.temperatures(X, "permutahedron"), "which has values only"),
        (lambda: plot.curves({"runs": []}), "results, runs: received none"),
        (lambda: plot.curves({}, metrics=()), "metrics: received none"),
        (lambda: plot.network([1.0, jnp.nan]), "x: received one that is not finite"),
        (lambda: plot.network(X, arlsort.SortingNetwork(hard=True)), "received hard=True"),
        (lambda: plot.network([1.0]), "x: received 1 score"),
        (lambda: plot.network(X, "bitonic"), "operator: received <class 'str'>"),
        (lambda: plot.execution(X, arlsort.Hard()), "operator: received"),
    ],
)
def test_what_is_not_allowed_is_said(draw, error):
    with pytest.raises((TypeError, ValueError)) as raised:
        draw()
    assert error in str(raised.value)
    assert not plt.get_fignums()


def test_without_matplotlib_the_rest_works():
    program = """
import sys
sys.modules["matplotlib"] = sys.modules["matplotlib.pyplot"] = None
import arlsort, jax.numpy as jnp
try:
    arlsort.plot.heat_map(jnp.eye(2))
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert 'pip install "arlsort[plot]"' in done.stdout, done.stderr
