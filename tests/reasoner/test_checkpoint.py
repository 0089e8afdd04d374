# SPDX-License-Identifier: Apache-2.0
"""A checkpoint loads whole or says what is wrong."""

import json
import subprocess
import sys

import chex
import pytest

from arlsort.reasoner import checkpoint, training
from arlsort.reasoner.config import CLRS_FIELDS, ReasonerConfig, TrainingConfig

CONFIG = ReasonerConfig(hidden_size=8)
TRAINING = TrainingConfig(lengths=(2, 3))

# CLRS's layers for one sort: name -> (inputs, outputs) of a network of hidden size h.
GOLDEN = {
    "net/mpnn_aggr_clrs_processor/linear_6": lambda h: (2 * h, 8),
    "net/mpnn_aggr_clrs_processor/linear_13": lambda h: (8, h),
    "net/mpnn_aggr_clrs_processor/mlp/~/linear_1": lambda h: (h, h),
    "net/~_construct_encoders_decoders/algo_0_key_enc_linear": lambda h: (1, h),
    "net/~_construct_encoders_decoders/algo_0_pred_dec_linear_2": lambda h: (2 * h, h),
    "net/~_construct_encoders_decoders/algo_0_pred_dec_linear_3": lambda h: (h, 1),
    "net/~_construct_encoders_decoders/algo_0_pred_mask_dec_linear": lambda h: (3 * h, 1),
}


@pytest.fixture
def saved(tmp_path):
    params = training.init(CONFIG, TRAINING).params
    path = tmp_path / "reasoner.safetensors"
    checkpoint.save(
        path, params, CONFIG, TRAINING, validated_length=3, sharpest_spread=100.0, scores={"a": 1}
    )
    return path, params


def test_what_is_saved_loads(saved):
    path, params = saved
    loaded = checkpoint.load(path)
    chex.assert_trees_all_equal(dict(loaded.params), dict(params))
    assert (loaded.config, loaded.training) == (CONFIG, TRAINING)
    assert (loaded.validated_length, loaded.sharpest_spread) == (3, 100.0)
    assert loaded.card["scores"] == {"a": 1}
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".json", ".safetensors"]


def test_damage_is_noticed(saved):
    path, _ = saved
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(checkpoint.CheckpointError, match="damaged"):
        checkpoint.load(path)


def test_missing_or_broken_files_are_named(saved, tmp_path):
    path, _ = saved
    with pytest.raises(checkpoint.CheckpointError, match="none.json: cannot be read"):
        checkpoint.load(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="safetensors"):
        checkpoint.load(tmp_path / "none.npz")
    path.with_suffix(".json").write_text("{")
    with pytest.raises(checkpoint.CheckpointError, match="damaged"):
        checkpoint.load(path)
    path.with_suffix(".json").write_text(json.dumps({"validated_length": 3}))
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "field, value",
    [
        *(("format", value) for value in (99, 0, "2", True, None)),
        *(("sharpest_spread", value) for value in (-1, 0, float("nan"), float("inf"), "1", None)),
        *(("validated_length", value) for value in (0, -3, True, 10**9, 2.0, None)),
        *(("training", value) for value in (None, [], {"lengths": [1]}, {"lengths": "ab"})),
        *(("training", value) for value in ({"hints": 3}, {"unknown": 1})),
        *(("reasoner", value) for value in (None, {"hidden_size": "8"}, {"hidden_size": 0})),
        *(("reasoner", value) for value in ({"algorithm": "bogosort"}, {"levels": 1, "x": 2})),
    ],
)
def test_a_card_that_cannot_be_is_refused(saved, field, value):
    path, _ = saved
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {field: value}))
    for read in (checkpoint.load, checkpoint.load_card):
        with pytest.raises(checkpoint.CheckpointError, match=f"{field}: .*received"):
            read(path)
    del card[field]
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(checkpoint.CheckpointError, match=f"{field}: received None, allowed: "):
        checkpoint.load(path)


def test_weights_that_are_not_the_networks_are_refused(saved):
    path, _ = saved
    card = json.loads(path.with_suffix(".json").read_text())
    card["reasoner"]["hidden_size"] = 16
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(checkpoint.CheckpointError, match=r"parameter .*received shape .*, allowed"):
        checkpoint.load(path)


def test_a_card_of_an_older_version_is_of_a_network_without_places(tmp_path):
    config = ReasonerConfig(hidden_size=8, **CLRS_FIELDS)
    path = tmp_path / "old.safetensors"
    params = training.init(config, TRAINING).params
    checkpoint.save(
        path, params, config, TRAINING, validated_length=3, sharpest_spread=1.0, scores={}
    )
    card = json.loads(path.with_suffix(".json").read_text())
    for field in CLRS_FIELDS:
        del card["reasoner"][field]
    del card["training"]["place_weight"]
    path.with_suffix(".json").write_text(json.dumps(card | {"format": 2}))
    assert checkpoint.load(path).config == config


NAMED = [
    (algorithm, noise, table is checkpoint.SHIPPED_LIKELIHOODS)
    for table in (checkpoint.SHIPPED, checkpoint.SHIPPED_LIKELIHOODS)
    for algorithm, noises in table.items()
    for noise in noises
]


@pytest.mark.parametrize("algorithm, noise, likelihood", NAMED)
def test_shipped_checkpoints_are_whole_small_and_described(algorithm, noise, likelihood):
    model = checkpoint.shipped(algorithm, noise, likelihood=likelihood)
    path = checkpoint.shipped_path(algorithm, noise, likelihood=likelihood)
    assert path.stat().st_size < 4e6
    assert (model.config.algorithm, model.noise) == (algorithm, noise)
    assert (model.training.hints == "sampled") == likelihood
    assert {"exact_order", "micro_f1"} <= set(model.card["scores"])
    assert model.card["steps"] > 0
    for module, shape in GOLDEN.items():
        assert model.params[module]["w"].shape == shape(model.config.hidden_size), module
    assert not (model.config.places and likelihood)
    assert ("divergence" in model.card["scores"]) == model.config.places


def test_a_checkpoint_that_is_not_shipped_is_refused():
    with pytest.raises(
        ValueError, match="noise: received 'cauchy' for quicksort, allowed: gaussian"
    ):
        checkpoint.shipped_path("quicksort", "cauchy")
    with pytest.raises(ValueError, match="heapsort, allowed: none"):
        checkpoint.shipped_path("heapsort")
    with pytest.raises(ValueError, match="'gaussian' for insertion_sort, allowed: cauchy"):
        checkpoint.shipped_path("insertion_sort", "gaussian", likelihood=True)


@pytest.mark.slow
def test_shipped_weights_sort_without_tensorflow():
    program = (
        "import sys, jax.numpy as jnp, arlsort\n"
        "assert (arlsort.sort(jnp.array([3.0, 1.0, 2.0])).argsort() == jnp.arange(3)).all()\n"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'clrs'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_shipped_checkpoint_is_named():
    named = [checkpoint.shipped_path(a, noise, likelihood=asked) for a, noise, asked in NAMED]
    assert set(checkpoint.WEIGHTS.glob("*.safetensors")) == set(named)
