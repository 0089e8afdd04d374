# SPDX-License-Identifier: Apache-2.0
import jax
import numpy as np
import pytest

from arlsort.operators.softsort import SoftSort
from tests import references


def test_power_two_is_the_oracle():
    x = np.array([0.3, -1.2, 0.8, 0.1])
    with jax.enable_x64(True):
        weights = SoftSort(temperature=0.4, power=2).permutation(x)
    np.testing.assert_allclose(weights, references.softsort(x, 0.4, 2), rtol=0, atol=1e-12)


def test_squares_of_huge_scores_do_not_overflow():
    x = np.array([2e30, -1e30, 0.0], np.float32)
    np.testing.assert_array_equal(SoftSort(power=2).sort(x), np.sort(x))
    gradient = jax.grad(lambda s: SoftSort(power=2).sort(s)[0])(x)
    np.testing.assert_array_equal(gradient, [0.0, 1.0, 0.0])


def test_bad_power_is_named():
    with pytest.raises(ValueError, match="power: received 3, allowed: 1, 2"):
        SoftSort(power=3)
