# SPDX-License-Identifier: Apache-2.0
"""The network is CLRS's: same parameters, same numbers, to 1e-5 in float32."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.reasoner import checkpoint, losses, network
from arlsort.reasoner.config import ALGORITHMS, CLRS_FIELDS, ReasonerConfig, TrainingConfig
from arlsort.reasoner.gradients import loss_and_metrics

HIDDEN = 16
TOLERANCE = 1e-5


@pytest.fixture(scope="module", autouse=True)
def _rank_promotion():
    with jax.numpy_rank_promotion("allow"):  # CLRS relies on it
        yield


def _sorts(*fast):
    return [
        name if name in fast else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(ALGORITHMS)
    ]


# Without CI, one sort that records as many states of every list of a length, and one that does not.
@pytest.fixture(scope="module", params=_sorts("insertion_sort", "quicksort"))
def case(request, clrs_bridge):
    spec, feedback = clrs_bridge.feedback(request.param, n=4, batch_size=4, seed=0)
    config = ReasonerConfig(request.param, hidden_size=HIDDEN, **CLRS_FIELDS)
    return config, clrs_bridge.baseline_model(spec, feedback, config, seed=1), feedback


def _start(batch):
    return {name: hint[0] for name, hint in batch.hints.items()}


def _predict(config, params, batch):
    apply = functools.partial(
        network.transform(config).apply, num_hints=batch.hints["pred_h"].shape[0]
    )
    return jax.jit(apply)(
        params, None, batch.keys, batch.pos, lengths=batch.lengths, start=_start(batch)
    )


def _predict_by_clrs(model, feedback):
    return jax.jit(
        lambda params: model.net_fn.apply(
            params,
            jax.random.PRNGKey(0),
            [feedback.features],
            repred=True,
            algorithm_index=0,
            return_hints=True,
            return_all_outputs=False,
        )
    )(model.params)


def test_parameter_tree_is_clrs(case, clrs_bridge):
    config, model, feedback = case
    batch = clrs_bridge.to_batch(feedback)
    ours = network.transform(config).init(jax.random.key(0), batch.keys, batch.pos)
    shapes = lambda tree: jax.tree.map(jnp.shape, dict(tree))  # noqa: E731
    assert shapes(ours) == shapes(model.params)


def test_predictions_equal_clrs(case, clrs_bridge):
    config, model, feedback = case
    batch = clrs_bridge.to_batch(feedback)
    outputs, hints = _predict_by_clrs(model, feedback)
    ours = _predict(config, model.params, batch)
    np.testing.assert_allclose(ours.pred, outputs["pred"], atol=TOLERANCE, rtol=TOLERANCE)
    np.testing.assert_allclose(ours.pred_mask, outputs["pred_mask"], atol=TOLERANCE)
    for step, hint in enumerate(hints):
        assert set(ours.hints) == set(hint)
        for name, logits in ours.hints.items():
            np.testing.assert_allclose(logits[step], hint[name], atol=TOLERANCE, err_msg=name)


@pytest.mark.slow
def test_predictions_on_long_lists_equal_clrs(clrs_bridge):
    # Long enough for another way through the triplets' maximum.
    spec, feedback = clrs_bridge.feedback("insertion_sort", n=17, batch_size=2, seed=0)
    config = ReasonerConfig("insertion_sort", hidden_size=8, **CLRS_FIELDS)
    model = clrs_bridge.baseline_model(spec, feedback, config)
    outputs, _ = _predict_by_clrs(model, feedback)
    ours = _predict(config, model.params, clrs_bridge.to_batch(feedback))
    np.testing.assert_allclose(ours.pred, outputs["pred"], atol=TOLERANCE, rtol=TOLERANCE)
    np.testing.assert_allclose(ours.pred_mask, outputs["pred_mask"], atol=TOLERANCE)


@pytest.mark.parametrize("case", _sorts("insertion_sort"), indirect=True, scope="module")
def test_training_loss_and_gradients_equal_clrs(case, clrs_bridge):
    config, model, feedback = case
    key = jax.random.PRNGKey(7)
    theirs, their_grads = jax.jit(model.compute_grad)(key, feedback)
    batch, settings = clrs_bridge.to_batch(feedback), TrainingConfig(hints="clrs")
    (ours, _), grads = jax.jit(
        jax.value_and_grad(
            lambda params: loss_and_metrics(params, key, batch, config, settings),
            has_aux=True,
        )
    )(model.params)
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE)
    assert set(grads) == set(their_grads)
    for module, leaves in their_grads.items():
        for leaf, value in leaves.items():
            scale = max(1.0, float(np.abs(value).max()))
            np.testing.assert_allclose(
                grads[module][leaf], value, atol=TOLERANCE * scale, err_msg=f"{module} {leaf}"
            )


@pytest.mark.slow
def test_official_processor_gives_the_same_numbers(case, clrs_bridge):
    config, model, feedback = case
    batch = clrs_bridge.to_batch(feedback)
    ours = _predict(config, model.params, batch)
    official = _predict(dataclasses.replace(config, processor="clrs"), model.params, batch)
    chex.assert_trees_all_close(ours, official, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.slow
def test_official_processor_has_the_same_gradients(case, clrs_bridge):
    config, model, feedback = case
    if config.algorithm != "quicksort":
        pytest.skip("one algorithm suffices: the gradients of all sorts are compared with CLRS's")
    batch = clrs_bridge.to_batch(feedback)

    def loss(params, config):
        prediction = _predict(config, params, batch)
        parts = losses.output_losses(batch, prediction) | losses.hint_losses(batch, prediction)
        return losses.add_up(parts)

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    ours = gradient(model.params, config)
    official = gradient(model.params, dataclasses.replace(config, processor="clrs"))
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(official))
    chex.assert_trees_all_close(dict(ours), dict(official), atol=TOLERANCE * max(1.0, scale))


@pytest.mark.slow
def test_saved_baseline_model_loads(case, clrs_bridge, tmp_path):
    config, _, feedback = case
    if config.algorithm != "insertion_sort":
        pytest.skip("one algorithm suffices: the file's layout does not depend on it")
    spec, _ = clrs_bridge.feedback(config.algorithm, n=4, batch_size=4, seed=0)
    model = clrs_bridge.baseline_model(spec, feedback, config, folder=str(tmp_path), seed=3)
    model.save_model("baseline")
    loaded = checkpoint.load_clrs(tmp_path / "baseline", config.algorithm, HIDDEN)
    chex.assert_trees_all_equal(loaded, dict(model.params))
    with pytest.raises(checkpoint.CheckpointError, match="do not fit"):
        checkpoint.load_clrs(tmp_path / "baseline", "quicksort", HIDDEN)
    with pytest.raises(checkpoint.CheckpointError, match="cannot be read"):
        checkpoint.load_clrs(tmp_path / "none", config.algorithm, HIDDEN)
