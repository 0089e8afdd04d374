# SPDX-License-Identifier: Apache-2.0
"""Scores far away do to the others what the formula says, in float32 what they do in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from tests import references
from tests.conformance.conftest import RANDOM_SPECS, SPECS, VALUE_SPECS, build, heat, mixing

TEMPERATURE = 0.05
OTHERS = np.array([0.3, -1.2, 2.0, 0.7, 0.66, -1.16])
N = 11
FAR = 1e7  # where double precision still has ten digits of the others, and swaps are at their limit
INF, LOWEST = np.inf, float(np.finfo(np.float32).min)
# What is below the others and what is above; the rest of the list is below.
PADS = [
    ([-1e9] * 5, []),
    ([-INF] * 5, []),
    ([LOWEST] * 4, [INF]),
    ([-1e9], [1e9] * 4),
    ([], [-LOWEST] * 5),
    ([-INF, -1e9], [1e9, 1e9, INF]),
    ([-1e9, -1e9], [1e5, 1e5, 1e5]),
]

SHARED = [s for s in SPECS + VALUE_SPECS if not build(s).scale_free and not build(s).exact_forward]


def _lists(bound: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists, which of their scores are no padding, and at which positions these belong."""
    lists, others, positions = [], [], []
    for row, (low, high) in enumerate(PADS):
        order = np.random.default_rng(row).permutation(N)
        lists.append(np.concatenate([low, OTHERS, high])[order])
        others.append(np.isin(order, len(low) + np.arange(len(OTHERS))))
        positions.append(np.isin(np.arange(N), len(low) + np.arange(len(OTHERS))))
    return np.clip(np.stack(lists), -bound, bound), np.stack(others), np.stack(positions)


@jax.jit
def _all(operator, x, others, positions):
    """Ranks and values, and the gradient of both by the scores, of what is no padding."""
    mix = mixing(x.shape).astype(x.dtype)

    def total(x):
        ranks, values = operator.rank(x), operator.sort(x)
        kept = jnp.where(others, ranks, 0.0), jnp.where(positions, values, 0.0)
        if not operator.has_permutation:  # the unit of its values is another
            kept = kept[0], jnp.zeros_like(values)
        return sum((part * mix).sum() for part in kept), kept

    gradient, kept = jax.grad(total, has_aux=True)(x)
    return *kept, jnp.where(others, gradient, 0.0)


@pytest.mark.parametrize("spec", SHARED)
def test_the_others_are_what_they_are_in_double_precision(spec):
    operator = heat(build(spec), TEMPERATURE)
    x, others, positions = _lists(np.inf)
    got = _all(operator, jnp.asarray(x, jnp.float32), others, positions)
    with jax.enable_x64(True):
        expected = _all(operator, jnp.asarray(_lists(FAR)[0]), others, positions)
    for have, want in zip(got, expected, strict=True):
        want = np.asarray(want)
        np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-3 * max(1, np.abs(want).max()))


# Of entropic ranks the definition asks for more: they depend on how many are below.
@pytest.mark.parametrize(
    "spec", [s for s in SHARED if build(s).equivariant and "entropic" not in s]
)
def test_ranks_of_the_others_are_those_without_padding(spec):
    operator = heat(build(spec), TEMPERATURE)
    x, others, _ = _lists(np.inf)
    for dtype, atol in ((jnp.float32, 1e-3), (jnp.bfloat16, 0.05)):
        alone = jnp.asarray(OTHERS, dtype).astype(jnp.float32)
        alone = np.sort(np.asarray(operator.rank(alone)))
        ranks = np.asarray(operator.rank(jnp.asarray(x, dtype)), np.float32)
        for row, (low, _) in enumerate(PADS):
            have = np.sort(ranks[row][others[row]]) - len(low)
            np.testing.assert_allclose(have, alone, atol=atol)


@pytest.mark.parametrize("spec", RANDOM_SPECS)
def test_noise_does_not_know_how_far_the_padding_is(spec):
    operator = build(spec)
    if operator.scale_free:
        return
    operator = heat(operator, TEMPERATURE)
    infinite, others, positions = _lists(np.inf)
    far = jnp.asarray(infinite, jnp.float32)
    near = jnp.clip(far, -1e4, 1e4)
    for way, own in ((operator.rank, others), (operator.sort, positions)):
        np.testing.assert_allclose(
            np.where(own, way(far), 0.0), np.where(own, way(near), 0.0), atol=5e-3
        )


@pytest.mark.slow
@pytest.mark.parametrize("network", ["odd_even", "bitonic", "odd_even_merge"])
@pytest.mark.parametrize("distribution", ["reciprocal", "optimal", "gaussian"])
def test_every_swap_distribution_keeps_the_others(network, distribution):
    operator = arlsort.SortingNetwork(network, distribution, temperature=TEMPERATURE)
    x, _, positions = _lists(np.inf)
    got = operator.sort(jnp.asarray(x, jnp.float32))
    with jax.enable_x64(True):
        expected = np.asarray(operator.sort(jnp.asarray(_lists(FAR)[0])))
    np.testing.assert_allclose(
        np.where(positions, got, 0.0), np.where(positions, expected, 0.0), atol=1e-3
    )


def test_cauchy_swaps_with_padding_are_the_oracle():
    x, others, positions = _lists(FAR)
    for name in ("odd_even", "bitonic", "odd_even_merge"):
        operator = dataclasses.replace(build(name), temperature=TEMPERATURE)
        ranks = np.asarray(operator.rank(jnp.asarray(x, jnp.float32)))
        values = np.asarray(operator.sort(jnp.asarray(x, jnp.float32)))
        for row, scores in enumerate(x):
            weights = references.ORACLES[name](scores, temperature=TEMPERATURE)
            expected = np.arange(N) @ weights
            np.testing.assert_allclose(ranks[row][others[row]], expected[others[row]], atol=1e-3)
            own = positions[row]
            np.testing.assert_allclose(values[row][own], (weights @ scores)[own], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["odd_even", "bitonic", "odd_even_merge"])
def test_values_beside_weights_are_as_exact_as_without(name):
    operator = heat(build(name), TEMPERATURE)
    x = jnp.asarray(np.concatenate([OTHERS, np.full(30, INF)]), jnp.float32)
    expected = arlsort.sort(x, operator)[: len(OTHERS)]
    np.testing.assert_allclose(operator(x).values[: len(OTHERS)], expected, atol=1e-5)
    values, _ = arlsort.top_k(x, len(x), operator)
    np.testing.assert_allclose(values[-len(OTHERS) :][::-1], expected, atol=1e-5)


def test_the_report():
    x = jnp.array([0.3, -1e9, -1.2, 2.0, -1e9, 0.7])
    ranks = arlsort.rank(x, arlsort.NeuralSort(temperature=0.05))
    np.testing.assert_allclose(ranks, [3, 0.5, 2, 5, 0.5, 4], atol=1e-3)
    for name in ("odd_even", "bitonic", "odd_even_merge"):
        ranks = arlsort.rank(x, name)
        assert ranks[5] < ranks[3]
    entropic = arlsort.Permutahedron(regularization="entropic")
    x = jnp.array([-jnp.inf, 0.3, -1.2, 2.0, 0.7])
    cold = dataclasses.replace(entropic, temperature=0.05)
    np.testing.assert_allclose(arlsort.rank(x, cold), [0, 2, 1, 4, 3], atol=1e-5)
