# SPDX-License-Identifier: Apache-2.0
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from arlsort.operators import registry

FUNCTIONS = (
    arlsort.sort,
    arlsort.argsort,
    arlsort.rank,
    arlsort.permutation,
    arlsort.top_k,
    arlsort.top_k_mask,
    arlsort.quantile,
    arlsort.median,
    arlsort.sort_by,
)
X = np.random.default_rng(5).normal(size=(2, 5, 3)).astype(np.float32)
SOFT = arlsort.SoftSort(temperature=0.5)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_defaults_are_identical_everywhere(function):
    parameters = inspect.signature(function).parameters
    defaults = {"operator": registry.DEFAULT, "axis": -1, "descending": False, "where": None}
    found = {k: p.default for k, p in parameters.items() if p.default is not p.empty}
    assert found.items() <= defaults.items()
    assert {"operator", "where"} <= found.keys()
    for name in ("axis", "descending", "where"):
        assert name not in found or parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("descending", [False, True])
def test_the_exact_operator_is_numpy_on_every_axis(axis, descending):
    kwargs = {"axis": axis, "descending": descending}
    order = np.argsort(-X if descending else X, axis=axis)
    np.testing.assert_array_equal(
        arlsort.sort(X, "hard", **kwargs), np.take_along_axis(X, order, axis)
    )
    np.testing.assert_array_equal(arlsort.argsort(X, "hard", **kwargs), order)
    np.testing.assert_array_equal(arlsort.rank(X, "hard", **kwargs), np.argsort(order, axis))
    weights = arlsort.permutation(X, "hard", **kwargs)
    moved = np.moveaxis(X, axis, -1)
    np.testing.assert_array_equal(
        np.einsum("...ij,...j->...i", weights, moved),
        np.moveaxis(np.sort(X, axis), axis, -1)
        if not descending
        else np.moveaxis(np.flip(np.sort(X, axis), axis), axis, -1),
    )


def test_descending_turns_the_positions_over():
    np.testing.assert_array_equal(
        arlsort.permutation(X, SOFT, descending=True), arlsort.permutation(X, SOFT)[..., ::-1, :]
    )
    np.testing.assert_array_equal(
        arlsort.sort(X, SOFT, axis=1, descending=True), arlsort.sort(X, SOFT, axis=1)[:, ::-1]
    )
    np.testing.assert_allclose(
        arlsort.rank(X, SOFT, descending=True), 2 - arlsort.rank(X, SOFT), atol=1e-5
    )


def test_argsort_and_rank_are_means_of_indices_and_positions():
    weights = np.asarray(arlsort.permutation(X, SOFT), np.float64)
    indices = np.arange(3.0)
    np.testing.assert_allclose(arlsort.argsort(X, SOFT), weights @ indices, atol=1e-5)
    mean = np.einsum("...ij,i->...j", weights, indices) / weights.sum(axis=-2)
    np.testing.assert_allclose(arlsort.rank(X, SOFT), mean, atol=1e-5)


def test_argsort_counts_beyond_what_bfloat16_can():
    x = jnp.arange(300, dtype=jnp.float32)
    expected = jnp.minimum(x, 298.0).astype(jnp.bfloat16)  # 299 would become 300
    np.testing.assert_array_equal(arlsort.argsort(x.astype(jnp.bfloat16), "hard"), expected)


@pytest.mark.parametrize("axis", [1, -1])
def test_top_k_is_the_largest_first(axis):
    values, weights = arlsort.top_k(X, 2, "hard", axis=axis)
    expected = np.take(np.flip(np.sort(X, axis), axis), range(2), axis)
    np.testing.assert_array_equal(values, expected)
    moved = np.moveaxis(X, axis, -1)
    assert weights.shape == (*moved.shape[:-1], 2, moved.shape[-1])
    np.testing.assert_array_equal(
        np.moveaxis(np.einsum("...ij,...j->...i", weights, moved), -1, axis), expected
    )


def test_top_k_of_all_is_the_descending_sort():
    values, weights = arlsort.top_k(X, 3, SOFT)
    np.testing.assert_allclose(values, arlsort.sort(X, SOFT, descending=True), atol=1e-6)
    np.testing.assert_allclose(weights, arlsort.permutation(X, SOFT, descending=True), atol=1e-6)
    assert arlsort.top_k(X, 0, SOFT)[1].shape == (2, 5, 0, 3)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("q", [0.0, 0.3, 1.0, 0, [0.1, 0.5, 0.9], np.array([0.25])])
def test_quantile_is_jnp_quantile(axis, q):
    got = arlsort.quantile(X, q, "hard", axis=axis)
    expected = jnp.quantile(X, jnp.asarray(q, jnp.float32), axis=axis)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_quantiles_may_be_traced_and_differentiated():
    x = X[0, :, 0]
    traced = jax.jit(lambda q: arlsort.quantile(x, q, "hard"))
    np.testing.assert_allclose(traced(jnp.array([0.2, 0.6])), np.quantile(x, [0.2, 0.6]), atol=1e-6)
    np.testing.assert_allclose(traced(1.5), x.max())  # clipped: nothing can be raised here
    partly = jax.jit(lambda q: arlsort.quantile(x, [0.0, q], "hard"))(0.6)
    np.testing.assert_allclose(partly, np.quantile(x, [0.0, 0.6]), atol=1e-6)
    slope = jax.grad(lambda q: arlsort.quantile(x, q, "hard"))(0.3)
    np.testing.assert_allclose(slope, 4 * (np.sort(x)[2] - np.sort(x)[1]), rtol=1e-5)


@pytest.mark.parametrize(
    "operator",
    [
        arlsort.NeuralSort(0.3),
        arlsort.SoftSort(0.3),
        arlsort.SoftSort(0.1, power=2),
        arlsort.SoftSort(0.3, stochastic=True, key=jax.random.key(0)),
    ],
    ids=repr,
)
def test_quantiles_of_long_lists_lie_between_sorted_values(operator):
    generator = np.random.default_rng(6)
    x = generator.normal(size=(3, 200)).astype(np.float32)
    x[0, :50], x[1, 3], x[1, 5] = 1.0, -np.inf, np.inf
    mask = jnp.asarray(generator.random(x.shape) < 0.7).at[2].set(False)

    def of_sorted(x, where):
        values = arlsort.sort(x, operator, where=where)
        h = 0.9 * (where.sum(axis=-1, keepdims=True) - 1)
        below, above = (
            jnp.take_along_axis(values, i.astype(jnp.int32), axis=-1)
            for i in (jnp.floor(h), jnp.ceil(h))
        )
        return (below + (above - below) * (h % 1))[:, 0]

    for where in (None, mask):
        found = arlsort.quantile(x, 0.9, operator, where=where)
        expected = of_sorted(x, jnp.ones(x.shape, bool) if where is None else where)
        np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-5)
        assert jnp.isnan(found[2]) == (where is not None)
    got, wanted = (
        jax.grad(lambda x, function=function: function(x).sum())(jnp.asarray(x[:1]))
        for function in (
            lambda x: arlsort.quantile(x, 0.9, operator),
            lambda x: of_sorted(x, jnp.ones(x.shape, bool)),
        )
    )
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["neuralsort", "softsort"])
def test_a_quantile_needs_the_memory_of_its_rows(name):
    needed = {}
    for n in (512, 2048):
        x = jax.ShapeDtypeStruct((n,), jnp.float32)
        run = jax.jit(jax.grad(lambda x: arlsort.quantile(x, 0.9, name))).lower(x).compile()
        needed[n] = run.memory_analysis().temp_size_in_bytes
    assert needed[2048] < 8 * needed[512] and needed[2048] < 4 * 2048**2 / 8, needed


def test_a_quantile_at_a_position_does_not_see_infinite_neighbours():
    x = jnp.array([-jnp.inf, 1.0, jnp.inf])
    np.testing.assert_array_equal(arlsort.quantile(x, 0.5, "hard"), 1.0)
    np.testing.assert_array_equal(arlsort.quantile(x, jnp.array([0.0, 1.0]), "hard"), x[::2])


def test_median_is_the_middle():
    np.testing.assert_array_equal(arlsort.median(X, "hard", axis=1), np.median(X, axis=1))
    np.testing.assert_array_equal(arlsort.median(X, SOFT), arlsort.quantile(X, 0.5, SOFT))


def test_sort_by_takes_any_trailing_shape():
    keys = X[..., 0]
    rows = np.random.default_rng(1).normal(size=(2, 5, 2, 3)).astype(np.float32)
    weights = np.asarray(arlsort.permutation(keys, SOFT))
    np.testing.assert_allclose(
        arlsort.sort_by(keys, rows, SOFT), np.einsum("bij,bjcd->bicd", weights, rows), atol=1e-5
    )
    np.testing.assert_allclose(
        arlsort.sort_by(keys, keys, SOFT, descending=True),
        arlsort.sort(keys, SOFT, descending=True),
        atol=1e-6,
    )
    assert arlsort.sort_by(keys, rows[..., :0], SOFT).shape == (2, 5, 2, 0)


def test_sort_by_keeps_the_dtype_of_the_rows():
    rows = jnp.asarray(X, jnp.bfloat16)
    assert arlsort.sort_by(X[..., 0], rows, SOFT).dtype == jnp.bfloat16
    assert arlsort.sort_by(rows[..., 0], X, SOFT).dtype == jnp.float32


@pytest.mark.parametrize("name", ["sort", "argsort", "rank", "permutation"])
def test_dtypes_are_kept(name):
    for dtype in (jnp.bfloat16, jnp.float32):
        assert getattr(arlsort, name)(jnp.asarray(X, dtype), SOFT).dtype == dtype
    assert arlsort.quantile(jnp.asarray(X, jnp.bfloat16), 0.5, SOFT).dtype == jnp.bfloat16


def test_nan_reaches_every_result_of_its_row():
    x = jnp.asarray(X).at[0, 0, 0].set(jnp.nan)
    for result in (
        arlsort.rank(x, SOFT),
        arlsort.argsort(x, SOFT),
        arlsort.median(x, SOFT)[..., None],
        arlsort.top_k(x, 1, SOFT)[0],
    ):
        assert np.isnan(result[0, 0]).all()
        assert np.isfinite(result[0, 1:]).all()
        assert np.isfinite(result[1]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: arlsort.sort(X, SOFT, axis=3), ValueError, "axis: received 3, allowed: -3 to 2"),
        (lambda: arlsort.sort(X, SOFT, axis=None), TypeError, "axis: received None"),
        (lambda: arlsort.sort(X, SOFT, axis=1.0), TypeError, r"axis: received 1\.0"),
        (lambda: arlsort.sort(np.arange(3), SOFT), TypeError, "x: received dtype int64"),
        (lambda: arlsort.sort(1.0, SOFT), TypeError, "x: received float"),
        (lambda: arlsort.rank(jnp.float32(1), SOFT), ValueError, "x: received a scalar"),
        (lambda: arlsort.sort(X, "quantum"), ValueError, "operator: received 'quantum', allowed:"),
        (lambda: arlsort.sort(X, arlsort.SoftSort), TypeError, "operator: received <class"),
        (lambda: arlsort.top_k(X, 4, SOFT), ValueError, "k: received 4, allowed: 0 to 3"),
        (lambda: arlsort.top_k(X, -1, SOFT), ValueError, "k: received -1"),
        (lambda: arlsort.top_k(X, 1.5, SOFT), TypeError, r"k: received 1\.5"),
        (lambda: arlsort.top_k(X, True, SOFT), TypeError, "k: received True"),
        (lambda: jax.jit(lambda k: arlsort.top_k(X, k, SOFT))(1), TypeError, "a static int"),
        (lambda: arlsort.quantile(X, 1.1, SOFT), ValueError, r"q: received 1\.1"),
        (lambda: arlsort.quantile(X, [0.1, np.nan], SOFT), ValueError, "q: received"),
        (lambda: arlsort.quantile(X, [[0.1]], SOFT), ValueError, r"q: received shape \(1, 1\)"),
        (lambda: arlsort.quantile(X, "half", SOFT), TypeError, "q: received str"),
        (lambda: arlsort.quantile(X, 1j, SOFT), TypeError, "q: received dtype complex64"),
        (lambda: arlsort.median(X[:0], SOFT, axis=0), ValueError, "x: received an empty axis 0"),
        (lambda: arlsort.sort_by(X, X[0], SOFT), ValueError, r"rows: received shape \(5, 3\)"),
        (lambda: arlsort.sort_by(X[0], X, SOFT), ValueError, r"rows: received shape \(2, 5, 3\)"),
        (lambda: arlsort.sort_by(X > 0, X, SOFT), TypeError, "keys: received dtype bool"),
        (lambda: arlsort.sort_by(X, X > 0, SOFT), TypeError, "rows: received dtype bool"),
    ],
)
def test_bad_arguments_are_named_at_trace_time(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_traced_quantile_that_is_none_is_none():
    found = jax.jit(lambda q: arlsort.quantile(X, q, "hard"))(jnp.nan)
    assert np.isnan(found).all()


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_masked_places_are_behind_on_every_axis(axis, descending):
    where = np.random.default_rng(6).random(X.shape) < 0.6
    kwargs = {"axis": axis, "where": where}
    behind = np.where(where, -X if descending else X, np.inf)
    order = np.argsort(behind, axis=axis, kind="stable")
    ranks = np.argsort(order, axis=axis)
    np.testing.assert_array_equal(arlsort.rank(X, "hard", descending=descending, **kwargs), ranks)
    values = np.take_along_axis(np.where(where, X, 0), order, axis)
    np.testing.assert_array_equal(arlsort.sort(X, "hard", descending=descending, **kwargs), values)
    mask = where & (ranks < 2)
    if descending:
        np.testing.assert_array_equal(arlsort.top_k_mask(X, 2, "hard", **kwargs), mask)


def test_quantiles_are_those_of_the_items():
    where = np.array([[True, False, True, True], [False] * 4])
    x = np.array([[3.0, 9.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]], np.float32)
    found = arlsort.quantile(x, [0.0, 0.25, 1.0], "hard", where=where)
    np.testing.assert_allclose(found, [[1, np.nan], [1.5, np.nan], [3, np.nan]])
    assert arlsort.median(x[0], "hard", where=where[0]) == 2


def test_a_mask_broadcasts_and_must_be_one():
    lists = arlsort.sort(X, SOFT, where=np.array([True, True, False]))
    np.testing.assert_allclose(lists[..., :2], arlsort.sort(X[..., :2], SOFT), atol=1e-6)
    with pytest.raises(TypeError, match="where: received dtype float32, allowed: bool"):
        arlsort.sort(X, SOFT, where=np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"where: received shape .*, allowed: one that broadcasts"):
        arlsort.rank(X, SOFT, where=np.ones(4, bool))
