# SPDX-License-Identifier: Apache-2.0
"""The factored step: its maximum, and what the options of a pass do to numbers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from arlsort.reasoner import training
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from arlsort.reasoner.gradients import gradients as batch_gradients
from arlsort.reasoner.hints import sample_batch
from arlsort.reasoner.processor import max_of_sums, max_over_senders

NETWORK = ReasonerConfig(hidden_size=16)
WHOLE = TrainingConfig(lengths=(4,), batch_size=6, copies=4, pairs_per_pass=6 * 4 * 4)


@pytest.fixture(scope="module")
def gradients():
    """A function of the training settings: the gradient of one loss, and its metrics."""
    params = training.init(NETWORK, WHOLE).params
    batch = sample_batch(jax.random.key(3), NETWORK.algorithm, 4, WHOLE)

    @functools.cache
    def compute(**options):
        settings = dataclasses.replace(WHOLE, **options)
        return jax.jit(lambda p: batch_gradients(p, None, batch, NETWORK, settings))(params)

    return compute


def _distance(one, other):
    """Largest difference, as a fraction of the largest gradient."""
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(other))
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(jnp.abs(a - b).max()) for a, b in pairs) / scale


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"remat": "elementwise"}, marks=pytest.mark.slow),
        {"remat": "all", "pairs_per_pass": 64},  # 4 lists, then 2
    ],
)
def test_how_a_pass_is_made_changes_no_number(gradients, options):
    whole, parts = gradients(), gradients(**options)
    assert _distance(parts[0], whole[0]) < 1e-5
    for name, value in whole[1].items():
        np.testing.assert_allclose(parts[1][name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_parts_and_remat_keep_the_noise_and_the_last_step_of_every_list(clrs_bridge):
    network = ReasonerConfig("quicksort", hidden_size=4)
    _, feedback = clrs_bridge.feedback("quicksort", n=4, batch_size=5, seed=1)
    with jax.numpy_rank_promotion("allow"):
        batch = clrs_bridge.to_batch(feedback)
    assert len(set(batch.lengths.tolist())) > 1, "the lists must differ in length"
    params = training.init(network, WHOLE).params

    def compute(**options):
        settings = dataclasses.replace(WHOLE, hints="clrs", **options)
        key = jax.random.key(2)
        return jax.jit(lambda p: batch_gradients(p, key, batch, network, settings))(params)

    whole, parts = compute(), compute(pairs_per_pass=32, remat="all")
    assert _distance(parts[0], whole[0]) < 1e-5
    np.testing.assert_allclose(parts[1]["loss"], whole[1]["loss"], rtol=1e-5)


@pytest.mark.slow
def test_bfloat16_errs_by_percents_at_most(gradients):
    exact, short = gradients(), gradients(pair_dtype="bfloat16")
    np.testing.assert_allclose(short[1]["loss"], exact[1]["loss"], rtol=1e-2)
    assert 1e-6 < _distance(short[0], exact[0]) < 0.1


def test_parts_hold_whole_lists():
    config = TrainingConfig(pairs_per_pass=100)
    assert config.lists_per_pass(12, 5) == 4
    assert config.lists_per_pass(7, 5) == 4
    assert config.lists_per_pass(2, 50) == 1
    assert config.lists_per_pass(3, 2) == 3


@pytest.mark.slow
def test_maximum_is_that_of_numpy_and_so_is_its_gradient():
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 4))
    np.testing.assert_array_equal(
        max_over_senders(jnp.asarray(x, jnp.float32)), np.float32(x).max(1)
    )
    with jax.enable_x64(True):
        check_grads(max_over_senders, (jnp.asarray(x),), order=2, modes=("fwd", "rev"))


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 5, 17])
def test_maximum_of_sums_is_that_of_the_sums_and_so_are_its_gradients(n):
    ij, ik = np.random.default_rng(2).normal(size=(2, 2, n, n, 3)).astype(np.float32)
    if n > 3:
        ij[0, 3], ik[0, 3] = ij[0, 1], ik[0, 1]  # ties
    mix = np.random.default_rng(3).normal(size=(2, n, n, 3))

    def loss(reduce):
        return lambda ij, ik: jnp.sum(jnp.sin(reduce(ij, ik)) * mix)

    def plain(ij, ik):
        return max_over_senders(ij[:, :, :, None] + ik[:, :, None])

    ij, ik = jnp.asarray(ij), jnp.asarray(ik)
    np.testing.assert_array_equal(max_of_sums(ij, ik), plain(ij, ik))
    ours, theirs = (jax.jit(jax.grad(loss(f), (0, 1)))(ij, ik) for f in (max_of_sums, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), ours, theirs)
    with jax.enable_x64(True):  # once for all lengths: it is slow
        if n != 5:
            return
        arguments = (jnp.float64(ij[1:]), jnp.float64(ik[1:]))  # without ties
        check_grads(max_of_sums, arguments, order=2, modes=("fwd", "rev"))


def test_gradient_of_a_maximum_is_complete_where_its_terms_are_computed_twice():
    # Inside a loop, at XLA's own discretion: the derivative of jnp.max loses terms here.
    a, b, c = (
        jnp.asarray(v, jnp.float32) for v in np.random.default_rng(1).normal(size=(3, 2, 6, 8))
    )

    def loss(a, reduce):
        def step(a, _):
            return a + reduce(a * b * 1.7 + c * a)[:, None] * 0.1, None

        return jax.lax.scan(step, a, None, length=3)[0].sum()

    rows = jax.jit(jax.grad(lambda a: loss(a, max_over_senders)))(a)
    with jax.enable_x64(True):
        wide = jax.grad(lambda a: loss(a, lambda x: jnp.max(x, axis=1)))(
            jnp.asarray(a, jnp.float64)
        )
    np.testing.assert_allclose(rows, wide, rtol=1e-4)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_tie_gives_its_gradient_to_the_first(sign):
    x = jnp.array([[2.0 * sign - 1.0, 2.0 * sign, 2.0 * sign]])
    gradient = jax.jit(jax.grad(lambda x: max_over_senders(x).sum()))(x)
    np.testing.assert_array_equal(gradient, [[0.0, 1.0, 0.0]])
    zeros = jnp.zeros((1, 3, 3, 1))
    sums = jax.jit(jax.grad(lambda x: max_of_sums(x[..., None, None] + zeros, zeros).sum()))
    np.testing.assert_array_equal(sums(x)[0] > 0, [False, True, False])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_index_of_a_maximum_is_right_to_the_last_bits(dtype, sign):
    # float32 has the index in its last four bits.
    step = float(jnp.finfo(dtype).eps) * (16 if dtype == "float32" else 1)
    below, above = sign, sign + step
    x = jnp.array([[[below, above, -jnp.inf], [above, below, -3.0], [below, below, -2.0]]], dtype)
    total = lambda x: max_over_senders(x).astype(jnp.float32).sum()  # noqa: E731
    gradient = jax.jit(jax.grad(total))(x)
    np.testing.assert_array_equal(gradient[0], [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
