# SPDX-License-Identifier: Apache-2.0
"""The sorting networks are those of diffsort (PyTorch), transposed to our convention."""

import jax
import numpy as np
import pytest

from arlsort.networks.swaps import DISTRIBUTIONS
from arlsort.operators.sorting_network import SortingNetwork

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")
diffsort = pytest.importorskip("diffsort")

THEIR_NAME = {"logistic_art": "logistic_phi"}


def _both(network, distribution, n, steepness, dtype):
    """Values, permutation and gradient of a weighted sum of both: theirs, then ours."""
    generator = np.random.default_rng(n)
    x = generator.normal(size=(3, n)).astype(dtype)
    value_mix = generator.normal(size=(3, n)).astype(dtype)
    weight_mix = generator.normal(size=(3, n, n)).astype(dtype)

    scores = torch.tensor(x, requires_grad=True)
    sorter = diffsort.DiffSortNet(
        network, n, steepness=steepness, distribution=THEIR_NAME.get(distribution, distribution)
    )
    values, weights = sorter(scores)
    weights = weights.transpose(1, 2)
    loss = (values * torch.tensor(value_mix)).sum() + (weights * torch.tensor(weight_mix)).sum()
    loss.backward()
    theirs = [values.detach().numpy(), weights.detach().numpy(), scores.grad.numpy()]

    operator = SortingNetwork(network, distribution, temperature=1.0 / steepness)

    @jax.jit
    def function(scores):
        def loss(scores):
            values, weights = operator.sort(scores), operator.permutation(scores)
            return (values * value_mix).sum() + (weights * weight_mix).sum(), (values, weights)

        gradient, parts = jax.grad(loss, has_aux=True)(scores)
        return [*parts, gradient]

    return theirs, [np.asarray(part) for part in function(x)]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("network", ["odd_even", "bitonic"])
@pytest.mark.parametrize("n", [2, 5, 8, 11])
def test_values_permutation_and_gradient_are_diffsorts(network, distribution, n):
    # diffsort follows the dtype of its input, so the algorithms can be compared beyond rounding.
    with jax.enable_x64(True):
        theirs, ours = _both(network, distribution, n, 10.0, np.float64)
    deviation = [float(np.abs(a - b).max()) for a, b in zip(theirs, ours, strict=True)]
    print(f"{network} {distribution} n={n}: {deviation}")
    # Rounding, and two things of theirs: 1e-10 added to differences, the Gaussian in float32.
    assert max(deviation) < (1e-5 if distribution == "gaussian" else 1e-8)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_values_and_permutation_are_diffsorts_in_float32(distribution):
    theirs, ours = _both("odd_even", distribution, 5, 10.0, np.float32)
    for a, b in zip(theirs[:2], ours[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    # Gradients are of order 10 to 100 here; relative to that, the same.
    np.testing.assert_allclose(theirs[2], ours[2], rtol=1e-4, atol=1e-4)
