# SPDX-License-Identifier: Apache-2.0
"""Networks with a comparator of one's own; the printed examples of differentiable-sorting.

The expected numbers are those that the README of johnhw/differentiable_sorting prints, to its own
rounding. It sorts by key and by comparison in descending order.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from arlsort.networks.topology import NETWORKS

X = jnp.array([5.0, -1.0, 9.5, 13.2, 16.2, 20.5, 42.0, 18.0])
ITEMS = jnp.array([[1.0, 5.0], [30.0, 30.0], [6.0, 9.0], [80.0, -2.0]])


def softened(smooth):
    """Their `softmax_smooth`, which tends to the mean."""
    t = smooth / 2

    def maximum(a, b):
        return arlsort.log_sum_exp((1 - t) * a + t * b, (1 - t) * b + t * a) - np.log(1 + smooth)

    return maximum


@pytest.mark.parametrize(
    ("maximum", "printed"),
    [
        (arlsort.log_sum_exp, [-1.007, 4.996, 9.439, 13.212, 15.948, 18.21, 20.602, 42.0]),
        (softened(0.05), [1.242, 5.333, 9.607, 12.446, 16.845, 18.995, 20.932, 37.999]),
        (softened(1.0), [15.425] * 8),
    ],
)
def test_smooth_sort_prints_what_diff_sort_prints(maximum, printed):
    np.testing.assert_allclose(arlsort.smooth_sort(X, maximum), printed, atol=6e-4)


def test_rank_among_prints_what_diff_argsort_prints():
    x = jnp.array([1.0, 2, 3, 4, 8, 7, 6, 4])
    values = arlsort.smooth_sort(x)
    np.testing.assert_allclose(arlsort.rank_among(x, values), [0.0, 1, 2, 3, 7, 6, 5, 3], atol=6e-3)
    smooth = arlsort.rank_among(x, values, 0.25)
    np.testing.assert_allclose(smooth, [0.13, 1.09, 2, 3.11, 6.99, 6, 5, 3.11], atol=6e-3)
    jacobian = jax.jacobian(lambda x: arlsort.rank_among(x, arlsort.smooth_sort(x), 0.25))(x)
    np.testing.assert_allclose(
        jacobian[0], [2.162, -1.059, -0.523, -0.287, -0.01, -0.018, -0.056, -0.21], atol=6e-4
    )


@pytest.mark.parametrize(
    ("column", "printed"),
    [
        (0, [[80.0, -2.0], [30.0, 30.0], [5.97, 8.97], [1.03, 5.03]]),
        (1, [[30.0, 30.0], [5.91, 8.93], [1.16, 5.07], [79.93, -1.99]]),
    ],
)
def test_vector_sort_prints_the_same(column, printed):
    values = arlsort.vector_sort(ITEMS, lambda item: item[:, column], descending=True)
    np.testing.assert_allclose(values, printed, atol=6e-3)
    # The key is linear, so the rows can as well travel with their keys.
    network = arlsort.SortingNetwork("bitonic", "logistic", temperature=1.0)
    by_keys = arlsort.sort_by(ITEMS[:, column], ITEMS, network, descending=True)
    np.testing.assert_allclose(values, by_keys, atol=1e-4)


def test_comparison_sort_prints_the_same():
    x = jnp.asarray(np.random.RandomState(31).normal(0, 100, 8))
    printed = [184.94, -79.1, -77.71, -76.32, -41.48, -33.34, -21.86, 8.11]
    values = arlsort.comparison_sort(
        x,
        lambda a, b: jnp.tanh(a**2 - b**2),
        temperature=1 / 500,  # theirs scales by 250, on both sides
        descending=True,
    )
    np.testing.assert_allclose(values, printed, atol=6e-3)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_comparing_scores_is_the_network_of_scores(network):
    x = jnp.array([0.3, -1.2, 0.8, 0.1, 2.0])
    operator = arlsort.SortingNetwork(network, "cauchy", temperature=0.3)
    settings = {"distribution": "cauchy", "temperature": 0.3}
    got = arlsort.comparison_sort(x, jnp.subtract, network, **settings)
    np.testing.assert_allclose(got, operator.sort(x), atol=1e-6)
    gradient = jax.grad(lambda x: arlsort.comparison_sort(x, jnp.subtract, network, **settings)[1])
    np.testing.assert_allclose(
        gradient(x), jax.grad(lambda x: operator.sort(x)[1])(x), rtol=1e-4, atol=1e-5
    )


def test_the_smooth_maximum_is_the_logistic_swap():
    expected = arlsort.SortingNetwork("bitonic", "logistic", temperature=1.0).sort(X)
    np.testing.assert_allclose(arlsort.smooth_sort(X, arlsort.smooth_maximum), expected, rtol=1e-5)


def test_pictures_are_sorted_by_their_brightness_in_batches():
    pictures = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 5, 3, 4)), jnp.float32)
    brightness = lambda a: a.mean(axis=(-1, -2))  # noqa: E731
    got = jax.vmap(lambda p: arlsort.vector_sort(p, brightness, temperature=1e-5))(pictures)
    order = np.argsort(np.asarray(brightness(pictures)), axis=-1)[..., None, None]
    np.testing.assert_allclose(got, np.take_along_axis(np.array(pictures), order, 1), atol=1e-3)


def test_short_lists_nan_and_half_precision():
    difference = jnp.subtract
    by_first = lambda a, b: a[:, 0] - b[:, 0]  # noqa: E731
    assert arlsort.comparison_sort(jnp.zeros((0, 2)), by_first).shape == (0, 2)
    np.testing.assert_array_equal(arlsort.comparison_sort(X[:1], difference), X[:1])
    assert np.isnan(arlsort.comparison_sort(X.at[2].set(jnp.nan), difference)).all()
    assert arlsort.comparison_sort(X.astype(jnp.bfloat16), difference).dtype == jnp.bfloat16
    assert np.isfinite(arlsort.smooth_sort(X * 1e30)).all()


def test_what_is_wrong_names_itself():
    with pytest.raises(
        ValueError, match=r"compare: received a function that returns shape \(2, 2\)"
    ):
        arlsort.comparison_sort(ITEMS, lambda a, b: a - b)
    with pytest.raises(ValueError, match=r"key: received a function that returns shape \(\)"):
        arlsort.vector_sort(ITEMS, jnp.sum)
    with pytest.raises(ValueError, match=r"maximum: received a function that returns shape \(\)"):
        arlsort.smooth_sort(X, lambda a, b: jnp.maximum(a, b).sum())
    with pytest.raises(TypeError, match="compare: received 3, allowed: a function of two items"):
        arlsort.comparison_sort(X, 3)
    with pytest.raises(TypeError, match="key: received 'first', allowed: a function of an item"):
        arlsort.vector_sort(X, "first")
    with pytest.raises(ValueError, match="network: received 'quick'"):
        arlsort.comparison_sort(X, jnp.subtract, "quick")
    with pytest.raises(ValueError, match="distribution: received 'logistic_art'"):
        arlsort.comparison_sort(X, jnp.subtract, distribution="logistic_art")
    with pytest.raises(ValueError, match="temperature: received 0"):
        arlsort.comparison_sort(X, jnp.subtract, temperature=0)
    with pytest.raises(ValueError, match=r"values: received shape \(7,\)"):
        arlsort.rank_among(X, X[1:])


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_a_function_that_has_no_slope_at_ties_is_not_asked_for_it(network, n):
    # Copies of one item are on the wires that pad a network.
    x = jnp.asarray(np.random.default_rng(n).normal(size=(n, 2)), jnp.float32)
    mix = jnp.arange(n, dtype=x.dtype)[:, None] ** 2

    def compare(a, b):
        return (a - b)[:, 0] / jnp.linalg.norm(a - b, axis=-1)

    def largest(a, b):
        return (a + b + jnp.sqrt((a - b) ** 2)) / 2

    by_items = jax.grad(lambda x: (arlsort.comparison_sort(x, compare, network) * mix).sum())(x)
    assert np.isfinite(by_items).all()
    by_scores = jax.grad(lambda x: (arlsort.smooth_sort(x, largest, network) * mix[:, 0]).sum())(
        x[:, 0]
    )
    np.testing.assert_allclose(
        by_scores,
        jax.grad(lambda x: (jnp.sort(x) * mix[:, 0]).sum())(x[:, 0]),
        rtol=1e-5,
        atol=1e-5,
    )


def test_infinities_and_the_largest_numbers_are_sorted():
    inf = jnp.inf
    x = jnp.array([3.0, -inf, 1.0, inf, 3e38])
    for result in (
        arlsort.smooth_sort(x, jnp.maximum),
        arlsort.vector_sort(x, lambda item: item, temperature=0.01),
        arlsort.comparison_sort(x, lambda a, b: a - b, "odd_even", temperature=0.01),
    ):
        assert np.isfinite(result).all()
        np.testing.assert_allclose(result[1:3], [1.0, 3.0], rtol=1e-3)
    np.testing.assert_allclose(arlsort.rank_among(x, jnp.sort(x)), [2, 0, 1, 3.5, 3.5], atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [lambda a, b: (a, b), lambda a, b: None, lambda a, b: a > b, lambda a, b: a * 1j]
)
@pytest.mark.parametrize("n", [1, 3])
def test_what_is_no_number_names_itself(wrong, n):
    with pytest.raises(TypeError, match="compare: received a function that returns"):
        arlsort.comparison_sort(jnp.arange(float(n)), wrong)
    with pytest.raises(TypeError, match="maximum: received a function that returns"):
        arlsort.smooth_sort(jnp.arange(float(n)), wrong)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "where",
    [
        (1, 0, 1, 0, 1, 0, 0, 1),
        pytest.param((0, 0, 0, 1, 0, 0, 0, 0), marks=pytest.mark.slow),
        pytest.param((1, 1, 0, 1, 1, 0, 1, 0), marks=pytest.mark.slow),
    ],
)
def test_masked_items_are_not_in_the_network(network, where):
    mask = np.array(where, bool)
    count = mask.sum()
    x = jnp.where(mask, X, jnp.nan)

    def total(x, where=None):
        found = arlsort.comparison_sort(
            x, lambda a, b: a / b - b / a, network, descending=True, where=where
        )
        return (found * jnp.arange(1.0, 1 + len(found))).sum(), found

    (_, found), slope = jax.jit(jax.value_and_grad(total, has_aux=True))(x, jnp.asarray(mask))
    (_, short), some = jax.value_and_grad(total, has_aux=True)(X[mask])
    np.testing.assert_allclose(found[:count], short, rtol=1e-6)
    assert not np.asarray(found[count:]).any()
    np.testing.assert_allclose(slope[mask], some, rtol=1e-4, atol=1e-6)
    assert not np.asarray(slope[~mask]).any()
