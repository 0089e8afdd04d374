# SPDX-License-Identifier: Apache-2.0
"""What JAX offers around a function holds for every operator: meshes, export, strict dtypes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import arlsort
from arlsort.operators import base, registry
from tests import eight_devices
from tests.conformance.conftest import RANDOM_SPECS, SPECS, VALUE_SPECS, build

ALL = [*SPECS, *VALUE_SPECS, *RANDOM_SPECS]
DTYPES = ["float32", *(pytest.param(d, marks=pytest.mark.slow) for d in ("bfloat16", "float64"))]


def _all(operator, x):
    found = [arlsort.sort(x, operator), arlsort.rank(x, operator), arlsort.median(x, operator)]
    if operator.has_permutation:
        found += [arlsort.permutation(x, operator), arlsort.argsort(x, operator)]
        found += [*arlsort.top_k(x, 2, operator), arlsort.sort_by(x, x[..., None], operator)]
        found += [arlsort.top_k_mask(x, 2, operator)]
    return found


def _gradient(operator, x):
    return jax.grad(lambda x: sum((part**2).sum() for part in _all(operator, x)))(x)


@pytest.mark.slow
@pytest.mark.parametrize("part", [*registry.names(), "likelihoods", "quadratic", "comparisons"])
def test_everything_runs_under_shard_map_and_on_explicit_meshes(part):
    seconds = str(eight_devices.SECONDS)
    assert eight_devices.run("-m", "tests.conformance.on_meshes", seconds, part) == ""


@pytest.mark.slow
@pytest.mark.parametrize("spec", ALL)
def test_the_batch_may_be_symbolic_when_exported(spec):
    operator = build(spec)
    (b,) = export.symbolic_shape("b")
    for n in (5,):
        scores = jax.ShapeDtypeStruct((b, n), jnp.float32)
        exported = export.export(jax.jit(lambda x: _all(operator, x)))(scores)
        assert [out.shape[0] for out in exported.out_avals] == [b] * len(exported.out_avals)
        export.export(jax.jit(lambda x: _gradient(operator, x)))(scores)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["softsort", "odd_even", "bitonic", "permutahedron", "lapsum"])
def test_long_lists_are_exported_with_any_batch_and_give_the_same(spec):
    operator, n = build(spec), 40
    (b,) = export.symbolic_shape("b")
    scores = jax.ShapeDtypeStruct((b, n), jnp.float32)
    exported = export.export(jax.jit(operator.rank))(scores)
    for lists in (1, 20):
        x = jnp.asarray(np.random.default_rng(lists).normal(size=(lists, n)), jnp.float32)
        np.testing.assert_allclose(exported.call(x), operator.rank(x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spec", ALL)
def test_dtypes_may_be_strict(spec, dtype):
    with jax.enable_x64(dtype == "float64"), jax.numpy_dtype_promotion("strict"):
        x = jax.ShapeDtypeStruct((2, 5), dtype)
        operator = build(spec)
        for part in jax.eval_shape(lambda x: _all(operator, x), x):
            assert part.dtype == dtype
        assert jax.eval_shape(lambda x: _gradient(operator, x), x).dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_likelihoods_may_be_strict(dtype):
    operator = arlsort.LearnedSort(noise="cauchy", normalize=False)
    with jax.enable_x64(dtype == "float64"), jax.numpy_dtype_promotion("strict"):
        x = jax.ShapeDtypeStruct((2, 5), dtype)
        order = jax.ShapeDtypeStruct((2, 5), jnp.int32)
        for likelihood in (operator.log_likelihood, arlsort.cauchy_log_likelihood):
            assert jax.eval_shape(likelihood, x, order, x).dtype == dtype


@pytest.mark.parametrize("spec", ALL)
def test_operators_are_equal_if_their_fields_are_and_then_have_one_hash(spec):
    operator = build(spec)
    assert operator == build(spec) and hash(operator) == hash(build(spec))
    assert operator != dataclasses.replace(arlsort.Hard()) or isinstance(operator, arlsort.Hard)
    assert operator != 3
    if any(field.name == "temperature" for field in dataclasses.fields(operator)):
        one, same, other, number = (
            dataclasses.replace(operator, temperature=t)
            for t in (jnp.float32(0.3), np.float32(0.3), jnp.float32(0.4), 0.3)
        )
        assert one == same and hash(one) == hash(same)
        assert one != other and one != number

        @jax.jit
        def traced(t):
            inner = dataclasses.replace(operator, temperature=t)
            assert inner == dataclasses.replace(operator, temperature=t) and inner != one
            with pytest.raises(TypeError, match="hash: received a traced temperature"):
                hash(inner)
            return t

        traced(0.3)
    if operator.needs_key:
        for make in (jax.random.key, jax.random.PRNGKey):
            first, again, second = (
                dataclasses.replace(operator, key=make(seed)) for seed in (1, 1, 2)
            )
            assert first == again and hash(first) == hash(again) and first != second


def test_operators_as_trees_of_anything_are_compared_without_an_error():
    labels = jax.tree.map(lambda _: "label", arlsort.SoftSort())
    assert labels == jax.tree.map(lambda _: "label", arlsort.SoftSort()) != arlsort.SoftSort()
    vectors = jax.tree.map(lambda _: jnp.arange(3.0), arlsort.SoftSort())
    assert vectors == jax.tree.map(lambda _: jnp.arange(3.0), arlsort.SoftSort())
    assert issubclass(arlsort.SoftSort, base.Operator)
