# SPDX-License-Identifier: Apache-2.0
"""The permutahedron operator has the values and gradients of softjax's."""

import jax
import numpy as np
import pytest

from arlsort.operators.permutahedron import Permutahedron

pytestmark = pytest.mark.peers
softjax = pytest.importorskip("softjax")

MODES = {"l2": "c0", "entropic": "smooth"}


def _theirs(x, temperature, regularization):
    """Its positions are i / (n - 1): its softness is the temperature, divided by n - 1.

    Its positions shifted or not, the projection onto the permutahedron is the same.
    """
    options = {"mode": MODES[regularization], "method": "fast_soft_sort", "standardize": False}
    with jax.numpy_rank_promotion("allow"):
        return softjax.sort(x, axis=-1, softness=temperature / (x.shape[-1] - 1), **options)


@pytest.mark.parametrize("regularization", MODES)
@pytest.mark.parametrize("temperature", [0.3, 3.0])
def test_values_and_gradients_are_softjaxs(regularization, temperature):
    generator = np.random.default_rng(5)
    x, mix = generator.normal(size=(2, 3, 9))
    with jax.enable_x64(True):
        operator = Permutahedron(temperature, regularization)

        def ours(x):
            values = operator.sort(x)
            return (values * mix).sum(), values

        def theirs(x):
            values = _theirs(x, temperature, regularization)
            return (values * mix).sum(), values

        for have, wanted in zip(
            jax.tree.leaves(jax.value_and_grad(ours, has_aux=True)(x)),
            jax.tree.leaves(jax.value_and_grad(theirs, has_aux=True)(x)),
            strict=True,
        ):
            np.testing.assert_allclose(have, wanted, rtol=0, atol=1e-8)
