# SPDX-License-Identifier: Apache-2.0
"""What the registry says of a method for those who choose is true of its defaults."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators import registry

N = 5
ROUNDING = 1e-5  # of float32, relative to the spread of the scores
FALLS = -1e-3  # a derivative that is negative beyond rounding


def _layers(n):
    stages = (n - 1).bit_length()
    return stages * (stages + 1) / 2


def _largest_gap(t, s):
    """What is left of the gap of two scores when 1 / t has been allowed for each step between."""
    n = s.shape[-1]
    steps = jnp.arange(n)[None, :] - jnp.arange(n)[:, None]
    beyond = s[:, None, :] - s[:, :, None] - steps[None] / t
    return jnp.where(steps[None] > 0, beyond, 0.0).max(axis=(-2, -1))


# Bounds of the error by how they are written: of the temperature t and ascending scores s.
BOUNDS = {
    "0": lambda t, s: 0.0,
    "t log n": lambda t, s: t * math.log(s.shape[-1]),
    "n t / π": lambda t, s: s.shape[-1] * t / math.pi,
    "k (k + 1) t / 2π, 2^k >= n": lambda t, s: _layers(s.shape[-1]) * t / math.pi,
    "s_j - s_i - (j - i) / t, i <= j": _largest_gap,
}

STATED = {name: entry.facts for name, entry in registry.REGISTRY.items()}


def build(name):
    operator = registry.get(name)
    key = jax.random.key(0)
    return dataclasses.replace(operator, key=key) if operator.needs_key else operator


def lists(n=N):
    """Random scores, from all within a temperature to far apart."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(3, 40, n)) * np.array([0.1, 1.0, 10.0])[:, None, None]
    return jnp.asarray(x.reshape(-1, n), jnp.float32)


@pytest.mark.parametrize("name", STATED)
def test_facts_are_complete(name):
    facts = STATED[name]
    assert facts is not None
    parts = 2 if build(name).has_permutation else 1
    assert len(facts.time) == len(facts.memory) == parts
    assert facts.temperature and facts.choose_when


@pytest.mark.slow
@pytest.mark.parametrize("name", [k for k, facts in STATED.items() if facts.monotone is not None])
def test_monotone_means_that_no_derivative_of_the_values_is_negative(name):
    operator = build(name)
    lowest = float(jax.jit(jax.vmap(jax.jacobian(operator.sort)))(lists()).min())
    if STATED[name].monotone:
        assert lowest >= -ROUNDING
    else:
        assert lowest < FALLS


@pytest.mark.parametrize("name", [k for k, facts in STATED.items() if facts.error])
def test_errors_are_within_the_bound(name):
    operator, x = build(name), lists()
    ascending = jnp.sort(x, axis=-1)
    bound = BOUNDS[STATED[name].error](getattr(operator, "temperature", 0.0), ascending)
    error = jnp.abs(operator.sort(x) - ascending).max(axis=-1)
    spread = ascending[:, -1] - ascending[:, 0]
    assert bool((error <= bound + ROUNDING * spread).all()), (error - bound).max()


def test_units_of_growth_are_written_alike():
    for facts in STATED.values():
        for growth in (*facts.time, *facts.memory):
            written = r"(s )?n(\^\d(\.5)?)?( log n| log\(n\)\^2)?( for each step of the solver)?"
            assert re.fullmatch(written, growth), growth
