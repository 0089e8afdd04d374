# SPDX-License-Identifier: Apache-2.0
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators import registry
from arlsort.operators.sorting_network import (
    DISTRIBUTIONS,
    Comparators,
    SortingNetwork,
    bitonic_layers,
    odd_even_layer,
)
from tests import references


def _layers(network: str, n: int) -> list[tuple[Comparators, ...]]:
    return (
        bitonic_layers(n) if network == "bitonic" else [odd_even_layer(n, k % 2) for k in range(n)]
    )


def _pairs(layer: tuple[Comparators, ...]) -> list[tuple[int, int]]:
    """A layer as pairs (wire of the smaller output, wire of the larger output)."""
    pairs = []
    for group in layer:
        for block, ascending in enumerate(group.ascending):
            for k in range(group.width):
                first = group.start + block * (group.gap + group.width) + k
                pair = (first, first + group.gap)
                pairs.append(pair if ascending else pair[::-1])
    return pairs


@pytest.mark.parametrize("network", ["odd_even", "bitonic"])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 23, 32])
def test_layers_are_those_of_the_textbook(network, n):
    layers = [sorted(_pairs(layer)) for layer in _layers(network, n)]
    assert layers == [sorted(layer) for layer in references.comparators(network, n)]


@pytest.mark.parametrize("network", ["odd_even", "bitonic"])
@pytest.mark.parametrize("n", range(2, 13))
def test_zero_one_principle(network, n):
    # A network that sorts all sequences of zeros and ones sorts everything (Knuth, vol. 3).
    bits = np.array(list(itertools.product([0, 1], repeat=n)))
    for layer in _layers(network, n):
        for low, high in _pairs(layer):
            pair = bits[:, [low, high]]
            bits[:, low], bits[:, high] = pair.min(axis=1), pair.max(axis=1)
    assert (np.diff(bits, axis=1) >= 0).all()


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize(("network", "n"), [("odd_even", 5), ("bitonic", 6)])
def test_every_distribution_is_the_oracle(network, n, distribution):
    x = np.random.default_rng(0).normal(size=(2, n))
    x[1, 1] = x[1, 0] + 0.05  # close to a tie: the linear piece of `optimal`
    with jax.enable_x64(True):
        weights = SortingNetwork(network, distribution, temperature=0.3).permutation(x)
    expected = [
        references.sorting_network(row, network, distribution, temperature=0.3) for row in x
    ]
    np.testing.assert_allclose(weights, np.stack(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_gradients_are_finite_at_ties_and_at_any_size(distribution):
    operator = SortingNetwork("odd_even", distribution)
    cases = jnp.array([[1.0, 1.0, 1.0], [0.0, 0.0, 2.0], [1e30, -1e30, 1e-30], [0.025, 0.0, 0.05]])
    mix = jnp.array([1.0, -2.0, 3.0])
    gradient = jax.vmap(jax.grad(lambda op, x: op.sort(x) @ mix, argnums=(0, 1)), (None, 0))
    for leaf in jax.tree.leaves(gradient(operator, cases)):
        assert np.isfinite(leaf).all()


def test_art_lambda_reaches_the_swap():
    x = np.array([0.1, 0.5, -0.4])
    with jax.enable_x64(True):
        operator = SortingNetwork(distribution="logistic_art", art_lambda=0.6)
        weights = operator.permutation(x)
    expected = references.sorting_network(x, "odd_even", "logistic_art", 0.1, 0.6)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-12)


def test_the_distribution_flag_is_not_ignored():
    # The reference experiment accepts a distribution and runs every sorter with Cauchy.
    x = jnp.array([0.3, -0.1, 0.2])
    specs = [f"odd_even:distribution={name}" for name in DISTRIBUTIONS]
    operators = [registry.parse(spec, supervision=True) for spec in specs]
    assert [operator.distribution for operator in operators] == list(DISTRIBUTIONS)
    weights = [np.asarray(operator.permutation(x)) for operator in operators]
    for a, b in itertools.combinations(weights, 2):
        assert np.abs(a - b).max() > 1e-3


@pytest.mark.parametrize("network", ["odd_even", "bitonic"])
def test_long_rows_are_sorted(network):
    x = jnp.asarray(np.random.default_rng(1).permutation(50), jnp.float32)
    np.testing.assert_allclose(
        SortingNetwork(network, "logistic", temperature=0.01).sort(x), np.arange(50), atol=1e-5
    )


@pytest.mark.parametrize("network", ["odd_even", "bitonic"])
def test_values_and_rows_go_through_the_layers_without_the_permutation(network):
    n = 9
    operator = SortingNetwork(network)
    x = jax.ShapeDtypeStruct((n,), jnp.float32)
    rows = jax.ShapeDtypeStruct((n, 2), jnp.float32)
    for jaxpr in (jax.make_jaxpr(operator.sort)(x), jax.make_jaxpr(operator.sort_by)(x, rows)):
        assert f"f32[{n},{n}]" not in str(jaxpr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "bubble"}, "network: received 'bubble', allowed: 'odd_even', 'bitonic'"),
        ({"distribution": "uniform"}, "distribution: received 'uniform', allowed: 'logistic'"),
        ({"temperature": 0.0}, "temperature: received 0.0, allowed: a finite number > 0"),
        ({"distribution": "logistic_art", "art_lambda": 2.0}, r"art_lambda: received 2.0"),
        ({"art_lambda": 0.5}, "art_lambda: received 0.5 with distribution 'cauchy'"),
    ],
)
def test_bad_hyperparameters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SortingNetwork(**arguments)
