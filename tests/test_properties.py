# SPDX-License-Identifier: Apache-2.0
"""What holds for all scores whatever, of every registered operator."""

import hypothesis
import hypothesis.extra.numpy
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from arlsort.operators import parse, registry
from arlsort.soft_permutation import is_doubly_stochastic, is_row_stochastic

N = 5

NAMES = [n for n in registry.names() if not registry.get(n).needs_key]
WITH_WEIGHTS = [n for n in NAMES if registry.get(n).has_permutation]

any_float = st.floats(width=32, allow_nan=False, allow_subnormal=False)
scores = hypothesis.extra.numpy.arrays(np.float32, (N,), elements=any_float)

# Five roundings of float32 and some slack.
ATOL = 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_WEIGHTS)
@hypothesis.given(x=scores)
def test_weights_are_stochastic_and_values_within_the_range(name, x):
    operator = registry.get(name)
    values, weights = operator(x)
    assert is_row_stochastic(weights, ATOL)
    if type(operator).doubly_stochastic:
        assert is_doubly_stochastic(weights, ATOL)
    slack = 0.0
    if not operator.hard:
        bound = np.finfo(np.float32).max / 2**16  # what an infinity counts as
        x = np.clip(x, -bound, bound)
        # A fifth of a score near the smallest float is taken for zero.
        slack = ATOL * np.abs(x).max() + N * np.finfo(np.float32).tiny
    assert (x.min() - slack <= values).all()
    assert (values <= x.max() + slack).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@hypothesis.given(x=scores)
def test_straight_through_is_the_exact_sort(name, x):
    np.testing.assert_array_equal(parse(f"{name}:hard=true").sort(x), jnp.sort(x))
