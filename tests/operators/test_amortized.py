# SPDX-License-Identifier: Apache-2.0
"""The shipped amortised sorts are as near to the mean permutation as their cards say."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import AmortizedSort, accuracy
from arlsort.amortized import checkpoint

HALF_MORE = 1.5  # other lists than the card's, half as many
SMALLEST = 5e-4
SMALLEST_VALUE = 0.01  # of the largest error in a list, which one list may decide


def rows(noise):
    """Rows of a card: all that are quick to measure, and of longer lists a temperature in turn."""
    measured = checkpoint.shipped(noise).card["measured"]
    quick = [row for row in measured if row["n"] in (5, 16)]
    longer = [row for row in measured if row["n"] == 64]
    return quick + [row for i, row in enumerate(longer) if i % 5 == (i // 5) % 5]


@pytest.mark.slow
@pytest.mark.parametrize("noise", checkpoint.SHIPPED)
def test_it_is_as_near_to_the_mean_as_its_card_says(noise):
    for row in rows(noise):
        kind, n, temperature = row["kind"], row["n"], row["temperature"]
        found = accuracy.distance(
            AmortizedSort(noise=noise), kind, n, temperature, noise=noise, count=16, seed=7
        )
        assert found.kl < HALF_MORE * row["kl"] + SMALLEST, row
        assert found.values < HALF_MORE * row["values"] + SMALLEST_VALUE, row
        assert found.worst_value < HALF_MORE * row["worst_value"] + 2 * SMALLEST_VALUE, row
        if row["gradient"] is not None:
            assert found.gradient > 1 - HALF_MORE * (1 - row["gradient"]) - 10 * SMALLEST, row


@pytest.mark.parametrize(
    "which", [{"noise": noise} for noise in checkpoint.SHIPPED] + [{"of_orders": True}], ids=str
)
def test_shipped_weights_have_the_shapes_of_their_network(which):
    # Their loading does not check it, so that the first sort comes sooner.
    loaded = checkpoint.load(checkpoint.shipped_path(**which))
    chex.assert_trees_all_equal(loaded.params, checkpoint.shipped(**which).params)


@pytest.mark.parametrize("noise", checkpoint.SHIPPED)
def test_it_is_near_the_mean_of_noisy_sorts(noise):
    rng = np.random.default_rng(3)
    x = np.array([0.0, 0.3, 0.3, 0.9, 1.0, 0.55], np.float32)
    draw = rng.normal if noise == "gaussian" else rng.standard_cauchy
    order = np.argsort(x + 0.2 * draw(size=(20_000, 6)), axis=-1)
    mean = np.stack([np.bincount(at, minlength=6) for at in order.T]) / 20_000
    found = AmortizedSort(temperature=0.2, noise=noise).permutation(jnp.asarray(x))
    np.testing.assert_allclose(found, mean, atol=0.02)


@pytest.mark.parametrize("noise", checkpoint.SHIPPED)
def test_the_negative_of_a_list_has_mirrored_pointers(noise):
    x = jnp.array([[0.0, 0.3, 0.3, 0.9, 1.0], [5.0, -40.0, 2.0, 2.1, 1e3]])
    scales = jnp.array([1.0, 0.2, 3.0, 1.0, 10.0])
    operator = AmortizedSort(temperature=0.2, normalize=False, noise=noise)
    for given in (None, jnp.broadcast_to(scales, x.shape)):
        found = operator.permutation(x, noise_scales=given)
        turned = operator.permutation(-x, noise_scales=given)
        np.testing.assert_allclose(turned, found[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("noise", checkpoint.SHIPPED)
@pytest.mark.parametrize(
    ("n", "least"), [(16, 0.998), pytest.param(64, 0.99, marks=pytest.mark.slow)]
)
def test_at_temperature_zero_the_order_is_exact(noise, n, least):
    assert accuracy.exact_order(AmortizedSort(noise=noise), n, count=100, seed=5) >= least


def test_ties_share_places_and_at_temperature_zero_their_indices_decide():
    x = jnp.array([1.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(
        AmortizedSort(temperature=0.01).permutation(x)[1:, [0, 2, 3]], 1 / 3, atol=1e-3
    )
    found = AmortizedSort(temperature=0.0).permutation(x)
    assert jnp.argmax(found, axis=-1).tolist() == [1, 0, 2, 3]


def test_noise_scales_are_those_of_the_scores():
    operator = AmortizedSort(normalize=False, temperature=0.5)
    x = jnp.array([0.0, 1.0, 1.5, 4.0])
    np.testing.assert_allclose(
        operator.permutation(x, noise_scales=jnp.ones(4)), operator.permutation(x), atol=1e-6
    )
    scales = jnp.array([1.0, 3.0, 0.3, 1.0])
    draws = np.random.default_rng(0).normal(size=(20_000, 4)) * 0.5 * np.asarray(scales)
    order = np.argsort(np.asarray(x) + draws, axis=-1)
    mean = np.stack([np.bincount(at, minlength=4) for at in order.T]) / 20_000
    found = operator.permutation(x, noise_scales=scales)
    np.testing.assert_allclose(found, mean, atol=0.02)
    turned = operator.permutation(x, noise_scales=scales, descending=True)
    np.testing.assert_array_equal(turned, found[::-1])


def test_noise_scales_are_in_units_of_the_temperature_at_any_size():
    x, scales = jnp.array([0.2, 0.9, 0.4]), jnp.array([1.0, 2.0, 0.5])
    expected = AmortizedSort(temperature=0.1).permutation(x, noise_scales=scales)
    for size in (1e-19, 1e-8, 1e7):
        operator = AmortizedSort(temperature=0.1 / size)

        def weighted(scales, operator=operator):
            found = operator.permutation(x, noise_scales=scales)
            return (found * jnp.arange(9.0).reshape(3, 3)).sum(), found

        (_, found), slope = jax.value_and_grad(weighted, has_aux=True)(scales * size)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert jnp.isfinite(slope).all()


@pytest.mark.parametrize("scales", [[1e-15, 1e15, 1e15], [1e-30, 1.0, 1.0], [1e-30, 1e30, 1e30]])
def test_noise_scales_far_apart_have_finite_gradients(scales):
    x = jnp.array([0.2, 0.9, 0.4])

    def weighted(scales, temperature):
        operator = AmortizedSort(temperature=temperature)
        found = operator.permutation(x, noise_scales=scales)
        return (found * jnp.arange(9.0).reshape(3, 3)).sum()

    found, slopes = jax.value_and_grad(weighted, argnums=(0, 1))(jnp.array(scales), 0.1)
    assert jnp.isfinite(found) and all(jnp.isfinite(slope).all() for slope in slopes)


def test_hard_and_descending_are_so_with_noise_scales_too():
    x, scales = jnp.array([0.2, 0.9, 0.4]), jnp.array([1.0, 2.0, 0.5])
    operator = AmortizedSort(temperature=0.5, hard=True)
    found = operator.permutation(x, noise_scales=scales, descending=True)
    np.testing.assert_array_equal(found, operator.permutation(x, descending=True))
    assert found.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("temperature", [0.0, 1e-30, 1e-10])
def test_gradients_of_ties_are_finite_however_cold(temperature):
    operator = AmortizedSort(temperature=temperature)
    weights = jnp.arange(9.0).reshape(3, 3) ** 1.5
    for x in (jnp.array([0.0, 0.0, 1.0]), jnp.array([0.0, 1.0, 2.0]) * 1e-8):
        slope = jax.grad(lambda x: (operator.permutation(x) * weights).sum())(x)
        assert jnp.isfinite(slope).all(), x
        assert temperature > 0 or not slope.any()


def test_noise_scales_that_are_none_are_refused_or_give_nan():
    operator, x = AmortizedSort(), jnp.array([0.0, 1.0])
    with pytest.raises(ValueError, match="noise_scales: received 0.0"):
        operator.permutation(x, noise_scales=jnp.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="noise_scales: received shape"):
        operator.permutation(x, noise_scales=jnp.ones(3))
    with pytest.raises(TypeError, match="noise_scales: received list"):
        operator.permutation(x, noise_scales=[1.0, 1.0])
    traced = jax.jit(lambda s: operator.permutation(x, noise_scales=s))(jnp.array([1.0, -1.0]))
    assert jnp.isnan(traced).all()
    alone = jax.jit(lambda s: operator.permutation(x[:1], noise_scales=s))
    assert jnp.isnan(alone(jnp.array([-1.0]))).all() and (alone(jnp.array([2.0])) == 1).all()


def test_longer_lists_are_refused_unless_allowed():
    longest = checkpoint.shipped().validated_length
    x = jnp.linspace(0.0, 1.0, longest + 1)
    with pytest.raises(ValueError, match=f"x: received lists of {longest + 1} scores"):
        AmortizedSort().sort(x)
    values = AmortizedSort(allow_extrapolation=True, temperature=0.01).sort(x)
    np.testing.assert_allclose(values, x, atol=0.1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("noise", "gumbel"), ("temperature", -1.0), ("normalize", 1), ("checkpoint", 3)],
)
def test_what_is_not_allowed_names_itself(field, value):
    with pytest.raises((ValueError, TypeError), match=f"{field}: received"):
        AmortizedSort(**{field: value})
