# SPDX-License-Identifier: Apache-2.0
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators.lapsum import LapSum

# Made by the authors' code; the file says how.
REFERENCE = json.loads((pathlib.Path(__file__).parent / "lapsum_reference.json").read_text())


@jax.jit
def _weights_and_gradients(operator, x, mix):
    def loss(operator, x):
        weights = operator.permutation(x)
        return (weights * mix).sum(), weights

    return jax.grad(loss, argnums=(0, 1), has_aux=True)(operator, x)


@pytest.mark.slow
@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda c: f"n{len(c['scores'])}")
def test_weights_and_gradients_are_the_authors(case):
    with jax.enable_x64(True):
        operator = LapSum(temperature=case["temperature"])
        gradients, weights = _weights_and_gradients(
            operator, np.array(case["scores"]), np.array(case["mix"])
        )
    # Nine decimals are written down.
    np.testing.assert_allclose(weights, case["permutation"], rtol=0, atol=1e-8)
    got = (*gradients[1], gradients[0].temperature)
    expected = (*case["gradient_by_scores"], case["gradient_by_temperature"])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-8)


def _ways(operator, x, rows):
    return operator.sort(x), operator.rank(x), operator.sort_by(x, rows)


def _without_weights(operator, x, rows):
    return jnp.concatenate([part.ravel() for part in _ways(operator, x, rows)])


def _with_weights(operator, x, rows):
    weights = operator.permutation(x)
    parts = (weights @ x, jnp.arange(len(x)).astype(x.dtype) @ weights, (weights @ rows).ravel())
    return jnp.concatenate(parts)


@functools.partial(jax.jit, static_argnums=0)
def _run(function, operator, x, rows, mix):
    result, back = jax.vjp(function, operator, x, rows)
    return result, back(mix)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1e-3, 3.0])
def test_long_tied_rows_without_weights_are_those_with_weights_in_float64(temperature):
    n = 150
    generator = np.random.default_rng(0)
    # Fifty distinct scores, each thrice, far from zero.
    x = np.repeat(50.0 + generator.normal(size=n // 3), 3).astype(np.float32)
    rows, mix = generator.normal(size=(n, 2)), generator.normal(size=4 * n)
    rows, mix = rows.astype(np.float32), mix.astype(np.float32)
    operator = LapSum(temperature=temperature)
    got, gradients = _run(_without_weights, operator, x, rows, mix)
    with jax.enable_x64(True):
        wide = [a.astype(np.float64) for a in (x, rows, mix)]
        expected, exact = _run(_with_weights, operator, *wide)
    # float32, on values up to 50 and ranks up to 150.
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)
    for have, want in zip(jax.tree.leaves(gradients), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-3 * np.abs(want).max())


@pytest.mark.slow
def test_values_ranks_and_rows_never_form_weights():
    x, rows = jnp.linspace(0.0, 1.0, 64), jnp.ones((64, 2))

    def total(x, temperature, rows):
        return sum(part.sum() for part in _ways(LapSum(temperature=temperature), x, rows))

    jaxpr = jax.make_jaxpr(jax.grad(total, argnums=(0, 1, 2)))(x, 1.0, rows)
    assert "[64,64]" not in str(jaxpr) and "[65,64]" not in str(jaxpr)
    weights = jax.make_jaxpr(lambda x: LapSum().permutation(x))(x)
    assert "[64,64]" in str(weights)


@pytest.mark.slow
def test_the_offset_of_the_scores_does_not_matter():
    x = np.array([3.0, -1.0, 2.0, 2.0], np.float32)
    gradient = jax.grad(lambda x: LapSum().sort(x) @ jnp.arange(4.0))
    np.testing.assert_array_equal(LapSum().permutation(x + 1024), LapSum().permutation(x))
    np.testing.assert_array_equal(gradient(x + 1024), gradient(x))


def test_second_derivatives_are_finite_beside_far_clusters():
    x, operator = jnp.array([0.0, 100.0, 100.05]), LapSum(0.1)
    v = jnp.array([1.0, -2.0, 0.5])
    for function in (operator.sort, operator.rank):
        found = jax.grad(lambda x, f=function: jax.grad(lambda x: jnp.sin(f(x)).sum())(x) @ v)(x)
        forward = jax.jvp(jax.grad(lambda x, f=function: jnp.sin(f(x)).sum()), (x,), (v,))[1]
        np.testing.assert_allclose(found, forward, atol=1e-3)
