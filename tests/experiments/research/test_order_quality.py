# SPDX-License-Identifier: Apache-2.0
"""CLRS's own test: reasoners are trained, tested by CLRS, and not trained again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.reasoner import evaluation, training
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from experiments.common import storage
from experiments.research import clrs_scores, order_quality
from tests.experiments.flags import kept, refusal

TINY = ("--lengths=2", "--n=3", "--steps=1", "--hidden_size=8", "--test_lists=3")


@pytest.fixture(autouse=True)
def _rank_promotion():
    with jax.numpy_rank_promotion("allow"):  # CLRS relies on it
        yield


def run(*arguments):
    with kept(order_quality.FLAGS):
        order_quality.SCRIPT.run(["order_quality.py", *TINY, *arguments])


@pytest.mark.usefixtures("clrs")
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--algorithms=bogosort"], "--algorithms: received 'bogosort', allowed: insertion_sort"),
        (["--inputs=keys"], "--inputs: received 'keys', allowed: comparisons, clrs"),
        (["--n=1"], "--n: received 1"),
        (["--lengths=3,2"], "--lengths: received 3,2"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


@pytest.mark.slow
@pytest.mark.usefixtures("clrs")
def test_every_kind_is_trained_once(tmp_path, capsys, monkeypatch):
    out = tmp_path / "quality.json"
    one = ("--algorithms=insertion_sort", "--seeds=1", "--lists_per_pass=2", f"--out={out}")
    run(*one, "--inputs=comparisons")
    first = storage.read_json(out)["records"]
    assert [record["inputs"] for record in first] == ["comparisons"]
    monkeypatch.setattr(order_quality, "make_score", lambda *_, **__: lambda params: 0.5)
    monkeypatch.setattr(order_quality, "train", lambda *_: None)
    run(*one)
    records = storage.read_json(out)["records"]
    assert records[0] == first[0]
    assert [r["inputs"] for r in records] == list(clrs_scores.INPUTS)
    assert "comparisons  insertion_sort" in capsys.readouterr().out
    assert "has other settings" in refusal(lambda: run(*one, "--steps=2"), capsys)


@pytest.mark.slow
@pytest.mark.usefixtures("clrs")
def test_parts_of_the_test_are_the_whole():
    config = ReasonerConfig("insertion_sort", hidden_size=8, comparisons=True)
    params = training.init(config, TrainingConfig(seed=3)).params
    found = [order_quality.make_score(config, 5, 3, 0, at_once)(params) for at_once in (None, 2)]
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_the_score_is_that_of_the_right_pointers(clrs_bridge):
    _, feedback = clrs_bridge.feedback("insertion_sort", 5, 8, 0)
    batch = clrs_bridge.to_batch(feedback)
    right = {"pred": np.asarray(batch.pred), "pred_mask": np.asarray(batch.pred_mask)}
    assert clrs_scores.evaluate(feedback, right) == 1
    turned = {**right, "pred": right["pred"].swapaxes(1, 2)}
    order = jnp.argsort(batch.keys, axis=-1)
    ours = evaluation.micro_f1(turned["pred"], turned["pred_mask"], order)
    assert clrs_scores.evaluate(feedback, turned) == pytest.approx(float(ours), rel=1e-6)
    assert ours < 0.5
