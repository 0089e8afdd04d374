# SPDX-License-Identifier: Apache-2.0
import dataclasses
import itertools
import json
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.networks import merging, merging_across, merging_bitonic
from arlsort.networks.swaps import DISTRIBUTIONS
from arlsort.networks.topology import NETWORKS
from arlsort.operators import parse, registry
from arlsort.operators.sorting_network import SortingNetwork
from tests import references


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize(("network", "n"), [("odd_even", 5), ("odd_even_merge", 6)])
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
    chex.assert_tree_all_finite(gradient(operator, cases))


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
    operators = [parse(spec, supervision=True) for spec in specs]
    assert [operator.distribution for operator in operators] == list(DISTRIBUTIONS)
    weights = [np.asarray(operator.permutation(x)) for operator in operators]
    for a, b in itertools.combinations(weights, 2):
        assert np.abs(a - b).max() > 1e-3


@pytest.mark.parametrize("network", NETWORKS)
def test_long_rows_are_sorted(network):
    x = jnp.asarray(np.random.default_rng(1).permutation(50), jnp.float32)
    np.testing.assert_allclose(
        SortingNetwork(network, "logistic", temperature=0.01).sort(x), np.arange(50), atol=1e-5
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_values_and_rows_go_through_the_layers_without_the_permutation(network):
    n = 9
    operator = SortingNetwork(network)
    x = jax.ShapeDtypeStruct((n,), jnp.float32)
    rows = jax.ShapeDtypeStruct((n, 2), jnp.float32)
    ways = [jax.make_jaxpr(way)(x) for way in (operator.sort, operator.rank)]
    for jaxpr in (*ways, jax.make_jaxpr(operator.sort_by)(x, rows)):
        assert f"{n},{n}" not in str(jaxpr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"network": "bubble"},
            "network: received 'bubble', allowed: 'odd_even', 'bitonic', 'odd_even_merge'",
        ),
        ({"distribution": "uniform"}, "distribution: received 'uniform', allowed: 'logistic'"),
        ({"temperature": 0.0}, "temperature: received 0.0, allowed: a finite number > 0"),
        ({"distribution": "logistic_art", "art_lambda": 2.0}, r"art_lambda: received 2.0"),
        ({"art_lambda": 0.5}, "art_lambda: received 0.5 with distribution 'cauchy'"),
    ],
)
def test_bad_hyperparameters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SortingNetwork(**arguments)


@pytest.fixture
def short_is_long(monkeypatch):
    """Lets short lists, with absent wires, take every way that long ones take."""
    monkeypatch.setattr(merging, "_SMALL", 4)
    monkeypatch.setattr(merging_bitonic, "_SIDE_BY_SIDE", 2)
    monkeypatch.setattr(merging_across, "_SIDE_BY_SIDE", 4)


@pytest.mark.usefixtures("short_is_long")
@pytest.mark.parametrize(("network", "n"), [("bitonic", 27), ("odd_even_merge", 13)])
def test_long_permutations_are_the_oracle(network, n):
    x = np.random.default_rng(n).normal(size=n)
    operator = SortingNetwork(network, temperature=0.3)
    with jax.enable_x64(True):
        weights = operator.permutation(x)
    oracle = references.sorting_network(x, network, "cauchy", temperature=0.3)
    np.testing.assert_allclose(weights, oracle, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.usefixtures("short_is_long")
@pytest.mark.parametrize(("network", "n"), [("bitonic", 27), ("odd_even_merge", 13)])
def test_long_permutations_have_the_gradient_of_their_layers(network, n):
    x = np.random.default_rng(n).normal(size=(3, n))
    operator = SortingNetwork(network, "cauchy", temperature=0.3)
    mix = np.random.default_rng(1).normal(size=(3, n, n))
    with jax.enable_x64(True):
        # The layers themselves, which short lists and rows go through, are one more oracle.
        unit = jnp.broadcast_to(jnp.eye(n), (3, n, n))

        @jax.jit
        def both(x):
            return [
                jax.value_and_grad(lambda x, way=way: (way(x) * mix).sum())(x)
                for way in (operator.permutation, lambda x: operator.sort_by(x, unit))
            ]

        (total, gradient), (expected, slow) = both(x)
    np.testing.assert_allclose(total, expected, rtol=1e-10)
    np.testing.assert_allclose(gradient, slow, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("network", ["bitonic", "odd_even_merge"])
def test_programs_hardly_grow_with_the_list(network):
    # Each operation is compiled: one program for each layer would take minutes.
    operator = SortingNetwork(network, "logistic")

    def operations(n):
        shape = jax.ShapeDtypeStruct((n,), jnp.float32)
        loss = jax.grad(lambda x: operator._permutation(x)[0].sum())
        return str(jax.make_jaxpr(loss)(shape)).count(" = ")

    assert operations(256) < 2 * operations(32)


def test_parts_of_a_batch_are_the_batch(monkeypatch):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 32)), jnp.float32)
    operator = SortingNetwork("bitonic")
    # A method that is not jitted by itself: what the second function sees is traced anew.
    together = jax.jit(lambda x: operator._permutation(x))(x)
    monkeypatch.setattr(merging, "_TOGETHER", 2 * 32 * 32)
    parts = jax.jit(lambda x: operator._permutation(x))(x)
    np.testing.assert_allclose(parts, together, atol=1e-6)


def test_segments_of_layers_are_the_layers(monkeypatch):
    from arlsort.networks import engine

    x = jnp.asarray(np.random.default_rng(0).normal(size=11), jnp.float32)
    operator = SortingNetwork("odd_even")

    def values_and_gradient():  # traced anew at each call
        return jax.jit(lambda x: jax.vjp(lambda x: operator._sort(x)[3], x))(x)

    value, back = values_and_gradient()
    monkeypatch.setattr(engine, "_KEPT", 1)
    segmented, segmented_back = values_and_gradient()
    chex.assert_trees_all_close((segmented, segmented_back(1.0)), (value, back(1.0)), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("distribution", ["cauchy", "logistic_art"])
def test_the_rule_for_pairs_is_the_derivative_of_the_formula(network, distribution):
    # The values' own rule against the rows', which is another: both at the same scores.
    x = jnp.asarray(np.random.default_rng(2).normal(size=(2, 6)))
    operator = SortingNetwork(network, distribution, temperature=0.3)
    mix = np.random.default_rng(3).normal(size=(2, 6))
    with jax.enable_x64(True):
        x = jnp.asarray(x, jnp.float64)

        def by(way):
            return jax.grad(lambda op, x: (way(op, x) * mix).sum(), argnums=(0, 1))(operator, x)

        fast = by(lambda op, x: op.sort(x))
        slow = by(lambda op, x: op.sort_by(x, x[..., None])[..., 0])
    for got, expected in zip(jax.tree.leaves(fast), jax.tree.leaves(slow), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_error_free_swaps_are_exact_forward(network):
    x = jnp.asarray(np.random.default_rng(4).normal(size=(2, 7)), jnp.float32)
    operator = SortingNetwork(network, error_free=True)
    np.testing.assert_array_equal(operator.sort(x), jnp.sort(x))
    np.testing.assert_array_equal(operator.permutation(x), registry.get("hard").permutation(x))
    np.testing.assert_array_equal(operator.rank(x), registry.get("hard").rank(x))
    exact = dataclasses.replace(operator, error_free=False, hard=True)
    by_pairs, at_the_end = (
        jax.grad(lambda x, op=op: op.sort(x)[0, 2])(x) for op in (operator, exact)
    )
    assert np.isfinite(by_pairs).all()
    assert np.abs(by_pairs - at_the_end).max() > 1e-3


def test_error_free_gradients_are_those_of_the_soft_swap_at_exact_scores():
    # Two wires, one comparator: the straight-through gradient is that of the soft swap.
    x = jnp.array([0.3, 0.1])
    soft, exact = (SortingNetwork(error_free=flag) for flag in (False, True))
    for way in ("sort", "permutation"):
        expected = jax.jacobian(getattr(soft, way))(x)
        np.testing.assert_allclose(jax.jacobian(getattr(exact, way))(x), expected, rtol=1e-5)


PUBLISHED = json.loads(
    (pathlib.Path(__file__).parent / "error_free_reference.json").read_text(encoding="utf-8")
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", PUBLISHED["cases"], ids=lambda c: f"{c['network']}_{c['distribution']}"
)
def test_error_free_swaps_are_those_of_their_authors(case):
    # Numbers that the authors' package gave; the file says which version and how.
    with jax.enable_x64(True):
        x = jnp.asarray(case["scores"])
        operator = SortingNetwork(
            case["network"], case["distribution"], case["temperature"], error_free=True
        )
        value_mix, weight_mix = jnp.asarray(case["value_mix"]), jnp.asarray(case["weight_mix"])
        by_values = jax.grad(lambda x: (operator.sort(x) * value_mix).sum())(x)
        by_weights = jax.grad(lambda x: (operator.permutation(x) * weight_mix).sum())(x)
        np.testing.assert_allclose(operator.sort(x), case["values"], atol=1e-12)
        np.testing.assert_allclose(operator.permutation(x), case["permutation"], atol=1e-12)
    # Theirs adds 1e-10 to differences.
    np.testing.assert_allclose(by_values, case["gradient_by_values"], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(by_weights, case["gradient_by_permutation"], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("art_lambda", [1, 0.5, jnp.array(0.9)])
def test_a_trick_that_is_not_used_has_no_strength(art_lambda):
    with pytest.raises(ValueError, match="art_lambda: received"):
        SortingNetwork(art_lambda=art_lambda)


def test_traced_hyperparameters_are_scalars():
    x = jnp.arange(4.0)
    with pytest.raises(ValueError, match="art_lambda: received shape"):
        jax.jit(lambda a: SortingNetwork("bitonic", "logistic_art", art_lambda=a).sort(x))(
            jnp.ones(4)
        )
