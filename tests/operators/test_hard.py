# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators.hard import Hard


def test_values_are_jnp_sort_to_the_bit_infinities_included():
    x = jnp.array([[jnp.inf, 1.0, -jnp.inf, 3e38], [0.0, -1e-37, 2.0, 2.0]])
    np.testing.assert_array_equal(Hard().sort(x), jnp.sort(x))


def test_ties_keep_their_order():
    np.testing.assert_array_equal(
        Hard().permutation(jnp.array([1.0, 0.0, 1.0])).argmax(-1), [1, 0, 2]
    )


def test_the_gradient_of_the_values_is_the_permutation():
    x = jnp.array([0.3, -1.0, 2.0, 0.1])
    np.testing.assert_array_equal(jax.jacobian(Hard().sort)(x), Hard().permutation(x))
    assert not jax.jacobian(Hard().permutation)(x).any()


def test_hard_false_is_refused():
    with pytest.raises(ValueError, match="hard: received False, allowed: True"):
        Hard(hard=False)
