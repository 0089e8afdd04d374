# SPDX-License-Identifier: Apache-2.0
"""Isotonic regression against sequential pool-adjacent-violators, and its cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.numerics import isotonic


def _pav(y):
    """Means of y over blocks, pooled one after the other."""
    blocks = []
    for value in np.asarray(y, np.float64):
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1] = blocks[-1][0] + total, blocks[-1][1] + count
    return np.concatenate([np.full(count, total / count) for total, count in blocks])


@pytest.mark.slow
def test_easy_and_hard_lists_are_solved_exactly():
    n = 100
    k, noise = np.arange(n), np.random.default_rng(0).normal(size=(6, n))
    lists = [
        *noise[:3],
        *(noise[3:] + np.array([[0.03], [0.3], [-1.0]]) * k),
        np.cumsum(noise[0]),
        np.round(noise[1]),  # ties
        np.zeros(n),
        1.0 * k,
        -1.0 * k,
        np.sqrt(k)[::-1],  # each step is smaller than the one before: a cascade for sequential PAV
        -1.0 * k**2,
        np.r_[k[1:], -(float(n) ** 2)],  # the last element pools everything, one after the other
        np.r_[float(n) ** 2, k[1:]],
    ]
    with jax.enable_x64(True):
        solved = isotonic.isotonic_l2(jnp.asarray(lists))
    for y, v in zip(lists, solved, strict=True):
        np.testing.assert_allclose(v, _pav(y), rtol=1e-12, atol=1e-10)


@pytest.mark.slow
def test_a_hundred_thousand_in_float32():
    n = 100_000
    generator = np.random.default_rng(1)
    y = (generator.normal(size=n) * 30 + np.arange(n) * 0.01).astype(np.float32)
    v = np.asarray(jax.jit(isotonic.isotonic_l2)(y))
    assert (np.diff(v) >= -1e-4).all()
    # A few roundings of the largest number in a sum, 1e3.
    np.testing.assert_allclose(v, _pav(y), rtol=0, atol=1e-3)


def _sizes(jaxpr):
    for equation in jaxpr.eqns:
        yield from (np.prod(v.aval.shape) for v in equation.outvars)
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _sizes(inner)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["l2", "entropic"])
def test_no_array_is_larger_than_a_few_lists(kind):
    n = 1000
    y = jnp.linspace(0.0, 1.0, n)
    solve = isotonic.isotonic_l2 if kind == "l2" else lambda y: isotonic.isotonic_entropic(y, 2 * y)
    traced = jax.make_jaxpr(jax.grad(lambda y: solve(y).sum()))(y)
    assert n <= max(_sizes(traced.jaxpr)) <= 4 * n
