# SPDX-License-Identifier: Apache-2.0
"""Sinkhorn sort and rank are those of ott-jax, at the same temperature, squashing and grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators.sinkhorn import Sinkhorn

pytestmark = pytest.mark.peers
soft_sort = pytest.importorskip("ott.tools.soft_sort")

X = np.random.default_rng(5).normal(size=(3, 16))


def _range(x):
    return (x - x.min()) / (x.max() - x.min())


@pytest.mark.parametrize("how", ["logistic", "range"])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_values_and_ranks_are_otts(temperature, how):
    # Theirs is asked for all the precision there is: by default it stops at 1e-3.
    options = {"epsilon": temperature, "threshold": 1e-10, "max_iterations": 20_000}
    if how == "range":
        options["squashing_fun"] = _range
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        x = jnp.asarray(X)
        operator = Sinkhorn(temperature=temperature, squash=how)
        values, ranks = operator.sort(x), operator.rank(x)
        theirs = soft_sort.sort(x, axis=-1, **options), soft_sort.ranks(x, axis=-1, **options)
    for name, ours, other in zip(("values", "ranks"), (values, ranks), theirs, strict=True):
        deviation = float(np.abs(ours - other).max())
        print(f"{name} {how} temperature={temperature}: {deviation}")
        assert deviation < 1e-5
