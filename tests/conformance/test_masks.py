# SPDX-License-Identifier: Apache-2.0
"""With a mask the result is that of the shorter list, whatever stands in the masked places.

Lists of the shared shape with three items each, in places of their own, are compared with lists of
three. One list keeps all of its items.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from arlsort import operators
from arlsort.operators.hooks import Hooks
from tests.conformance.conftest import (
    KEY,
    RANDOM_SPECS,
    SPECS,
    VALUE_SPECS,
    N,
    build,
    mixing,
    scores,
    traced_once,
)

ITEMS = 3
WHERE = np.array([[1, 0, 1, 0, 1], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1]], bool)
JUNK = np.array([[0, np.nan, 0, np.inf, 0], [-np.inf, 0, 0, 0, 1e30], [0, 0, 0, 0, 0]])
# Of two sums in another order; of Sinkhorn, what its solver leaves.
ATOL = 1e-6


def _everything(operator, x, where=None):
    """What an operator gives with a mask; ascending but for the weights."""
    found = {
        "sort": arlsort.sort(x, operator, where=where),
        "rank": arlsort.rank(x, operator, where=where),
        "top_k_mask": arlsort.top_k_mask(x, 2, operator, where=where),
    }
    if operator.has_permutation:
        weights = arlsort.permutation(x, operator, descending=True, where=where)
        found["permutation"] = weights
    return found


everything = jax.jit(_everything)


def _cut(name, part):
    """What is of the items of the first two lists, as the shorter lists have it."""
    if name == "sort":
        return part[:2, :ITEMS]
    own = np.stack([np.flatnonzero(row) for row in WHERE[:2]])
    if name == "permutation":
        return jnp.take_along_axis(part[:2, :ITEMS], own[:, None], axis=-1)
    return jnp.take_along_axis(part[:2], own, axis=-1)


def _has_every_length(operator):
    """Whether it is computed at every length, which takes long to compile."""
    return type(operator)._masked_permutation is Hooks._masked_permutation


@jax.jit
def gradient(operator, x, where=None):
    def total(x):
        if operator.has_permutation and _has_every_length(operator):
            parts = {"sort": arlsort.sort(x, operator, where=where)}  # all is from the same P's
        else:
            parts = _everything(operator, x, where)
        if where is not None:  # of the same items as in the shorter list, the same numbers
            parts = {name: _cut(name, part) for name, part in parts.items()}
        return sum((part * mixing(part.shape)).sum() for part in parts.values())

    return jax.grad(total)(x)


def masked():
    """Scores of the shared shape, with what may stand in masked places."""
    return jnp.where(WHERE, scores(), jnp.asarray(JUNK, jnp.float32))


def shorter():
    """The items of the first two lists."""
    return jnp.asarray(np.asarray(scores())[:2][WHERE[:2]].reshape(2, ITEMS))


@pytest.fixture(params=SPECS + VALUE_SPECS)
def spec(request) -> str:
    return request.param


def test_items_have_what_they_have_in_the_shorter_list(operator):
    got = jax.device_get(everything(operator, masked(), jnp.asarray(WHERE)))
    want = jax.device_get(everything(operator, shorter()))
    for row in range(2):
        own = WHERE[row]
        np.testing.assert_allclose(got["sort"][row, :ITEMS], want["sort"][row], atol=ATOL)
        np.testing.assert_allclose(got["rank"][row, own], want["rank"][row], atol=ATOL)
        np.testing.assert_allclose(got["top_k_mask"][row, own], want["top_k_mask"][row], atol=ATOL)
        np.testing.assert_array_equal(got["sort"][row, ITEMS:], [0, 0])
        np.testing.assert_array_equal(got["rank"][row, ~own], [3, 4])
        np.testing.assert_array_equal(got["top_k_mask"][row, ~own], [0, 0])
        if "permutation" in got:
            weights = got["permutation"][row]
            np.testing.assert_allclose(weights[:ITEMS][:, own], want["permutation"][row], atol=ATOL)
            assert not weights[ITEMS:].any() and not weights[:, ~own].any()
    np.testing.assert_allclose(got["sort"][2], operator.sort(scores())[2], atol=ATOL)
    np.testing.assert_allclose(got["rank"][2], operator.rank(scores())[2], atol=ATOL)


def test_masks_of_the_k_largest_sum_to_k(operator):
    for found in (
        everything(operator, masked(), jnp.asarray(WHERE))["top_k_mask"],
        everything(operator, shorter())["top_k_mask"],
    ):
        np.testing.assert_allclose(found.sum(axis=-1), 2.0, atol=1e-5)
        assert (found >= 0).all() and (found <= 1).all()


def test_masked_items_get_no_gradient(operator):
    got = np.asarray(gradient(operator, masked(), jnp.asarray(WHERE)))
    want = np.asarray(gradient(operator, shorter()))
    assert not got[~WHERE].any() and not got[2].any()
    # The others have that of the shorter list.
    np.testing.assert_allclose(got[:2][WHERE[:2]].reshape(2, ITEMS), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("neuralsort", 40),  # from 32 on distances are sums along the list
        pytest.param("softsort", 140, marks=pytest.mark.slow),
        pytest.param("lapsum", 140, marks=pytest.mark.slow),
    ],
)
def test_items_of_long_lists_have_the_gradient_of_the_shorter(name, n):
    operator = operators.parse(f"{name}:temperature=0.3")
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, n)), jnp.float32)
    counts = np.array([n - 1, n // 2])
    where = jnp.asarray(np.arange(n) < counts[:, None])

    @jax.jit
    def slope(x, where):
        def loss(x):
            weights = arlsort.permutation(x, operator, where=where)
            held = where[:, :, None] & where[:, None, :]
            return (jnp.where(held, weights, 0.0) ** 2 @ jnp.arange(float(n))).sum()

        return jax.grad(loss)(x)

    got = slope(x, where)
    assert not got[~where].any()
    for row, count in enumerate(counts):

        def loss(part, count=count):
            return (arlsort.permutation(part, operator) ** 2 @ jnp.arange(float(count))).sum()

        want = jax.grad(loss)(x[row, :count])
        np.testing.assert_allclose(
            got[row, :count], want, rtol=1e-3, atol=1e-4 * np.abs(want).max()
        )


@pytest.mark.slow
def test_every_result_is_that_of_the_shorter_list(operator):
    if not operator.has_permutation:
        pytest.skip("it has values only")
    x, where, short = masked(), jnp.asarray(WHERE), shorter()
    values, weights = arlsort.top_k(x, 2, operator, where=where)
    some_values, some_weights = arlsort.top_k(short, 2, operator)
    rows = mixing((*x.shape, 2)).at[0, 1].set(jnp.nan)
    few = jnp.asarray(np.asarray(rows)[:2][WHERE[:2]].reshape(2, ITEMS, 2))
    mixed = arlsort.sort_by(x, rows, operator, where=where)
    some = arlsort.sort_by(short, few, operator)
    index = arlsort.argsort(x, operator, descending=True, where=where)
    whole = arlsort.permutation(x, operator, descending=True, where=where)
    np.testing.assert_allclose(index, whole @ np.arange(5.0), atol=1e-5)
    median = arlsort.median(x, operator, where=where)
    np.testing.assert_allclose(median[:2], arlsort.median(short, operator), atol=ATOL)
    for row in range(2):
        own = WHERE[row]
        np.testing.assert_allclose(values[row], some_values[row], atol=ATOL)
        np.testing.assert_allclose(weights[row][:, own], some_weights[row], atol=ATOL)
        np.testing.assert_allclose(mixed[row, :ITEMS], some[row], atol=ATOL)
        assert not np.asarray(mixed[row, ITEMS:]).any()


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_items_or_none(operator, count):
    where = jnp.broadcast_to(jnp.arange(N) < count, (3, N))
    x = jnp.where(where, scores(), jnp.nan)
    got = everything(operator, x, where)
    want = arlsort.sort(scores()[:, :count], operator)
    np.testing.assert_allclose(got["sort"][2, :count], want[2], atol=ATOL)
    np.testing.assert_allclose(got["top_k_mask"][2], where[2], atol=ATOL)
    slopes = gradient(operator, x, where)
    assert np.isfinite(slopes).all() and not np.asarray(slopes)[:, count:].any()


@pytest.mark.parametrize("name", ["softsort"])
def test_a_new_mask_compiles_nothing(name):
    run = traced_once(lambda x, where: arlsort.sort(x, name, where=where))
    run(scores(), jnp.asarray(WHERE))
    run(scores(), jnp.asarray(WHERE[::-1].copy()))


# The first items of a single list meet the noise that they meet in the shorter list.
@pytest.mark.parametrize("name", ["neuralsort", "softsort"])
def test_noise_of_items_is_that_of_the_shorter_list(name):
    operator = dataclasses.replace(build(f"{name}:stochastic=true"), key=KEY, num_samples=1)
    x = scores()[0].at[ITEMS:].set(jnp.nan)
    got = arlsort.sort(x, operator, where=jnp.arange(N) < ITEMS)
    np.testing.assert_allclose(got[:ITEMS], arlsort.sort(x[:ITEMS], operator), atol=ATOL)


@pytest.mark.slow
@pytest.mark.parametrize("spec", RANDOM_SPECS)
def test_random_operators_do_not_see_masked_items(spec):
    operator = build(spec)
    got, other = (everything(operator, x, jnp.asarray(WHERE)) for x in (masked(), scores()))
    for name, part in got.items():
        np.testing.assert_array_equal(part, other[name])
    np.testing.assert_allclose(got["top_k_mask"].sum(axis=-1), 2.0, atol=1e-4)
    if operator.has_permutation:
        sums = got["permutation"].sum(axis=-1)
        np.testing.assert_allclose(sums, np.arange(N) < WHERE.sum(-1)[:, None], atol=1e-5)
    slopes = gradient(operator, masked(), jnp.asarray(WHERE))
    assert np.isfinite(slopes).all() and not np.asarray(slopes)[~WHERE].any()


def test_straight_through_is_exact_with_a_mask():
    x = jnp.array([[3.0, 9.0, 1.0, 1.0, 3.0]]).at[0, 1].set(jnp.nan)
    where = jnp.array([[True, False, True, True, True]])
    operator = arlsort.SoftSort(hard=True)
    for name in ("sort", "rank", "argsort", "permutation"):
        function = getattr(arlsort, name)
        for descending in (False, True):
            got = function(x, operator, descending=descending, where=where)
            want = function(x, "hard", descending=descending, where=where)
            np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(arlsort.argsort(x, "hard", where=where)[0], [2, 3, 0, 4, 0])
    down = arlsort.argsort(x, "hard", descending=True, where=where)
    np.testing.assert_array_equal(down[0], [0, 4, 2, 3, 0])
    got, want = (arlsort.top_k(x, 3, o, where=where) for o in (operator, "hard"))
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1])
    got, want = (arlsort.top_k_mask(x, 3, o, where=where) for o in (operator, "hard"))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(got[0], [1, 0, 1, 0, 1])


def test_nan_of_an_item_and_short_dtypes_are_as_without_a_mask():
    where = jnp.asarray(WHERE)
    x = masked().at[0, 2].set(jnp.nan)
    found = arlsort.sort(x, "softsort", where=where)
    assert np.isnan(found[0]).all() and np.isfinite(found[1:]).all()
    short = masked().astype(jnp.bfloat16)
    found = arlsort.sort(short, "softsort", where=where)
    wide = arlsort.sort(short.astype(jnp.float32), "softsort", where=where)
    np.testing.assert_array_equal(found, wide.astype(jnp.bfloat16))
