# SPDX-License-Identifier: Apache-2.0
"""An amortised sort learns the mean permutation, and its files are what their cards say."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import AmortizedSort
from arlsort.amortized import checkpoint, lists, network, training
from arlsort.amortized.config import NetworkConfig, TrainingConfig
from arlsort.weight_files import CheckpointError

SMALL = NetworkConfig(levels=2, width=4)
SHORT = TrainingConfig(lengths=(3,), batch_size=8, steps=60, learning_rate=3e-3)


@pytest.fixture(scope="module")
def trained():
    losses = []
    state = training.train(SMALL, SHORT, watch=lambda _, metrics: losses.append(metrics["kl"]))
    return jax.device_get(state.average), np.asarray(losses)


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("amortized") / "small.safetensors"
    checkpoint.save(path, trained[0], SMALL, SHORT, validated_length=3, measured=[])
    return path


def test_the_distance_falls(trained):
    _, losses = trained
    assert losses[-10:].mean() < 0.5 * losses[:10].mean()


@pytest.mark.slow
def test_a_run_goes_on_to_the_same_numbers(trained):
    part = training.train(SMALL, dataclasses.replace(SHORT, steps=60), state=None)
    state = training.init(SMALL, SHORT)
    step = training.make_step(SMALL, SHORT)
    for _ in range(25):
        state, _ = step(state, 3)
    resumed = training.train(SMALL, SHORT, state=jax.tree.map(jnp.asarray, jax.device_get(state)))
    for a, b in zip(jax.tree.leaves(resumed.average), jax.tree.leaves(part.average), strict=True):
        np.testing.assert_array_equal(a, b)


def test_lists_have_every_kind_and_size():
    config = TrainingConfig()
    x, scales = jax.device_get(lists.sample(jax.random.key(0), 6, config, 4000))
    assert x.shape == scales.shape == (4000, 6)
    assert np.isfinite(x).all() and (scales > 0).all()
    span = np.ptp(x, axis=1)
    assert 0.1 < (span < 10).mean() < 0.9 and 0.05 < (span > 1000).mean() < 0.5
    assert 0.1 < (np.diff(np.sort(x), axis=1) == 0).any(axis=1).mean() < 0.5
    assert 0.3 < (scales != 1).any(axis=1).mean() < 0.5


def test_no_weight_depends_on_where_an_element_stands(trained):
    apply = network.transform(SMALL, "gaussian").apply
    x = jnp.array([0.3, -2.0, 4.0, 0.3, 9.0])
    order = jnp.array([3, 1, 4, 0, 2])
    found, permuted = (apply(trained[0], None, y[:, None] - y[None], None) for y in (x, x[order]))
    np.testing.assert_allclose(permuted, found[:, order], atol=1e-6)


def test_what_is_saved_loads(saved, trained):
    model = checkpoint.load(saved)
    assert (model.config, model.training, model.validated_length) == (SMALL, SHORT, 3)
    for a, b in zip(jax.tree.leaves(model.params), jax.tree.leaves(trained[0]), strict=True):
        np.testing.assert_array_equal(a, b)
    x = jnp.array([0.0, 2.0, 1.0])
    assert AmortizedSort(checkpoint=saved).permutation(x).shape == (3, 3)
    with pytest.raises(ValueError, match="lists of 4 scores"):
        AmortizedSort(checkpoint=str(saved)).permutation(jnp.zeros(4))
    with pytest.raises(ValueError, match="noise: received 'cauchy' with a checkpoint"):
        AmortizedSort(checkpoint=str(saved), noise="cauchy").permutation(x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format: received 99, allowed: 1"),
        ({"kind": None}, "kind: received None, allowed: 'amortized'"),
        ({"validated_length": 4}, "validated_length: received 4, allowed: an int from 1 to 3"),
        ({"network": {"levels": 3, "width": 4}}, "parameter place_network"),
        ({"network": {"colour": 5}}, "network: received unknown fields colour"),
        ({"training": {"min_spread": -1}}, "training: min_spread, max_spread: received -1"),
        ({"training": {"lengths": [10**9]}}, "training, lengths: received 1000000000"),
        ({"sha256": "0"}, "damaged"),
    ],
)
def test_a_card_that_is_wrong_is_refused_in_one_line(saved, tmp_path, change, message):
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(saved.read_bytes())
    card = json.loads(saved.with_suffix(".json").read_text()) | change
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        (NetworkConfig, "levels", 0),
        (NetworkConfig, "width", 2.5),
        (TrainingConfig, "noise", "gumbel"),
        (TrainingConfig, "lengths", (1,)),
        (TrainingConfig, "steps", 0),
        (TrainingConfig, "learning_rate", float("inf")),
        (TrainingConfig, "value_weight", -1.0),
        (TrainingConfig, "ema_decay", 1.0),
        (TrainingConfig, "scaled_share", 1.5),
        (TrainingConfig, "max_spread", 0.1),
    ],
)
def test_settings_that_are_not_allowed_name_themselves(cls, field, value):
    with pytest.raises(ValueError, match=f"{field}.*: received .*, allowed: "):
        cls(**{field: value})
