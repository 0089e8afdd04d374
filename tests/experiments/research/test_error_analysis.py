# SPDX-License-Identifier: Apache-2.0
"""Errors and pulls are those of their definition, and what cannot be measured is left out."""

import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import LapSum, operators
from experiments.research import error_analysis as analysis
from tests.experiments.flags import kept, refusal

ROOT = pathlib.Path(__file__).resolve().parents[3]


def run(*arguments):
    with kept(analysis.FLAGS):
        analysis.SCRIPT.run(["error_analysis.py", *arguments])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--operators=bogosort"], "--operators: received 'bogosort', allowed: amortized"),
        (["--lengths=8,4"], "--lengths: received 8,4, allowed: integers of at least 2, each once"),
        (["--gradient_lengths=1"], "--gradient_lengths: received 1"),
        (["--lists=0"], "--lists: received 0, allowed: an integer >= 1"),
        (["--distances=1"], "--distances: received 1"),
        (["--keys=0"], "--keys: received 0"),
        (["--seed=-1"], "--seed: received -1"),
        (["--out=x.png"], "--out: received x.png, allowed: a file that ends in .json"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


def test_the_pair_in_the_middle_is_exchanged():
    np.testing.assert_array_equal(analysis.wrong_pair(5, 2.0), [0.0, 2.0, 6.0, 4.0, 8.0])
    np.testing.assert_array_equal(analysis.wrong_pair(2, 1.0), [1.0, 0.0])


def test_the_unit_is_where_two_scores_are_three_quarters_sorted():
    # The threshold is midway, and 1 - exp(-d / 2t) / 2 = 3/4.
    assert math.isclose(analysis.unit_of(LapSum(temperature=3.0)), 6 * math.log(2), rel_tol=1e-4)
    assert analysis.unit_of(operators.get("sinkhorn")) == 1.0  # scale means nothing to it


def test_every_operator_has_a_loss():
    assert analysis.losses(operators.get("learned")) == ("bce", "pointer", "likelihood")
    for name in operators.names():
        operator = operators.get(name)
        assert analysis.losses(operator)[0] == ("bce" if operator.has_permutation else "ranks")


def test_a_list_that_is_too_long_is_not_measured():
    assert analysis.allows(operators.get("learned"), 16)
    assert not analysis.allows(operators.get("learned"), 17)


@pytest.mark.slow
def test_everything_is_measured_written_and_drawn(tmp_path):
    out = tmp_path / "errors.json"
    run(
        *("--operators=hard,softsort,perturbed", "--lengths=2,4", "--gradient_lengths=2"),
        *("--lists=2", "--distances=3", "--keys=2", f"--out={out}"),
    )
    report = json.loads(out.read_text())
    by_name = {(r["operator"], r["n"]): r["rms"] for r in report["errors"]}
    assert len(by_name) == 6
    assert by_name["hard", 4] == [0.0] * len(analysis.EXPONENTS)
    rms = by_name["softsort", 4]
    assert 0 <= rms[-1] < rms[0] < 1  # softer where the range is small
    pulls = {(r["operator"], r["n"]): r for r in report["gradients"]}
    assert set(pulls) == {("softsort", 2), ("perturbed", 2)}
    assert pulls["softsort", 2]["cosine"][1] == pytest.approx(1.0)
    assert all(norm >= 0 for pull in pulls.values() for norm in pull["norm"])
    for kind in ("values", "gradients"):
        picture = tmp_path / f"errors_{kind}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_pull_is_the_gradient_by_hand():
    operator = LapSum(temperature=2.0)
    found = analysis.pulls("bce", operator, 3, np.array([0.5]), 4.0)
    step = 1e-2
    gradient = []
    for j in (1, 2):
        x = analysis.wrong_pair(3, jnp.float32(2.0))
        up, down = (
            analysis.listed_loss("bce", operator, x.at[j].add(s * step), jax.random.key(0))
            for s in (1, -1)
        )
        gradient.append(4.0 * float(up - down) / (2 * step))
    np.testing.assert_allclose(found["norm"], [math.hypot(*gradient)], rtol=1e-2)
    together = (gradient[0] - gradient[1]) / math.sqrt(2) / math.hypot(*gradient)
    np.testing.assert_allclose(found["cosine"], [together], rtol=1e-2)


def test_the_committed_analysis_has_every_operator():
    committed = ROOT / "experiments" / "results" / "accuracy" / "error_analysis.json"
    report = json.loads(committed.read_text(encoding="utf-8"))
    assert report["config"]["operators"] == list(operators.names())
