# SPDX-License-Identifier: Apache-2.0
"""The swing of a score is measured on both kinds of weights."""

import dataclasses

import optax
import pytest

from experiments.common import storage
from experiments.research import clrs_scores, stability
from tests.experiments.flags import kept, refusal

TINY = (
    *("--lengths=2", "--n=4", "--n_choice=3", "--steps=4", "--every=2", "--hidden_size=8"),
    *("--test_lists=2", "--seeds=1"),
)


def run(*arguments):
    with kept(stability.FLAGS):
        stability.SCRIPT.run(["stability.py", *TINY, *arguments])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--steps=3"], "--steps: received 3, allowed: at least two measurements, --steps=4"),
        (["--n_choice=1"], "--n_choice: received 1"),
        (["--inputs=keys"], "--inputs"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


def test_swing_is_that_of_the_second_half():
    assert stability.swing([0.9, 0.1, 0.5, 0.6, 0.4]) == pytest.approx(0.15)
    assert stability.swing([0.0, 0.5, 0.7, 0.6]) == pytest.approx((0.2 + 0.1) / 2)


def test_a_checkpoint_is_chosen_by_the_held_out_length():
    scores = {"n_choice": [0.2, 0.9, 0.8], "n": [0.1, 0.5, 0.7]}
    records = [{"kind": "default", "last": scores, "average": scores}]
    last, average = stability.summary({"records": records})
    assert last["chosen"] == [0.5] and last["last"] == [0.7] and average["weights"] == "average"


@pytest.mark.slow
@pytest.mark.usefixtures("clrs")
def test_both_weights_are_scored_at_both_lengths(tmp_path, capsys):
    out = tmp_path / "stability.json"
    run(f"--out={out}", "--kinds=even positions")
    (record,) = storage.read_json(out)["records"]
    assert record["step"] == [2, 4]
    assert record["seconds"] >= 0 and record["commit"] and record["machine"]
    for weights in stability.WEIGHTS:
        assert all(len(record[weights][name]) == 2 for name in ("n", "n_choice"))
    run(f"--out={out}", "--kinds=even positions")
    assert storage.read_json(out)["records"] == [record]  # not made again
    assert "has other settings" in refusal(lambda: run(f"--out={out}", "--n=5"), capsys)
    assert record["kind"] == "even positions"


def test_the_kinds_differ_in_what_they_train():
    settings = {"inputs": "clrs", "hidden_size": 8, "lengths": [2], "steps": 4}
    _, default = clrs_scores.configs(settings, "insertion_sort", 0)
    trained = {
        (dataclasses.replace(default, **kind.changes), kind.random_pos)
        for kind in stability.KINDS.values()
    }
    assert len(trained) == len(stability.KINDS)
    constant = dataclasses.replace(default, **stability.KINDS["constant rate"].changes)
    rates = optax.warmup_cosine_decay_schedule(0.0, 1e-3, 100, constant.steps)
    assert float(rates(1600)) == pytest.approx(1e-3)
