# SPDX-License-Identifier: Apache-2.0
"""What makes a sort teach is measured as it is defined."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import SoftSort
from experiments.four_digits.config import read_method, resolve
from experiments.research import gradient_quality
from tests.experiments.flags import kept, refusal


def run(*arguments):
    with kept(gradient_quality.FLAGS):
        gradient_quality.SCRIPT.run(["gradient_quality.py", *arguments])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--methods=bogosort@bce"], "bogosort"),
        (
            ["--methods=learned@likelihood+noise_scales"],
            "with noise scales, allowed: losses of scores alone",
        ),
        (["--methods=softsort@trace"], "loss: received trace for SoftSort"),
        (["--lengths=5,3"], "--lengths: received 5,3"),
        (["--lists=0"], "--lists: received 0"),
        (["--spread=0"], "--spread: received 0.0"),
        (["--out=x.png"], "--out: received x.png"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


@pytest.mark.parametrize(
    "truth, chance",
    [
        ("plackett_luce", lambda gap: 1 / (1 + np.exp(-gap))),
        (
            "cauchy_likelihood",
            lambda gap: 0.5 + np.arctan(gap / 2) / np.pi,
        ),  # the noise of both adds up
    ],
)
def test_orders_are_drawn_from_the_model(truth, chance):
    lists = gradient_quality.draw(truth, jax.random.key(0), 4000, 2, 1.0)
    gap = np.asarray(lists.true[:, 1] - lists.true[:, 0])
    second_is_larger = np.asarray(lists.order[:, 1]) == 1
    assert abs(second_is_larger.mean() - chance(gap).mean()) < 0.03
    sure = gap > 2
    assert abs(second_is_larger[sure].mean() - chance(gap)[sure].mean()) < 0.05


@pytest.mark.parametrize("truth", gradient_quality.TRUTHS)
def test_a_likelihood_is_aligned_with_itself(truth):
    lists = gradient_quality.draw(truth, jax.random.key(0), 20, 3, 1.0)
    found = gradient_quality.measure(truth, truth, None, lists, jax.random.key(0))
    assert found["scale"] in (0.5, 1.0, 2.0)  # that of the model, but for 20 lists of chance
    for at_share in found["shares"]:
        assert at_share["alignment"] == pytest.approx(1.0, abs=0.1)


def test_the_methods_are_all_different():
    _, methods = resolve({"operators": [",".join(gradient_quality.METHODS)], "n": 5})
    assert len(methods) == len(gradient_quality.METHODS)


def test_calibration_counts_how_often_weights_are_right():
    weights = np.array([[[0.95, 0.05], [0.05, 0.95]]] * 4)
    order = np.array([[0, 1], [0, 1], [0, 1], [1, 0]])
    found = gradient_quality.calibration(weights, order)
    assert found["count"][0] == found["count"][9] == 8
    assert found["share"][9] == 0.75 and found["share"][0] == 0.25
    assert found["error"] == pytest.approx(0.2)


@pytest.mark.slow
def test_all_is_written_and_measured_once(tmp_path, capsys):
    out = tmp_path / "gradient_quality.json"
    run("--methods=softsort@rows,loss:pairwise", "--lengths=2", "--lists=8", f"--out={out}")
    report = json.loads(out.read_text())
    soft, pairwise = report["records"]
    assert [soft["method"], pairwise["method"]] == ["softsort@rows", "loss:pairwise"]
    assert "calibration" in soft and "calibration" not in pairwise
    assert [s["share"] for s in soft["shares"]] == list(gradient_quality.SHARES)
    assert "softsort@rows" in capsys.readouterr().out
    run("--methods=softsort@rows,loss:plackett_luce", "--lengths=2", "--lists=8", f"--out={out}")
    records = json.loads(out.read_text())["records"]
    assert records[:2] == report["records"] and records[2]["method"] == "loss:plackett_luce"
    # Two scores have one direction to be right about.
    lists = gradient_quality.draw("plackett_luce", jax.random.key(0), 300, 2, 1.0)
    two = gradient_quality.measure("plackett_luce", "rows", SoftSort(), lists, jax.random.key(0))
    assert two["shares"][0]["alignment"] == pytest.approx(1.0, abs=1e-2)
    assert jnp.isfinite(jnp.asarray(two["losses"])).all()


@pytest.mark.slow
def test_a_method_with_weights_is_measured_at_several_lengths_and_gone_on_with(tmp_path):
    out = tmp_path / "gradient_quality.json"
    for methods in ("amortized@rows", "amortized@rows,softsort@rows"):
        run(f"--methods={methods}", "--lengths=2,3", "--lists=4", f"--out={out}")
    records = json.loads(out.read_text())["records"]
    weights = read_method("amortized@rows", "auto").weights
    found = [(record["method"], record["n"], record["weights"]) for record in records]
    expected = [("amortized@rows", n, weights) for n in (2, 3)]
    assert found == expected + [("softsort@rows", n, None) for n in (2, 3)]
