# SPDX-License-Identifier: Apache-2.0
import jax.numpy as jnp
import numpy as np

from arlsort.operators.neuralsort import NeuralSort

X = jnp.array([[0.3, -1.2, 0.8, 0.1], [0.5, 0.4, -0.7, 0.5]])


def test_a_distant_origin_costs_no_accuracy():
    near = NeuralSort().permutation(X)
    shifted = NeuralSort().permutation(X.astype(jnp.float32) + 1024.0)
    # 1024 + x is rounded to 2**-13 on the way in; nothing may be lost after that.
    np.testing.assert_allclose(near, shifted, atol=1e-3)
