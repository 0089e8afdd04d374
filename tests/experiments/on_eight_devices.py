# SPDX-License-Identifier: Apache-2.0
"""What `test_devices.py` runs in a process that has eight devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from arlsort.reasoner import training
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from arlsort.reasoner.hints import sample_batch
from experiments import data, devices, runs, supervision, train_reasoner
from experiments.command_line import Interrupted, Stop
from experiments.config import resolve
from tests.experiments.flags import kept
from tests.experiments.test_devices import REASONING

SORTING = {
    "operators": ["odd_even"],
    "n": 3,
    "steps": 4,
    "batch_size": 16,
    "channels": (2, 2),
    "eval_every": 2,
    "validation_lists": 20,  # the last batch is used in part
    "test_lists": 20,
}
# Of float64, whose rounding leaves no room for a mistake that is taken for it.
EXACT = {"rtol": 1e-9, "atol": 1e-12}


@pytest.fixture(scope="module", autouse=True)
def _eight():
    assert jax.device_count() == 8


def doubled(tree):
    return jax.tree.map(lambda x: x.astype(float) if x.dtype == jnp.float32 else x, tree)


def test_each_device_has_its_share_of_the_pictures():
    config, (method,) = resolve(SORTING)
    mesh = devices.choose_mesh(None, config.batch_size)
    task = supervision.Task.of(config, method.loss, mesh)
    split = devices.replicate(data.load("digits").train, mesh)
    key = devices.replicate(jax.random.key(1), mesh)
    pictures, numbers = jax.jit(task.draw)(key, split)
    assert [shard.data.shape[0] for shard in pictures.addressable_shards] == [2] * 8
    assert len({shard.device for shard in pictures.addressable_shards}) == 8
    alone = dataclasses.replace(task, mesh=None)
    same = jax.jit(alone.draw)(jax.random.key(1), data.load("digits").train)
    jax.tree.map(np.testing.assert_array_equal, same, (pictures, numbers))


@pytest.mark.parametrize("operator", ["neuralsort:stochastic=true", "learned"])
def test_training_on_pictures_is_the_same_in_float64(operator):
    found = {}
    with jax.enable_x64(True):
        for count in (1, 8):
            config, (method,) = resolve({**SORTING, "operators": [operator]})
            mesh = devices.choose_mesh(count, config.batch_size)
            task = supervision.Task.of(config, method.loss, mesh)
            splits = devices.replicate(data.load("digits"), mesh)
            keys = devices.replicate(supervision.make_keys(0), mesh)
            state = doubled(supervision.init(task, splits.train, keys.init))
            state = supervision.train(task, method.operator, splits.train, keys, state, 2)
            em = supervision.evaluate(task, state.params, splits.test, keys.test, 20)
            state = supervision.keep_best(state, em["em5"])
            found[count] = jax.device_get(state), em
    # A bias that shifts all scores has no gradient but rounding, of which Adam makes steps.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), *found.values()
    )


@pytest.mark.parametrize("hints", ["perturbed", "clrs"])
@pytest.mark.parametrize("batch_size", [3, 8, 19])
def test_a_step_of_the_reasoner_is_the_same_in_float64(hints, batch_size):
    config = ReasonerConfig("quicksort", hidden_size=4)
    settings = TrainingConfig(
        lengths=(3,), batch_size=batch_size, copies=2, hints=hints, pairs_per_pass=18
    )
    with jax.enable_x64(True):
        mesh = devices.choose_mesh(None)
        batch = sample_batch(jax.random.key(0), "quicksort", 3, settings)
        if hints == "clrs":
            batch = batch._replace(lengths=jnp.arange(batch_size) % 4 + 2)  # ragged
        params = training.init(config, settings).params
        key = jax.random.key(1)
        gradients = jax.jit(training.gradients, static_argnums=(3, 4, 5))
        one = gradients(params, key, batch, config, settings, None)
        eight = gradients(params, key, batch, config, settings, mesh)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **EXACT), one, eight)


def test_each_device_samples_and_traces_its_own_lists():
    config = ReasonerConfig(hidden_size=4)
    settings = TrainingConfig(lengths=(3,), batch_size=61, copies=5, pairs_per_pass=10**6)
    mesh = devices.choose_mesh(None)
    state = devices.replicate(training.init(config, settings), mesh)
    step = training.make_perturbed_step(config, settings, mesh)
    program = step.lower(state, 3).compile().as_text()
    assert "[8,3,3,4]" in program  # lists of a device, pairs, features
    assert "[61," not in program and "[64," not in program
    after, metrics = step(state, 3)
    everywhere = NamedSharding(mesh, PartitionSpec())
    for leaf in jax.tree.leaves((after, metrics)):
        assert leaf.sharding.is_equivalent_to(everywhere, leaf.ndim)


def test_a_comparison_goes_on_with_another_number_of_devices(tmp_path, monkeypatch):
    config, (method,) = resolve(SORTING)
    results = {}
    for name, counts in (("one", [1]), ("several", [8, 2])):
        for count in counts:
            mesh = devices.choose_mesh(count, config.batch_size)
            run = runs.Run.at(config, method, 0, tmp_path / name, mesh)
            splits = devices.replicate(data.load("digits"), mesh)
            stop = Stop()
            stop.requested = count == 8
            if stop.requested:
                with pytest.raises(Interrupted):
                    run.execute(splits, stop)
            else:
                results[name] = run.execute(splits, stop)
    one, several = (results[name]["curve"] for name in ("one", "several"))
    assert one["step"] == several["step"] == [2, 4]
    np.testing.assert_allclose(several["loss"], one["loss"], rtol=1e-4)


def test_a_reasoner_goes_on_with_another_number_of_devices(tmp_path, monkeypatch):
    @kept(train_reasoner.FLAGS)
    def losses(folder, *arguments):
        train_reasoner.SCRIPT.run(["", *REASONING, f"--out_dir={tmp_path / folder}", *arguments])
        lines = train_reasoner.storage.read_lines(tmp_path / folder / "metrics.jsonl")
        return [line["loss"] for line in lines]

    monkeypatch.setattr(
        train_reasoner, "measure", lambda *_: ({"exact_order": {}, "micro_f1": {}}, 3, 1.0)
    )
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        stop = Stop()
        stop.requested = True
        patch.setattr(train_reasoner, "Stop", lambda: stop)
        losses("several", "--devices=8")
    np.testing.assert_allclose(
        losses("several", "--resume", "--devices=3"), losses("one", "--devices=1"), rtol=1e-4
    )
