# SPDX-License-Identifier: Apache-2.0
"""The learned sort: what its docstring and its cards promise."""

import dataclasses
import itertools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from arlsort import LearnedSort
from arlsort.numerics import noise as laws
from arlsort.numerics.mean_permutation import mean_permutation
from arlsort.reasoner import checkpoint, distances
from arlsort.reasoner.hints import output_pointers

LISTS = 1000

# The shares of lists in exact order that the first release promises, at temperature 0.
PROMISED = {
    ("insertion_sort", 5): 0.99,
    ("insertion_sort", 16): 0.97,
    ("bubble_sort", 5): 0.98,
    ("bubble_sort", 8): 0.95,
    ("quicksort", 5): 0.98,
    ("quicksort", 8): 0.95,
}


def _lists(n: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(LISTS, n)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm, n", PROMISED)
def test_uniform_lists_are_sorted_exactly(algorithm, n):
    x = _lists(n)
    order = LearnedSort(algorithm, temperature=0.0).permutation(jnp.asarray(x)).argmax(-1)
    share = np.mean((order == x.argsort(-1)).all(-1))
    assert share >= PROMISED[algorithm, n], share
    recorded = checkpoint.shipped(algorithm).card["scores"]["exact_order"][str(n)]
    assert abs(share - recorded) < 0.02, "the card tells the truth"


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 0.03])
def test_scale_and_offset_change_nothing(temperature):
    x = jnp.asarray(_lists(5)[:20])
    operator = LearnedSort(temperature=temperature)
    weights = operator.permutation(x)
    np.testing.assert_allclose(operator.permutation(1e6 * x), weights, atol=2e-2)
    np.testing.assert_allclose(operator.permutation(1e-6 * x), weights, atol=2e-2)
    far = jnp.round(x * 64) - 1e4  # exact in float32
    np.testing.assert_allclose(
        operator.permutation(far), operator.permutation(jnp.round(x * 64)), atol=2e-2
    )
    np.testing.assert_allclose(arlsort.sort(1e6 * x), 1e6 * arlsort.sort(x), rtol=2e-2)


def test_raw_scores_keep_their_scale():
    x = 3 * jnp.asarray(_lists(5)[:20])
    raw = LearnedSort(normalize=False, temperature=1.0)
    assert np.abs(raw.permutation(x) - raw.permutation(10 * x)).max() > 0.1
    colder = dataclasses.replace(raw, temperature=0.1)
    np.testing.assert_allclose(colder.permutation(x), raw.permutation(10 * x), atol=1e-3)


@pytest.mark.slow
def test_it_averages_over_noise():
    """At a medium temperature P is near the mean permutation of perturbed copies."""
    x = jnp.array([-2.0, 1.5, 0.1, -0.4, 2.2])
    for algorithm in checkpoint.SHIPPED:
        weights = LearnedSort(algorithm, temperature=1.0, normalize=False).permutation(x)
        places = checkpoint.shipped(algorithm).config.places
        distance = np.abs(weights - mean_permutation(x)).sum(-1).mean() / 2
        assert distance < (0.1 if places else 0.35), algorithm


@pytest.mark.slow
def test_the_noise_is_the_one_asked_for():
    """Each checkpoint's pointers are nearer to the mean pointers under its own noise."""
    x = jnp.array([-12.0, 9.0, 2.0, -3.0, 16.0])
    own = {}
    for noise in ("gaussian", "cauchy"):
        draws = laws.sample(jax.random.key(0), noise, (20_000, 5))
        orders = jnp.argsort(x[None] + draws, axis=-1)
        own[noise] = jax.vmap(lambda order: output_pointers(order)[0])(orders).mean(0)
    for noise, other in (("gaussian", "cauchy"), ("cauchy", "gaussian")):
        operator = LearnedSort(normalize=False, temperature=1.0, noise=noise)
        pointers = jnp.exp(operator.log_pointers(x)[0])
        distance = {law: np.abs(pointers - own[law]).sum(-1).mean() / 2 for law in own}
        assert distance[noise] < 0.1 < distance[other], distance
    default = LearnedSort(normalize=False, temperature=1.0)
    np.testing.assert_array_equal(
        default.permutation(x), dataclasses.replace(default, noise="gaussian").permutation(x)
    )
    with pytest.raises(ValueError, match="noise: received 'cauchy', allowed: 'gaussian'"):
        LearnedSort("quicksort", noise="cauchy")
    with pytest.raises(ValueError, match="noise: received 'gumbel', allowed: 'gaussian', 'cauchy'"):
        LearnedSort(noise="gumbel")


def test_the_noise_of_your_own_checkpoint(tmp_path):
    for suffix in (".safetensors", ".json"):
        shutil.copy(
            checkpoint.WEIGHTS / f"insertion_sort_cauchy{suffix}", tmp_path / f"mine{suffix}"
        )
    path, x = str(tmp_path / "mine.safetensors"), jnp.array([3.0, 1.0, 2.0])
    heavy = LearnedSort(noise="cauchy").sort(x)
    for noise in (None, "cauchy"):
        np.testing.assert_array_equal(LearnedSort(noise=noise, checkpoint=path).sort(x), heavy)
    with pytest.raises(ValueError, match="noise.*'gaussian' with.*trained with cauchy"):
        LearnedSort(noise="gaussian", checkpoint=path).sort(x)


def test_log_pointers_are_distributions_and_point_right():
    x = jnp.asarray(_lists(5)[:50] * 1000)
    log_pred, log_first = LearnedSort(normalize=False, temperature=1.0).log_pointers(x)
    np.testing.assert_allclose(jnp.exp(log_first).sum(-1), np.ones(50), atol=1e-5)
    np.testing.assert_allclose(jnp.exp(log_pred).sum(-2), np.ones((50, 5)), atol=1e-5)
    order = x.argsort(-1)
    previous = np.take_along_axis(log_pred, np.asarray(order)[..., None], 1).argmax(-1)
    assert np.mean(previous == np.roll(order, 1, -1)) > 0.97
    assert np.mean(log_first.argmax(-1) == order[:, 0]) > 0.97


def test_log_pointers_say_nan_where_the_scores_do():
    x = jnp.array([[1.0, jnp.nan, 2.0], [3.0, 1.0, 2.0]])
    log_pred, log_first = LearnedSort().log_pointers(x)
    assert jnp.isnan(log_pred[0]).all() and jnp.isnan(log_first[0]).all()
    assert jnp.isfinite(log_pred[1]).all() and jnp.isfinite(log_first[1]).all()
    with pytest.raises(ValueError, match="2 or more"):
        LearnedSort().log_pointers(jnp.ones((3, 1)))


def test_a_list_beyond_the_validated_length_is_refused():
    limit = checkpoint.shipped("quicksort").validated_length
    x = jnp.linspace(0.0, 1.0, limit + 1)
    refused = rf"at most {limit}.*allow_extrapolation=True((?!AmortizedSort).)*SoftSort"
    with pytest.raises(ValueError, match=refused):
        LearnedSort("quicksort").sort(x)
    tried = LearnedSort("quicksort", allow_extrapolation=True).permutation(x)
    assert tried.shape == (limit + 1, limit + 1) and jnp.isfinite(tried).all()


def test_a_network_without_places_is_read_by_its_pointers():
    path = str(checkpoint.shipped_path("insertion_sort", likelihood=True))
    assert not checkpoint.load(path).config.places
    x = jnp.array([3.0, 1.0, 2.0])
    operator = LearnedSort(checkpoint=path, normalize=False, temperature=1e-3)
    np.testing.assert_allclose(operator.sort(x), [1.0, 2.0, 3.0], atol=0.1)
    assert jnp.isfinite(operator.log_likelihood(x, jnp.array([1, 2, 0])))


@pytest.mark.parametrize("temperature", [0.0, 0.1, 1.0])
def test_rows_sum_to_one_and_columns_nearly(temperature):
    weights = LearnedSort(temperature=temperature).permutation(jnp.asarray(_lists(5)[:100]))
    np.testing.assert_allclose(weights.sum(-1), np.ones((100, 5)), atol=1e-5)
    np.testing.assert_allclose(weights.sum(-2), np.ones((100, 5)), atol=0.06)


def test_your_own_checkpoint(tmp_path):
    for suffix in (".safetensors", ".json"):
        shutil.copy(checkpoint.WEIGHTS / f"bubble_sort{suffix}", tmp_path / f"mine{suffix}")
    path = str(tmp_path / "mine.safetensors")
    x = jnp.array([3.0, 1.0, 2.0])
    np.testing.assert_array_equal(
        LearnedSort("bubble_sort", checkpoint=path).sort(x), LearnedSort("bubble_sort").sort(x)
    )
    with pytest.raises(ValueError, match="algorithm.*bubble_sort"):
        LearnedSort("quicksort", checkpoint=path).sort(x)
    with pytest.raises(checkpoint.CheckpointError, match="cannot be read"):
        LearnedSort(checkpoint=str(tmp_path / "none.safetensors")).sort(x)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1e-30, 0.1, 1.0])
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e20, 1e30])
def test_raw_scores_of_every_scale_have_finite_gradients(scale, temperature):
    x = scale * jnp.array([0.3, 0.1, 0.9, 0.5, 0.45])

    def loss(x, temperature):
        weights = LearnedSort(normalize=False, temperature=temperature).permutation(x)
        return (weights * jnp.arange(25.0).reshape(5, 5)).sum()

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(x, temperature)
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(gradient).all() for gradient in gradients)


def test_log_pointers_are_finite_in_half_precision():
    for dtype in (jnp.float16, jnp.bfloat16):
        pointers = LearnedSort().log_pointers(jnp.array([3.0, 1.0, 2.0], dtype))
        assert all(p.dtype == dtype and jnp.isfinite(p).all() for p in pointers)


@pytest.mark.parametrize(
    "field, value",
    [
        ("algorithm", "bogosort"),
        ("algorithm", "heapsort"),
        ("temperature", -1.0),
    ],
)
def test_bad_hyperparameters_are_named(field, value):
    with pytest.raises(ValueError, match=field):
        LearnedSort(**{field: value})


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_short_floats_are_sorted_where_long_ones_are_allowed(dtype):
    with jax.enable_x64(True):
        x = jnp.array([0.3, 0.1, 0.2, 0.5], dtype)
        values = LearnedSort(temperature=0.0).sort(x)
        gradient = jax.grad(lambda x: LearnedSort().sort(x)[0])(x)
    assert values.dtype == gradient.dtype == x.dtype
    np.testing.assert_allclose(np.float64(values), [0.1, 0.2, 0.3, 0.5], atol=2e-2)
    assert jnp.isfinite(gradient).all()


ZEROS_AND_ONES = [row for row in itertools.product([0.0, 1.0], repeat=5) if 0 < sum(row) < 5]


def test_ties_are_sorted():
    values = LearnedSort(temperature=0.01).sort(jnp.array(ZEROS_AND_ONES))
    np.testing.assert_allclose(values, np.sort(ZEROS_AND_ONES), atol=0.05)


@pytest.mark.parametrize("x", [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0, 0.5]])
def test_a_few_ties_are_sorted(x):
    values = LearnedSort(temperature=0.01).sort(jnp.array(x))
    np.testing.assert_allclose(values, sorted(x), atol=0.05)


WITH_PLACES = [
    (name, noise)
    for name, noises in checkpoint.SHIPPED.items()
    for noise in noises
    if checkpoint.shipped(name, noise).config.places
]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm, noise", WITH_PLACES)
def test_the_card_tells_how_far_the_mean_permutation_is(algorithm, noise):
    model = checkpoint.shipped(algorithm, noise)
    operator = LearnedSort(algorithm, noise=noise, temperature=1.0, normalize=False)
    operator = dataclasses.replace(operator, allow_extrapolation=True)
    for law, draw in distances.LAWS.items():
        scores = draw(jax.random.key(99), 100, max(model.training.lengths))
        for temperature, promised in model.card["scores"]["divergence"][law].items():
            found = distances.distance(operator.permutation, scores, float(temperature), noise)
            assert found.divergence <= 1.5 * promised + 0.005, (law, temperature)
