# SPDX-License-Identifier: Apache-2.0
"""The training target is the mean trace over perturbed copies."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.numerics import noise as laws
from arlsort.numerics.mean_permutation import mean_permutation
from arlsort.reasoner import hints
from arlsort.reasoner.config import ALGORITHMS, NOISES, PLACE, TrainingConfig
from arlsort.reasoner.traces import trace

SAMPLES = 200_000
FIVE_SIGMA = 5 * 0.5 / SAMPLES**0.5


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_mean_trace_is_the_mean_of_the_traces(algorithm):
    copies = jax.random.normal(jax.random.key(0), (5, 4))
    means, pred, pred_mask = hints.mean_trace(algorithm, copies)
    singles = [trace(algorithm, keys) for keys in copies]
    for name, mean in means.items():
        one_hot = np.eye(ALGORITHMS[algorithm].choices(name, 4))
        expected = np.mean([one_hot[t.hints[name]] for t in singles], axis=0)
        np.testing.assert_allclose(mean, expected, atol=1e-6, err_msg=name)
    first = np.mean([np.eye(4)[t.order[0]] for t in singles], axis=0)
    np.testing.assert_allclose(pred_mask, first, atol=1e-6)
    np.testing.assert_allclose(pred.sum(0), np.ones(4), atol=1e-6)
    np.testing.assert_allclose(jnp.diagonal(pred), np.zeros(4), atol=1e-6)


@pytest.mark.parametrize("noise", NOISES)
def test_comparison_probability_is_that_of_the_noise(noise):
    one, other = laws.sample(jax.random.key(1), noise, (2, SAMPLES))
    for difference in (-3.0, -0.4, 0.0, 0.02, 0.4, 3.0):
        share = jnp.mean(one <= difference + other)
        exact = laws.probability_not_larger(jnp.asarray(difference), noise)
        assert abs(share - exact) < FIVE_SIGMA, difference


@pytest.mark.parametrize("noise", NOISES)
def test_comparisons_are_the_mean_of_exact_ones(noise):
    keys = jnp.array([0.3, -0.7, 1.2])
    copies = keys[None] + laws.sample(jax.random.key(2), noise, (SAMPLES, 3))
    mean = jnp.mean(hints.comparisons(copies, None), axis=0)
    np.testing.assert_allclose(hints.comparisons(keys[None], noise)[0], mean, atol=2 * FIVE_SIGMA)
    exact = [[0, -1, 1], [1, 0, 1], [-1, -1, 0]]
    np.testing.assert_array_equal(hints.comparisons(keys[None], None)[0], exact)


@pytest.mark.parametrize("noise", NOISES)
def test_comparison_probability_has_finite_gradients(noise):
    points = jnp.array([-1e4, -30.0, -0.05, 0.0, 1e-6, 0.05, 30.0, 1e4])
    gradient = jax.vmap(jax.grad(lambda d: laws.probability_not_larger(d, noise)))(points)
    assert jnp.isfinite(gradient).all() and (gradient >= 0).all()


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_initial_hints_are_the_expected_first_state(algorithm):
    keys = jnp.array([0.3, -0.2, 0.9, 0.6])
    copies = keys[None] + jax.random.normal(jax.random.key(2), (4000, 4))
    means, _, _ = jax.jit(lambda c: hints.mean_trace(algorithm, c))(copies)
    first = hints.initial_hints(algorithm, keys[None], "gaussian")
    assert set(first) == set(means) == {*ALGORITHMS[algorithm].hints, PLACE}
    tolerance = 5 * 0.5 / 4000**0.5
    for name, hint in first.items():
        np.testing.assert_allclose(hint[0], means[name][0], atol=tolerance, err_msg=name)


def test_unperturbed_initial_hints_are_exact():
    keys = jnp.array([[0.3, 0.1, 0.2], [0.1, 0.2, 0.3]])
    first = hints.initial_hints("quicksort", keys, None)
    for row in range(2):
        t = trace("quicksort", keys[row])
        for name, hint in first.items():
            np.testing.assert_array_equal(hint[row].argmax(-1), t.hints[name][0], err_msg=name)


def test_batches_span_the_spreads_and_mix_positions():
    config = TrainingConfig(batch_size=512, pairs_per_batch=10**6, min_spread=1, max_spread=100)
    batch = hints.sample_batch(jax.random.key(3), "insertion_sort", 3, config)
    assert batch.keys.shape == (512, 3)
    np.testing.assert_allclose(batch.keys.mean(-1), np.zeros(512), atol=1e-3)
    spread = np.ptp(batch.keys, axis=-1)
    assert np.quantile(spread, 0.1) < 3 and np.quantile(spread, 0.9) > 15
    even = np.isclose(batch.pos, np.arange(3) / 3).all(-1).mean()
    assert 0.4 < even < 0.6
    assert (np.diff(batch.pos) >= 0).all()


def test_a_third_of_the_lists_has_ties():
    scores = hints.sample_scores(jax.random.key(5), 3000, 9, 1.0, 10.0)
    tied = [len(np.unique(np.round(row, 4))) < 7 for row in np.asarray(scores)]
    assert 0.28 < np.mean(tied) < 0.38


@pytest.mark.parametrize("noise", NOISES)
def test_the_last_places_are_the_exact_mean(noise):
    config = TrainingConfig(batch_size=4, noise=noise, copies=2000, max_spread=5)
    batch = hints.sample_batch(jax.random.key(6), "bubble_sort", 3, config)
    exact = jnp.swapaxes(mean_permutation(batch.keys, noise), -1, -2)
    np.testing.assert_array_equal(batch.places, exact)
    np.testing.assert_array_equal(batch.hints[PLACE][-1], exact)
    # Bubble sort's places before the last comparison are a mean of copies, and not yet the last.
    copies = batch.hints[PLACE][1:-1]
    np.testing.assert_allclose(copies * 2000, jnp.round(copies * 2000), atol=1e-2)
    np.testing.assert_allclose(copies.sum(-1), np.ones(copies.shape[:-1]), atol=1e-5)


def test_places_of_one_run_are_its_ranks():
    batch = hints.sample_batch(jax.random.key(7), "quicksort", 4, SAMPLED)
    assert set(np.unique(batch.places)) == {0.0, 1.0}
    first = np.take_along_axis(batch.places[..., 0], batch.pred_mask.argmax(-1)[:, None], 1)
    np.testing.assert_array_equal(first, np.ones_like(first))


@pytest.mark.parametrize(
    "field, value",
    [("noise", "uniform"), ("hints", "hard"), ("lengths", (1, 3)), ("steps", 0), ("copies", 0)],
)
def test_bad_training_configurations_name_the_field(field, value):
    with pytest.raises(ValueError, match=field):
        TrainingConfig(**{field: value})


SAMPLED = TrainingConfig(
    hints="sampled",
    lengths=(4,),
    noise_scale_spread=2.0,
    batch_size=2048,
    pairs_per_batch=2048 * 16,
)


def test_sampled_targets_are_one_run_and_its_noise_has_the_scales():
    sharp = dataclasses.replace(SAMPLED, min_spread=1e6, max_spread=1e6)
    batch = hints.sample_batch(jax.random.key(0), "insertion_sort", 4, sharp)
    assert set(np.unique(batch.pred)) == {0.0, 1.0}
    first = np.asarray(batch.pred_mask).argmax(-1)
    np.testing.assert_array_equal(first, np.asarray(batch.keys).argmin(-1))
    np.testing.assert_allclose(jnp.log(batch.noise_scales).mean(-1), np.zeros(2048), atol=1e-5)
    spread = jnp.log(batch.noise_scales).std(-1)
    assert 0.3 < (spread == 0).mean() < 0.7 and spread.max() > 1.5

    noisy = dataclasses.replace(SAMPLED, noise="gaussian", min_spread=1e-3, max_spread=1e-3)
    batch = hints.sample_batch(jax.random.key(1), "insertion_sort", 4, noisy)
    first = np.asarray(batch.pred_mask).argmax(-1)
    quiet = np.asarray(batch.noise_scales).argmin(-1)
    share = (first == quiet)[np.asarray(jnp.log(batch.noise_scales).std(-1)) > 1].mean()
    assert share < 0.15, "what hardly moves is seldom at an end"


def test_without_noise_scales_there_are_none():
    plain = dataclasses.replace(SAMPLED, noise_scale_spread=0.0)
    assert hints.sample_batch(jax.random.key(0), "quicksort", 4, plain).noise_scales is None
    with pytest.raises(ValueError, match="noise_scale_spread: received 1.0 with hints='perturbed'"):
        TrainingConfig(noise_scale_spread=1.0)
    with pytest.raises(ValueError, match="hints: received 'forced', allowed: perturbed, sampled"):
        TrainingConfig(hints="forced")
