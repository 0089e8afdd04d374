# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
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


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "error"), [("bfloat16", 2e-2), ("float32", 1e-5)])
def test_long_lists_are_the_formula_too(dtype, error):
    n, temperature = 150, 0.3  # values without P, and P with known sums
    x = np.random.default_rng(3).normal(size=(2, n)).round(1).astype(dtype)  # with ties
    operator, exact = SoftSort(temperature=temperature), x.astype(np.float64)
    logits = -np.abs(np.sort(exact)[:, :, None] - exact[:, None]) / temperature
    weights = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    values = (weights * exact[:, None]).sum(axis=-1)
    np.testing.assert_allclose(operator.sort(jnp.asarray(x)).astype("float32"), values, atol=error)
    found = operator.permutation(jnp.asarray(x)).astype("float32")
    np.testing.assert_allclose(found, weights, atol=error)
    _, top = operator.top_k(jnp.asarray(x), 3)
    np.testing.assert_allclose(top.astype("float32"), weights[:, :-4:-1], atol=error)
    # Drawn orders: one draw is the sort of its noisy scores.
    key = jax.random.key(0)
    drawn = SoftSort(temperature=temperature, stochastic=True, key=key)
    noise = jax.random.gumbel(key, (1, 2, n), "float32")
    if dtype == "float32":
        weights = operator.permutation(jnp.asarray(x) + noise[0])
        wanted = (weights @ x[..., None])[..., 0]
        np.testing.assert_allclose(drawn.sort(jnp.asarray(x)), wanted, atol=error)
