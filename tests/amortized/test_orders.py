# SPDX-License-Identifier: Apache-2.0
"""A network of orders learns the exact likelihood, and its files are what their cards say."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import AmortizedSort
from arlsort.amortized import checkpoint
from arlsort.amortized.orders import accuracy, network, training
from arlsort.amortized.orders.config import OrderConfig, OrderTraining
from arlsort.numerics import cauchy_orders
from arlsort.weight_files import CheckpointError

SMALL = OrderConfig(state=4, width=8)
SHORT = OrderTraining(
    lengths=(4,), lists=1000, batch_size=64, steps=300, learning_rate=1e-2, wide_share=0.0
)


@pytest.fixture(scope="module")
def trained():
    losses = []
    state = training.train(SMALL, SHORT, watch=lambda _, metrics: losses.append(metrics["values"]))
    return jax.device_get(state.average), np.asarray(losses)


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("orders") / "small.safetensors"
    checkpoint.save(path, trained[0], SMALL, SHORT, validated_length=4, measured=[])
    return path


@pytest.mark.slow
def test_the_distance_falls(trained):
    _, losses = trained
    assert losses[-30:].mean() < 0.4 * losses[:30].mean()


@pytest.mark.slow
def test_a_run_goes_on_to_the_same_numbers(trained):
    resumed = training.train(SMALL, SHORT, state=_after(100))
    for a, b in zip(jax.tree.leaves(resumed.average), jax.tree.leaves(trained[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def _after(steps):
    kept = []

    def watch(state, _):
        if int(state.step) == steps:
            kept.append(jax.device_get(state))

    training.train(SMALL, SHORT, watch=watch)
    return jax.tree.map(jnp.asarray, kept[0])


@pytest.mark.slow
def test_what_is_saved_is_a_likelihood_and_no_permutation(trained, saved):
    operator = AmortizedSort(checkpoint=str(saved), normalize=False, temperature=1.0)
    assert operator.has_likelihood and checkpoint.load(saved).noise == "cauchy"
    x, order = jnp.array([[0.0, 2.0, -1.0]]), jnp.array([[2, 0, 1]])
    scores = jnp.take_along_axis(x, order, axis=-1)
    direct = network.transform(SMALL).apply(trained[0], None, scores, jnp.ones((1, 3)))
    np.testing.assert_allclose(operator.log_likelihood(x, order), direct.sum(-1), rtol=1e-5)
    with pytest.raises(ValueError, match="checkpoint: received one of orders, allowed: one of per"):
        operator.permutation(x)
    with pytest.raises(ValueError, match="x: received lists of 5 scores, allowed: at most 4"):
        operator.log_likelihood(jnp.zeros(5), jnp.arange(5))
    with pytest.raises(ValueError, match="noise: received 'gaussian' with a checkpoint"):
        dataclasses.replace(operator, noise="gaussian").log_likelihood(x, order)


@pytest.mark.slow
def test_a_card_of_orders_that_is_wrong_is_refused_in_one_line(saved, tmp_path):
    text = saved.with_suffix(".json").read_text()
    for old, new, message in (
        ('"state": 4', '"state": 5', "parameter order_network"),
        ('"state": 4', '"state": 0', "network: state: received 0, allowed: an int >= 1"),
        ('"widest": 300.0', '"widest": 0.5', "training: widest: received 0.5"),
        ("amortized_orders", "amortized_order", "kind: received 'amortized_order'"),
    ):
        assert old in text
        path = tmp_path / "changed.safetensors"
        path.write_bytes(saved.read_bytes())
        path.with_suffix(".json").write_text(text.replace(old, new))
        with pytest.raises(CheckpointError, match=re.escape(message)) as raised:
            checkpoint.load(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"lengths": (1,)}, "lengths: received (1,)"),
        ({"lists": 0}, "lists: received 0"),
        ({"widest": 0.5}, "widest: received 0.5"),
        ({"wide_share": 2.0}, "wide_share: received 2.0"),
        ({"min_spread": -1.0}, "min_spread, max_spread: received -1.0"),
    ],
)
def test_settings_that_are_not_allowed_name_themselves(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        OrderTraining(**changes)


def test_targets_are_of_the_dense_grid_and_orders_are_drawn_from_the_model():
    model = OrderTraining(wide_share=0.0, min_spread=2.0, max_spread=2.0, scaled_share=0.0)
    drawn = training.draw(jax.random.key(0), 2, 400, model)
    gap = np.asarray(drawn.scores[:, 1] - drawn.scores[:, 0])
    likely = 0.5 + np.arctan(gap / 2) / np.pi
    np.testing.assert_allclose(drawn.log_increments[:, 0], np.log(likely), atol=5e-3)
    slope = 1 / (2 * np.pi * (1 + (gap / 2) ** 2) * likely)
    np.testing.assert_allclose(drawn.by_scores, np.stack([-slope, slope], -1), rtol=0.1)
    # Of pairs the model says how often the larger score comes second.
    apart = gap[gap != 0]
    expected = (0.5 + np.arctan(np.abs(apart) / 2) / np.pi).mean()
    assert abs((apart > 0).mean() - expected) < 0.08


def test_a_denser_grid_is_nearer():
    a, w = jnp.array([[0.0, -3.0, 1.0, 0.5]]), jnp.array([[1.0, 2.0, 0.5, 1.0]])
    coarse, fine, finest = (
        cauchy_orders.log_increments(a, w, density=density).sum() for density in (1, 3, 12)
    )
    assert abs(fine - finest) < abs(coarse - finest) < 0.02


@pytest.mark.slow
def test_the_card_is_what_the_shipped_network_does():
    model = checkpoint.shipped(of_orders=True)
    stated = {(row["n"], row["spread"], row["wide"]): row for row in model.card["measured"]}
    for row in accuracy.table(model.params, model.config, (5, model.validated_length), count=60):
        card = stated[row["n"], row["spread"], row["wide"]]
        assert abs(row["apart"]) < 1.5 * card["error"] + 0.01
        assert row["error"] < 1.5 * card["error"] + 0.01
        assert row["cosine"] > card["cosine"] - (0.05 if row["wide"] == 1 else 0.2)
        assert row["same_sign"] > card["same_sign"] - 0.05
