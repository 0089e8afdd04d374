# SPDX-License-Identifier: Apache-2.0
"""The likelihood of an order: by integration, and by networks that read or sort along it."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import AmortizedSort, LearnedSort, cauchy_log_likelihood

LEARNED = LearnedSort(noise="cauchy", normalize=False, temperature=1.0)
AMORTIZED = AmortizedSort(noise="cauchy", normalize=False, temperature=1.0)
NETWORKS = [
    pytest.param(AMORTIZED, id="amortized"),
    pytest.param(LEARNED, id="executed", marks=pytest.mark.slow),
]


def exact(x, order, noise_scales=None):
    return cauchy_log_likelihood(x, order, noise_scales, temperature=1.0)


ALL = [
    pytest.param(exact, id="exact"),
    pytest.param(AMORTIZED.log_likelihood, id="amortized"),
    pytest.param(LEARNED.log_likelihood, id="executed", marks=pytest.mark.slow),
]


def drawn(lists, n, spread, seed=0):
    """Scores, noise_scales, and an order drawn from the model."""
    rng = np.random.default_rng(seed)
    x = spread * rng.uniform(-0.5, 0.5, (lists, n))
    noise_scales = np.exp(rng.normal(size=(lists, n)))
    order = np.argsort(x + noise_scales * rng.standard_cauchy((lists, n)), axis=-1)
    return jnp.asarray(x, jnp.float32), jnp.asarray(order), jnp.asarray(noise_scales, jnp.float32)


def test_two_scores_have_the_probability_of_a_cauchy_pair():
    for gap, noise_scales in (
        *((0.3, (1.0, 1.0)), (-4.0, (0.2, 1.5)), (50.0, (2.0, 1.0))),
        *((-20.0, (1.0, 1.0)), (-1e4, (1.0, 1.0)), (-300.0, (0.5, 2.0))),
    ):
        order, w = jnp.array([0, 1]), jnp.array(noise_scales)
        p = 0.5 + math.atan(gap / sum(noise_scales)) / math.pi
        found, slope = jax.value_and_grad(lambda x, o=order, w=w: exact(x, o, w))(
            jnp.array([0.0, gap])
        )
        assert float(found) == pytest.approx(math.log(p), abs=2e-2)
        density = 1 / (1 + (gap / sum(noise_scales)) ** 2) / sum(noise_scales) / math.pi
        np.testing.assert_allclose(slope, [-density / p, density / p], rtol=0.1)


def test_it_is_the_share_of_draws_in_that_order():
    x, w = np.array([0.0, 1.5, 1.0, 4.0], np.float32), np.array([1, 2, 0.5, 3], np.float32)
    z = x + w * np.random.default_rng(0).standard_cauchy((400_000, 4))
    orders, counts = np.unique(np.argsort(z, axis=-1), axis=0, return_counts=True)
    assert len(orders) == 24
    rows = [jnp.tile(jnp.asarray(v), (24, 1)) for v in (x, w)]
    found = exact(rows[0], jnp.asarray(orders), rows[1])
    np.testing.assert_allclose(jnp.exp(found), counts / counts.sum(), atol=2e-3)
    assert float(jnp.exp(found).sum()) == pytest.approx(1.0, abs=5e-3)


def test_the_gradient_is_that_of_the_value():
    x, order, noise_scales = drawn(20, 6, 10.0)
    with jax.enable_x64(True):
        x, noise_scales = (jnp.asarray(np.asarray(v), jnp.float64) for v in (x, noise_scales))
        gradient = jax.grad(lambda x: exact(x, order, noise_scales).sum())(x)
        step = 1e-3
        for i in range(6):
            moved = [exact(x.at[:, i].add(s), order, noise_scales) for s in (step, -step)]
            slope = (moved[0] - moved[1]) / (2 * step)
            np.testing.assert_allclose(gradient[:, i], slope, atol=0.02, rtol=0.05)


def test_a_far_error_pulls_less_than_a_near_one():
    def pull(distance):
        x = jnp.array([distance, 0.0, 1.0])
        return float(-jax.grad(lambda x: exact(x, jnp.arange(3)))(x)[0])

    assert pull(10.0) > pull(100.0) > pull(1000.0) > 0
    assert pull(1000.0) == pytest.approx(pull(100.0) / 10, rel=0.1)


@pytest.mark.parametrize("likelihood", ALL)
def test_what_is_not_allowed_is_refused(likelihood):
    x, order = jnp.zeros((2, 3)), jnp.array([[0, 1, 2], [2, 1, 0]])
    with pytest.raises(TypeError, match="order: received dtype float32, allowed: integers"):
        likelihood(x, x)
    with pytest.raises(ValueError, match=r"order: received shape \(3,\), allowed: that of x"):
        likelihood(x, order[0])
    with pytest.raises(ValueError, match="noise_scales: received shape"):
        likelihood(x, order, x[:1])
    with pytest.raises(TypeError, match="x: received dtype int32"):
        likelihood(order, order)


@pytest.mark.parametrize("likelihood", ALL)
@pytest.mark.parametrize("order", [[1, 3, 2], [0, 0, 0], [-1, 0, 1]])
def test_what_is_no_order_is_refused_or_gives_nan(likelihood, order):
    x, orders = jnp.array([[0.3, 0.1, 0.2]] * 2), jnp.array([[2, 0, 1], order])
    with pytest.raises(ValueError, match=r"order: received \[.*\], allowed: each of 0 to 2 once"):
        likelihood(x, orders)
    found, slope = jax.jit(jax.value_and_grad(lambda x, o: likelihood(x, o)[0]))(x, orders)
    assert jnp.isfinite(found) and jnp.isfinite(slope).all()
    both = jax.jit(likelihood)(x, orders)
    assert jnp.isfinite(both[0]) and jnp.isnan(both[1])


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ALL)
@pytest.mark.parametrize("scale", [0.0, -1.0, jnp.nan, jnp.inf])
def test_what_is_no_scale_is_refused_or_gives_nan(likelihood, scale):
    x, order = jnp.array([[0.3, 0.1, 0.2]] * 2), jnp.array([[2, 0, 1]] * 2)
    scales = jnp.ones_like(x).at[1, 2].set(scale)
    with pytest.raises(ValueError, match="noise_scales: received .*, allowed: finite numbers of"):
        likelihood(x, order, scales)
    both = jax.jit(likelihood)(x, order, scales)
    assert jnp.isfinite(both[0]) and jnp.isnan(both[1])
    slopes = jax.jit(jax.grad(lambda x, w: jnp.nansum(likelihood(x, order, w)), argnums=(0, 1)))
    assert all(jnp.isfinite(slope).all() for slope in slopes(x, scales))


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ALL)
def test_shapes_dtypes_and_nan(likelihood):
    x, order, noise_scales = drawn(6, 4, 5.0)
    flat = likelihood(x, order, noise_scales)
    assert flat.shape == (6,)
    whole = likelihood(*(v.reshape(2, 3, 4) for v in (x, order, noise_scales)))
    np.testing.assert_allclose(whole.reshape(6), flat, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(likelihood(x[0], order[0], noise_scales[0]), flat[0], rtol=1e-4)
    half = likelihood(x.astype(jnp.bfloat16), order)
    assert half.dtype == jnp.bfloat16 and jnp.isfinite(half).all()
    with_nan = likelihood(x.at[1, 2].set(jnp.nan), order)
    assert jnp.isnan(with_nan[1]) and jnp.isfinite(jnp.delete(with_nan, 1)).all()
    for n in (0, 1):
        np.testing.assert_array_equal(likelihood(jnp.ones((2, n)), jnp.zeros((2, n), int)), [0, 0])


@pytest.mark.parametrize("likelihood", ALL)
def test_gradients_are_finite_at_ties_and_far_out(likelihood):
    order = jnp.array([2, 0, 1])
    for x in ([0.0, 0.0, 0.0], [1e6, 0.0, -1e6], [3e37, 0.0, 1.0]):
        slopes = jax.grad(lambda x, w: likelihood(x, order, w), argnums=(0, 1))(
            jnp.array(x), jnp.array([1e-2, 1.0, 1e2])
        )
        assert all(jnp.isfinite(slope).all() for slope in slopes), x


@pytest.mark.slow
@pytest.mark.parametrize(
    "n, spread, share", [(5, 10.0, 0.05), (9, 10.0, 0.05), (9, 300.0, 0.1), (15, 30.0, 0.1)]
)
@pytest.mark.parametrize("operator", NETWORKS)
def test_the_network_knows_the_exact_likelihood(operator, n, spread, share):
    """Its loss is within a share of the least there can be, and its gradient points the same way.

    The mean over orders drawn from the model of the difference is a Kullback-Leibler divergence.
    """
    x, order, noise_scales = drawn(200, n, spread)
    best, found = exact(x, order, noise_scales), operator.log_likelihood(x, order, noise_scales)
    assert -0.01 * n < float((best - found).mean()) < share * float(-best.mean())
    slopes = [
        jax.grad(lambda x, f=f: f(x, order, noise_scales).sum())(x)
        for f in (exact, operator.log_likelihood)
    ]
    norms = [jnp.linalg.norm(slope, axis=-1) for slope in slopes]
    cosines = (slopes[0] * slopes[1]).sum(-1) / (norms[0] * norms[1])
    assert float(jnp.median(cosines)) > 0.85


@pytest.mark.parametrize(
    "operator, least, most", [(AMORTIZED, 0.97, 1.03), (LEARNED, 0.999, 1.00001)]
)
def test_the_probabilities_of_all_orders_add_up(operator, least, most):
    """The executed sort chooses where each element goes; the other one says it of each order."""
    orders = jnp.asarray(list(itertools.permutations(range(4))))
    for x in ([0.0, 0.0, 0.0, 0.0], [0.0, 2.0, -1.0, 7.0]):
        rows = jnp.tile(jnp.array(x), (24, 1))
        assert least < float(jnp.exp(operator.log_likelihood(rows, orders)).sum()) < most


@pytest.mark.parametrize("operator", NETWORKS)
def test_what_counts_is_scores_in_units_of_their_noise(operator):
    x, order, noise_scales = drawn(10, 5, 8.0)
    expected = operator.log_likelihood(x, order, noise_scales)
    scaled = operator.log_likelihood(7 * x + 3, order, 7 * noise_scales)
    np.testing.assert_allclose(scaled, expected, rtol=1e-3, atol=1e-3)
    warmer = dataclasses.replace(operator, temperature=2.0)
    np.testing.assert_allclose(
        warmer.log_likelihood(2 * x, order, noise_scales), expected, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("operator", NETWORKS)
def test_a_level_of_all_is_a_temperature_also_of_lists_of_range_one(operator):
    x, order = jnp.array([3.0, 1.0, 2.0]), jnp.array([1, 2, 0])
    operator = dataclasses.replace(operator, temperature=0.01, normalize=True)
    warmer = dataclasses.replace(operator, temperature=0.1)
    tenfold = operator.log_likelihood(x, order, jnp.full(3, 10.0))
    assert float(tenfold) == pytest.approx(float(warmer.log_likelihood(x, order)), abs=1e-3)
    assert operator.log_likelihood(x, order) > tenfold + 0.01


@pytest.mark.parametrize(
    "operator, furthest", [(AMORTIZED, 6), pytest.param(LEARNED, 3, marks=pytest.mark.slow)]
)
def test_a_wrong_pair_is_pulled_together(operator, furthest):
    """To a million units of noise, and by the executed sort to as far as its docstring says."""
    gaps = jnp.array([1.0, 5.0, 20.0, 300.0, 1e4, 1e6])[:furthest]

    def said(x):
        return operator.log_likelihood(x, jnp.broadcast_to(jnp.arange(3), x.shape)).sum()

    pull = jax.grad(said)(jnp.stack([gaps, jnp.zeros_like(gaps), 3 * gaps], axis=-1))
    assert (pull[:, 0] < 0).all() and (pull[:, 1] > 0).all(), pull


def test_a_sort_without_such_a_network_says_so():
    x, order = jnp.array([3.0, 1.0, 2.0]), jnp.array([1, 2, 0])
    with pytest.raises(ValueError, match="'gaussian' for insertion_sort, allowed: cauchy"):
        LearnedSort(noise="gaussian").log_likelihood(x, order)
    with pytest.raises(ValueError, match="for quicksort, allowed: none"):
        LearnedSort("quicksort").log_likelihood(x, order)
    with pytest.raises(ValueError, match="noise: received 'gaussian', allowed: 'cauchy' or None"):
        AmortizedSort(noise="gaussian").log_likelihood(x, order)
    assert AMORTIZED.has_likelihood and not AmortizedSort(noise="gaussian").has_likelihood


def _masked_orders():
    """Lists of six with four items, anything in the other places, and the shorter lists."""
    x, _, noise_scales = drawn(3, 6, 4.0)
    where = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], bool)
    order = np.stack([np.random.default_rng(i).permutation(6) for i in range(3)])
    place = np.cumsum(where, axis=-1) - 1
    short = [[place[row, j] for j in order[row] if where[row, j]] for row in range(3)]
    masked = jnp.where(where, x, jnp.nan), jnp.asarray(order), jnp.where(where, noise_scales, -1.0)
    few = tuple(jnp.asarray(np.asarray(part)[where].reshape(3, 4)) for part in (x, noise_scales))
    return masked, jnp.asarray(where), (few[0], jnp.asarray(short), few[1])


@pytest.mark.parametrize("scaled", [pytest.param(False, marks=pytest.mark.slow), True])
def test_masked_elements_of_an_order_are_passed_over(scaled):
    (x, order, noise_scales), where, (few, short, scales) = _masked_orders()
    noise_scales, scales = (noise_scales, scales) if scaled else (None, None)

    def total(x):
        found = cauchy_log_likelihood(x, order, noise_scales, temperature=1.0, where=where)
        return found.sum(), found

    (_, found), slope = jax.value_and_grad(total, has_aux=True)(x)
    np.testing.assert_allclose(found, exact(few, short, scales), rtol=1e-5)
    own = jax.grad(lambda few: exact(few, short, scales).sum())(few)
    np.testing.assert_allclose(slope[where].reshape(3, 4), own, rtol=1e-3, atol=1e-5)
    assert not np.asarray(slope[~where]).any()


@pytest.mark.slow
@pytest.mark.parametrize("operator", [AMORTIZED, LEARNED])
def test_the_networks_pass_over_masked_elements_too(operator):
    (x, order, noise_scales), where, (few, short, scales) = _masked_orders()
    for given, own in ((noise_scales, scales), (None, None)):
        found, slope = jax.value_and_grad(
            lambda x, w=given: operator.log_likelihood(x, order, w, where=where).sum()
        )(x)
        expected, whole = jax.value_and_grad(
            lambda x, w=own: operator.log_likelihood(x, short, w).sum()
        )(few)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        np.testing.assert_allclose(slope[where].reshape(3, 4), whole, rtol=1e-3, atol=1e-5)
        assert not np.asarray(slope[~where]).any()
