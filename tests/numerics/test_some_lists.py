# SPDX-License-Identifier: Apache-2.0
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.numerics import pooling, some_lists


@pytest.mark.parametrize("at_once", [None, 1, 10, 100])
def test_only_lists_in_need_are_changed(at_once):
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    offset = np.arange(12, dtype=np.float32).reshape(3, 4)
    needed = np.random.default_rng(1).random((3, 4)) < 0.5
    assert 0 < needed.sum() < 12
    got = some_lists.apply(
        lambda x, offset, _: {"sum": jnp.cumsum(x, axis=-1) + offset[..., None]},
        (jnp.asarray(x), jnp.asarray(offset), None),
        jnp.asarray(needed),
        {"sum": jnp.asarray(x)},
        at_once,
    )
    changed = np.cumsum(x, axis=-1) + offset[..., None]
    # All of them may be computed if one needs it: so what is known is what they would be.
    expected = changed if at_once in (None, 100) else np.where(needed[..., None], changed, x)
    there = needed if at_once == 10 else np.ones_like(needed)  # a last turn may have one more list
    np.testing.assert_allclose(got["sum"][there], expected[there], rtol=1e-6)


def test_pooling_some_lists_at_a_time_pools_the_same(monkeypatch):
    y = np.sort(np.random.default_rng(2).normal(size=(7, 20)), axis=-1).astype(np.float32)
    y[[1, 2, 5], 6:9] -= 2.0
    whole = pooling.blocks_l2(jnp.asarray(y))
    monkeypatch.setattr(pooling, "_RARE", 40)  # two lists
    for a, b in zip(pooling.blocks_l2(jnp.asarray(y), rare=True), whole, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (np.asarray(whole.start) != np.arange(20)).any(axis=-1).tolist() == [
        *(False, True, True, False, False, True, False),
    ]
