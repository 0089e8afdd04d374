# SPDX-License-Identifier: Apache-2.0
"""Training learns, repeats itself, and follows its configuration."""

import dataclasses
import itertools
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.reasoner import network, training
from arlsort.reasoner.config import PLACE, ReasonerConfig, TrainingConfig
from arlsort.reasoner.gradients import loss_and_metrics
from arlsort.reasoner.hints import sample_batch
from tests import base_install

CONFIG = ReasonerConfig(hidden_size=16)
TRAINING = TrainingConfig(lengths=(3,), steps=150, learning_rate=5e-3, max_spread=20)


@pytest.fixture(scope="module")
def step():
    return training.make_step(CONFIG, TRAINING)


def _run(step, steps, state=None):
    state = training.init(CONFIG, TRAINING) if state is None else state
    losses = []
    for _ in range(steps):
        state, metrics = step(state, 3)
        losses.append(float(metrics["loss"]))
    return state, losses


@pytest.mark.slow
def test_the_loss_falls(step):
    _, losses = _run(step, 150)
    assert np.mean(losses[-20:]) < 0.75 * np.mean(losses[:20])


@pytest.mark.slow
def test_a_step_depends_on_the_state_alone(step):
    whole, losses = _run(step, 6)
    half, _ = _run(step, 3)
    again, rest = _run(step, 3, jax.tree.map(np.asarray, half))
    assert rest == losses[3:]
    chex.assert_trees_all_equal(dict(again.average), dict(whole.average))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{"noise": "cauchy"}, {"copies": 2}, {"seed": 1}, {"max_spread": 5.0}, {"min_spread": 5.0}],
)
def test_what_shapes_the_data_changes_it(change):
    def batch(config):
        return sample_batch(training.step_key(config, 0), "insertion_sort", 3, config)

    one, other = batch(TRAINING), batch(dataclasses.replace(TRAINING, **change))
    assert not np.array_equal(one.pred, other.pred)


@pytest.mark.slow
def test_clean_batches_of_clrs_train_and_repeat(clrs_bridge):
    config = TrainingConfig(hints="clrs", lengths=(3, 4), batch_size=4, steps=4)
    first = list(itertools.islice(clrs_bridge.batches("quicksort", config), 3))
    again = list(itertools.islice(clrs_bridge.batches("quicksort", config, start=1), 2))
    assert [batch.keys.shape for batch in first] == [(4, 3), (4, 4), (4, 3)]
    chex.assert_trees_all_equal(first[1:], again)
    even = next(clrs_bridge.batches("quicksort", config, random_pos=False))
    np.testing.assert_allclose(even.pos, np.broadcast_to(np.arange(3) / 3, (4, 3)), rtol=1e-6)
    assert not np.allclose(first[0].pos, even.pos)
    network = ReasonerConfig("quicksort", hidden_size=8)
    state = training.init(network, config)
    state, metrics = training.make_clrs_step(network, config)(state, first[0])
    assert np.isfinite(metrics["loss"]) and state.step == 1


@pytest.mark.slow
def test_the_base_install_trains_a_reasoner_from_scratch():
    done = subprocess.run(
        [sys.executable, base_install.__file__], capture_output=True, text=True, check=True
    )
    assert "with the base install alone" in done.stdout


@pytest.mark.slow
def test_training_goes_on_from_a_state_and_is_watched():
    settings = dataclasses.replace(TRAINING, steps=5)
    losses = []
    whole = training.train(CONFIG, settings, watch=lambda _, m: losses.append(float(m["loss"])))
    assert len(losses) == 5 and np.isfinite(losses).all()

    kept = []
    training.train(CONFIG, settings, watch=lambda s, _: kept.append(jax.device_get(s)))
    rest = []
    ended = training.train(CONFIG, settings, state=kept[2], watch=lambda _, m: rest.append(m))
    assert [float(metrics["loss"]) for metrics in rest] == losses[3:]
    chex.assert_trees_all_equal(dict(whole.average), dict(ended.average))


def test_training_by_itself_does_not_draw_hints_of_clrs():
    with pytest.raises(ValueError, match="hints.*'clrs'.*perturbed.*sampled"):
        training.train(CONFIG, dataclasses.replace(TRAINING, hints="clrs"))


def test_an_error_of_the_sampler_reaches_who_asks_for_the_batch(clrs_bridge):
    with pytest.raises(NotImplementedError, match="bogosort"):
        next(clrs_bridge.batches("bogosort", TrainingConfig(hints="clrs")))


@pytest.mark.parametrize(
    "field, value", [("learning_rate", float("inf")), ("grad_clip", 0.0), ("max_spread", 0.1)]
)
def test_settings_of_training_that_are_not_allowed_name_themselves(field, value):
    with pytest.raises(ValueError, match=f"{field}: received .*{value}, allowed: "):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"aggregator": "mean_max", "processor": "clrs"},
            "aggregator: received 'mean_max' with processor='clrs', allowed: 'max'",
        ),
        (
            {"noise_scales": True, "comparisons": False, "aggregator": "max", "processor": "clrs"},
            "noise_scales: received True with processor='clrs'",
        ),
        (
            {"comparisons": True, "noise_scales": True},
            "comparisons: received True with noise_scales",
        ),
        ({"aggregator": "sum"}, "aggregator: received 'sum', allowed: max, mean_max"),
    ],
)
def test_what_does_not_go_together_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ReasonerConfig(**fields)


@pytest.mark.slow
def test_a_reasoner_with_comparisons_sees_them():
    config = ReasonerConfig(hidden_size=4, comparisons=True)
    params = training.init(config, TrainingConfig()).params
    names = [name for name in params if "comparison" in name]
    assert len(names) == 1
    keys = jnp.array([[0.3, 0.1, 0.2]])

    @jax.jit
    def pred(params):
        return network.transform(config).apply(params, None, keys, jnp.arange(3.0)[None] / 3).pred

    blind = {**params, names[0]: {**params[names[0]], "w": 0 * params[names[0]]["w"]}}
    assert jnp.abs(pred(params) - pred(blind)).max() > 1e-3


@pytest.mark.slow
def test_a_mean_beside_the_maximum_counts():
    """A maximum cannot count the smaller keys, a mean can: one of many equal messages matters."""
    keys, pos = jnp.zeros((1, 5)), jnp.arange(5.0)[None] / 5
    for aggregator, inputs in (("max", 8), ("mean_max", 16)):
        config = ReasonerConfig(hidden_size=8, aggregator=aggregator)
        params = network.transform(config).init(jax.random.key(0), keys, pos)
        assert params["net/mpnn_aggr_clrs_processor/linear_5"]["w"].shape == (inputs, 8)


@pytest.mark.slow
def test_networks_with_places_predict_them_and_others_do_not():
    keys, pos = jnp.array([[0.3, 0.1, 0.2]]), jnp.arange(3.0)[None] / 3
    for places in (True, False):
        config = ReasonerConfig(hidden_size=4, places=places)
        params = training.init(config, TrainingConfig()).params
        found = network.transform(config).apply(params, None, keys, pos)
        assert (PLACE in found.hints) == (found.places is not None) == places
        if places:
            np.testing.assert_allclose(found.places, found.hints[PLACE][-1], atol=1e-6)


@pytest.mark.slow
def test_the_last_places_have_a_weight_of_their_own():
    def loss(place_weight):
        settings = dataclasses.replace(TRAINING, place_weight=place_weight)
        batch = sample_batch(training.step_key(settings, 0), "insertion_sort", 3, settings)
        params = training.init(CONFIG, settings).params
        return loss_and_metrics(params, None, batch, CONFIG, settings)

    (without, metrics), (thrice, _) = loss(0.0), loss(3.0)
    np.testing.assert_allclose(thrice - without, 3 * metrics["places"], rtol=1e-5)
    assert metrics["place_divergence"] > 0


@pytest.mark.slow
def test_places_are_learned_from_clean_batches_of_clrs_too(clrs_bridge):
    settings = TrainingConfig(hints="clrs", lengths=(3,), batch_size=4, steps=4)
    batch = next(clrs_bridge.batches("heapsort", settings))
    np.testing.assert_array_equal(batch.places.argmax(-1), jnp.argsort(jnp.argsort(batch.keys)))
    config = ReasonerConfig("heapsort", hidden_size=4)
    state = training.init(config, settings)
    _, metrics = training.make_clrs_step(config, settings)(state, batch)
    assert np.isfinite(metrics["places"])
