# SPDX-License-Identifier: Apache-2.0
"""AlgoVision's programs run with the import changed, and give what the package gives."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.programs import algorithms
from arlsort.programs import algovision as v
from tests.programs import algovision_programs as written

REFERENCE = json.loads(pathlib.Path(__file__).with_name("algovision_reference.json").read_text())
CASES = REFERENCE["cases"]
# Double precision through some hundreds of operations; its authors' promise was 1e-6 and 1e-5.
RTOL, ATOL = 1e-9, 1e-11


class Jnp:
    """What the programs need beside the vocabulary."""

    array, full, relu, stack = (
        jnp.array,
        jnp.full,
        jax.nn.relu,
        functools.partial(jnp.stack, axis=-1),
    )

    @staticmethod
    def softmin(values):
        return jax.nn.softmax(-values, axis=-1)

    @staticmethod
    def pad(values, constant):
        return jnp.pad(values, ((0, 0), (1, 1), (1, 1)), constant_values=constant)

    @staticmethod
    def edges(m, n):
        return jnp.zeros((m, n)).at[:, 0].set(jnp.arange(m)).at[0, :].set(jnp.arange(n))


def _name(case):
    shapes = "x".join(str(np.shape(one)[1:]) for one in case["inputs"])
    return f"{case['program']}-{shapes}-{case['options']}"


@functools.cache
def _program(name, options):
    """Outputs and gradients of a program at any beta, compiled once for each shape."""

    def function(inputs, beta):
        return written.PROGRAMS[name](v, Jnp, beta, **dict(options))(*inputs)

    return _differentiated(function)


def _differentiated(function):
    def total(inputs, beta):
        outputs, weights = written.outputs_and_weights(function(inputs, beta))
        pairs = zip(outputs, weights, strict=True)
        return sum((one * weight).sum() for one, weight in pairs), outputs

    return jax.jit(jax.grad(total, has_aux=True))


def _check(function, inputs, beta, case):
    with jax.enable_x64(True):
        arrays = [jnp.asarray(one) for one in inputs]
        gradients, outputs = function(arrays, jnp.asarray(float(beta)))
    for got, expected in zip(outputs, case["outputs"], strict=True):
        np.testing.assert_allclose(got, np.reshape(expected, got.shape), rtol=RTOL, atol=ATOL)
    for got, expected in zip(gradients, case["gradients"], strict=True):
        np.testing.assert_allclose(got, np.reshape(expected, got.shape), rtol=RTOL, atol=ATOL)


def _marked(case):
    zero = case["options"].get("epsilon") == 0
    long = case["program"] == "bubble_sort" and len(case["inputs"][0][0]) > (3 if zero else 5)
    joined = case["options"].get("tconorm", "hamacher") != "hamacher"
    return pytest.param(case, marks=[pytest.mark.slow] * (long or joined), id=_name(case))


@pytest.mark.parametrize("case", [_marked(case) for case in CASES])
def test_programs_give_what_the_package_gives(case):
    options = {**case["options"]}
    beta = options.pop("beta")
    with jax.enable_x64(True):
        function = _program(case["program"], tuple(options.items()))
    _check(function, case["inputs"], beta, case)


@functools.cache
def _shipped(name):
    def function(inputs, beta):
        rows, options = [one[0] for one in inputs], {"temperature": 1 / beta}
        if name == "levenshtein":
            return algorithms.levenshtein(*rows, **options)
        values, swaps = algorithms.bubble_sort(*rows, **options)
        return values, algorithms.bubble_sort(*rows, **options, count="any")[1], swaps

    return _differentiated(function)


SHIPPED = [
    case
    for case in CASES
    if case["options"].get("epsilon") == 0 and case["program"] in ("bubble_sort", "levenshtein")
]


@pytest.mark.parametrize("case", [_marked(case) for case in SHIPPED])
def test_algorithms_give_what_the_package_gives(case):
    with jax.enable_x64(True):
        function = _shipped(case["program"])
    _check(function, case["inputs"], case["options"]["beta"], case)


def test_ties_cost_half_a_swap():
    (case,) = [case for case in CASES if case["inputs"] == [[[1.0, 1.0, 1.0]]]]
    _, swaps = algorithms.bubble_sort(jnp.ones(3), temperature=1 / case["options"]["beta"])
    assert swaps == case["outputs"][2][0] == 1.375
