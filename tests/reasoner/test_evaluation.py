# SPDX-License-Identifier: Apache-2.0
"""The scores of a reasoner are CLRS's, and say what they mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.reasoner import checkpoint, evaluation
from arlsort.reasoner.config import TrainingConfig


@pytest.mark.parametrize("share_of_noise", [0.0, 0.4, 1.0])
def test_micro_f1_is_that_of_clrs(share_of_noise, clrs, clrs_bridge):
    _, feedback = clrs_bridge.feedback("insertion_sort", n=6, batch_size=8, seed=0)
    with jax.numpy_rank_promotion("allow"):  # CLRS relies on it
        batch = clrs_bridge.to_batch(feedback)
    rng = np.random.default_rng(0)
    soft = {
        name: (1 - share_of_noise) * target + share_of_noise * rng.uniform(size=target.shape)
        for name, target in (("pred", batch.pred), ("pred_mask", batch.pred_mask))
    }
    hard = {
        probe.name: clrs.DataPoint(
            probe.name,
            probe.location,
            probe.type_,
            np.eye(6)[np.argmax(soft[probe.name], axis=-1)],
        )
        for probe in feedback.outputs
    }
    theirs = clrs.evaluate(feedback.outputs, hard)["score"]
    ours = evaluation.micro_f1(soft["pred"], soft["pred_mask"], jnp.argsort(batch.keys, axis=-1))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert (theirs == 1) == (share_of_noise < 0.5)


@pytest.mark.slow
def test_scores_do_not_depend_on_the_parts(monkeypatch):
    model = checkpoint.shipped("insertion_sort")

    def score():
        evaluation.score.clear_cache()
        arguments = (model.params, jax.random.key(0), model.config, 8, 2.0, "gaussian", 30)
        return jax.device_get(evaluation.score(*arguments))

    whole = score()
    monkeypatch.setattr(evaluation, "_PAIRS", 7 * 64)
    assert score() == whole
    assert 0 <= whole["exact_order"] < whole["micro_f1"] < 1


@pytest.mark.slow
def test_a_good_reasoner_is_told_from_one_that_cannot_sort():
    good = checkpoint.shipped("insertion_sort")
    settings = TrainingConfig(lengths=(3, 2, 5))
    measured = evaluation.measure(good.params, good.config, settings, num_lists=50)
    assert measured.validated_length == 5
    assert list(measured.scores["exact_order"]) == list(measured.scores["micro_f1"]) == list("235")
    assert min(measured.scores["micro_f1"].values()) > 0.95
    assert measured.sharpest_spread in (4000, 2000, 1000)
    nothing = jax.tree.map(jnp.zeros_like, good.params)
    assert evaluation.measure(nothing, good.config, settings, 50).validated_length == 1
