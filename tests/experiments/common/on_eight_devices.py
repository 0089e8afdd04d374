# SPDX-License-Identifier: Apache-2.0
"""What `test_devices.py` runs in a process that has eight devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from arlsort.reasoner import training as reasoner_training
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from arlsort.reasoner.gradients import gradients as batch_gradients
from arlsort.reasoner.hints import sample_batch
from experiments.common import datasets, devices
from experiments.common.checkpoints import Checkpoints
from experiments.four_digits import training
from experiments.four_digits.config import resolve

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


@pytest.fixture(scope="module", autouse=True)
def _eight():
    assert jax.device_count() == 8


def doubled(tree):
    return jax.tree.map(lambda x: x.astype(float) if x.dtype == jnp.float32 else x, tree)


def test_each_device_has_its_share_of_the_pictures():
    config, (method,) = resolve(SORTING)
    mesh = devices.choose_mesh(None, config.batch_size)
    task = training.Task.of(config, method.loss, mesh)
    split = devices.replicate(datasets.load("digits").train, mesh)
    key = devices.replicate(jax.random.key(1), mesh)
    pictures, numbers = jax.jit(task.draw)(key, split)
    assert [shard.data.shape[0] for shard in pictures.addressable_shards] == [2] * 8
    assert len({shard.device for shard in pictures.addressable_shards}) == 8
    alone = dataclasses.replace(task, mesh=None)
    same = jax.jit(alone.draw)(jax.random.key(1), datasets.load("digits").train)
    jax.tree.map(np.testing.assert_array_equal, same, (pictures, numbers))


def test_training_on_pictures_is_the_same_in_float64():
    config, (method,) = resolve(SORTING)
    found = []  # in float64, where no mistake can be taken for rounding
    with jax.enable_x64(True):
        for count in (1, 8):
            mesh = devices.choose_mesh(count, config.batch_size)
            task = training.Task.of(config, method.loss, mesh)
            splits = devices.replicate(datasets.load("digits"), mesh)
            keys = devices.replicate(training.make_keys(0), mesh)
            state = doubled(training.init(task, splits.train, keys.init))
            state = training.train(task, method.operator, splits.train, keys, state, 1)
            em = training.evaluate(task, state.params, splits.test, keys.test, 20)
            found.append((jax.device_get(training.keep_best(state, em["em5"])), em))
    # A bias that shifts all scores has no gradient but rounding, of which Adam makes a step.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), *found)


@pytest.mark.parametrize("hints, lists", [("perturbed", 3), ("clrs", 19)])
def test_gradients_and_metrics_of_the_reasoner_are_the_same(hints, lists):
    config = ReasonerConfig("quicksort", hidden_size=4, sinkhorn_steps=1)
    settings = TrainingConfig(lengths=(3,), batch_size=lists, copies=2, hints=hints)
    settings = dataclasses.replace(settings, pairs_per_pass=18 if hints == "clrs" else None)
    batch = sample_batch(jax.random.key(0), "quicksort", 3, settings)
    if hints == "clrs":
        batch = batch._replace(lengths=jnp.arange(lists) % 4 + 2)  # lists of several lengths
    params = reasoner_training.init(config, settings).params
    gradients = jax.jit(batch_gradients, static_argnums=(3, 4, 5))
    one, eight = (
        gradients(params, jax.random.key(1), batch, config, settings, mesh)
        for mesh in (None, devices.choose_mesh(8))
    )
    # Sums in another order; a list too many would be a share of 1/19.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one[1], eight[1])
    difference = optax.tree.norm(jax.tree.map(jnp.subtract, one[0], eight[0]))
    assert difference < 1e-5 * optax.tree.norm(one[0])


def test_each_device_samples_and_traces_its_own_lists():
    config = ReasonerConfig(hidden_size=4, sinkhorn_steps=1)
    settings = TrainingConfig(lengths=(3,), batch_size=61, copies=5, pairs_per_pass=10**6)
    mesh = devices.choose_mesh(None)
    state = devices.replicate(reasoner_training.init(config, settings), mesh)
    step = reasoner_training.make_step(config, settings, mesh)
    compiled = step.lower(state, 3).compile()
    program = compiled.as_text()
    assert "[8,3,3,4]" in program  # lists of a device, pairs, features
    assert "[61," not in program and "[64," not in program
    everywhere = NamedSharding(mesh, PartitionSpec())
    for leaf in jax.tree.leaves(compiled(state)):
        assert leaf.sharding.is_equivalent_to(everywhere, leaf.ndim)


@pytest.mark.parametrize("before, after", [(1, 8), (8, 1), (8, 3)])
def test_a_run_goes_on_with_another_number_of_devices(tmp_path, before, after):
    def state(count, value):
        new = {"step": jnp.asarray(value), "params": jnp.full((3, 5), value + 0.5)}
        return devices.replicate(new, devices.choose_mesh(count))

    saved, like = state(before, 7), state(after, 0)
    for save in (True, False):
        checkpoints = Checkpoints(tmp_path)
        if save:
            checkpoints.save(7, saved)
        else:
            restored = checkpoints.restore(like)
        checkpoints.close()
    jax.tree.map(np.testing.assert_array_equal, restored, saved)
    for leaf, fresh in zip(jax.tree.leaves(restored), jax.tree.leaves(like), strict=True):
        assert leaf.sharding.device_set == fresh.sharding.device_set
        assert len(leaf.sharding.device_set) == after
        assert leaf.committed == fresh.committed
