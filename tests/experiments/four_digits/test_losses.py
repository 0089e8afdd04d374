# SPDX-License-Identifier: Apache-2.0
"""The losses are their definitions, and stay finite where a logarithm would not."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import operators
from arlsort.operators.amortized import AmortizedSort
from arlsort.operators.hard import Hard
from arlsort.operators.learned import LearnedSort
from arlsort.operators.relaxed_program import RelaxedProgram
from arlsort.operators.sorting_network import SortingNetwork
from arlsort.reasoner import checkpoint, evaluation, traces, training
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from experiments.four_digits import loss_functions as functions
from experiments.four_digits import losses


def test_permutation_loss_is_computed_by_hand():
    soft = jnp.array([[0.7, 0.3], [0.4, 0.6]])
    # The second element is the smaller one: row 0 should be (0, 1), row 1 (1, 0).
    terms = [math.log(1 - 0.7), math.log(0.3), math.log(0.4), math.log(1 - 0.6)]
    loss = functions.permutation_loss(soft, jnp.array([1, 0]))
    assert float(loss) == pytest.approx(-sum(terms) / 4, rel=1e-6)


def test_cross_entropy_ends_where_pytorch_ends():
    p = jnp.array([0.0, 1.0, 1.0, 0.0, 1.0 + 1e-7, -1e-7])
    target = jnp.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    expected = [100.0, 100.0, 0.0, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(functions.binary_cross_entropy(p, target), expected)


def test_cross_entropy_has_pytorchs_gradient():
    p = np.array([1e-14, 1e-6, 0.1, 0.5, 0.9, 1 - 2**-20, 0.0, 1.0], np.float32)
    for target in (0.0, 1.0):
        slope = jax.vmap(jax.grad(functions.binary_cross_entropy))(
            jnp.asarray(p), jnp.full(p.shape, target)
        )
        expected = (p - target) / np.maximum(p * (1 - p), 1e-12)
        if target == 0:
            expected[-1] = 2.0**24  # PyTorch: 1e12
        np.testing.assert_allclose(slope, expected, rtol=1e-5)


def test_cross_entropy_lets_nan_through():
    assert jnp.isnan(functions.binary_cross_entropy(jnp.nan, jnp.zeros(())))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_pointer_loss_is_that_of_a_loop(n):
    rng = np.random.default_rng(n)
    lists = 4
    numbers = rng.integers(0, 4, (lists, n))  # with ties
    pointers = np.log(rng.dirichlet(np.ones(n), (lists, n)))
    firsts = np.log(rng.dirichlet(np.ones(n), lists))
    total = 0.0
    for b in range(lists):
        order = sorted(range(n), key=lambda i: (numbers[b, i], i))
        total -= firsts[b, order[0]]
        for place, j in enumerate(order):
            total -= pointers[b, j, order[place - 1]]  # the first points to the last
    loss = functions.pointer_loss(
        jnp.asarray(pointers, jnp.float32),
        jnp.asarray(firsts, jnp.float32),
        jnp.argsort(jnp.asarray(numbers), axis=-1),
    )
    assert float(loss) == pytest.approx(total / lists / n, rel=1e-5)


def test_auto_takes_what_taught_best():
    assert losses.choose("auto", LearnedSort()) == "likelihood"
    assert losses.choose("auto", LearnedSort(noise="gaussian")) == "pointer"
    assert losses.choose("auto", LearnedSort("quicksort")) == "pointer"
    assert losses.choose("bce", LearnedSort()) == "bce"
    network = operators.get("odd_even")
    assert losses.choose("auto", network) == "bce"
    assert losses.choose("auto", SortingNetwork(error_free=True)) == "error_free"
    with pytest.raises(ValueError, match="loss: received error_free for SortingNetwork"):
        losses.choose("error_free", network)
    with pytest.raises(ValueError, match="pointer for SortingNetwork"):
        losses.choose("pointer", network)


@pytest.mark.slow
def test_auto_asks_what_an_own_checkpoint_can(tmp_path):
    found = []
    for algorithm, scaled in (
        ("insertion_sort", True),
        ("insertion_sort", False),
        ("quicksort", 0),
    ):
        inputs = {"noise_scales": bool(scaled), "comparisons": not scaled}
        network = ReasonerConfig(algorithm, hidden_size=4, **inputs)
        settings = TrainingConfig(lengths=(3,), hints="sampled", noise_scale_spread=float(scaled))
        params = training.init(network, settings).params
        path = tmp_path / f"{algorithm}{scaled}.safetensors"
        measured = evaluation.Measured({"exact_order": {"3": 1.0}}, 3, 1.0)
        checkpoint.save(path, params, network, settings, **measured._asdict())
        operator = LearnedSort(algorithm, checkpoint=str(path), normalize=False)
        found.append(losses.choose("auto", operator))
        if operator.has_likelihood:
            scores, numbers = jnp.array([[0.1, 0.3, 0.2]]), jnp.array([[2, 3, 1]])
            loss = losses.order_loss(found[-1], operator, scores, numbers, jax.random.key(0))
            assert jnp.isfinite(loss)
    assert found == ["likelihood", "likelihood", "pointer"]


def test_sampling_operator_gets_a_fresh_key():
    operator = operators.parse("neuralsort:stochastic=true,num_samples=2")
    scores, numbers = jnp.array([[0.0, 1.0, 0.5]]), jnp.array([[1, 3, 2]])
    first, again, other = (
        float(losses.order_loss("bce", operator, scores, numbers, jax.random.key(seed)))
        for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["odd_even", "odd_even:distribution=logistic", "neuralsort"])
def test_gradient_is_finite_on_scores_of_any_spread(spec):
    operator = operators.parse(spec, supervision=True)
    numbers = jnp.array([[3, 1, 2, 5, 4]])
    for spread in (0.0, 1e-3, 1.0, 30.0, 1e4):
        scores = spread * jnp.array([[0.1, -1.0, 2.0, 0.7, -0.4]])
        gradient = jax.grad(
            lambda s: losses.order_loss("bce", operator, s, numbers, jax.random.key(0))
        )(scores)
        assert jnp.isfinite(gradient).all(), spread


def test_a_loss_is_one_of_the_operator():
    assert losses.choose("plackett_luce", None) == "plackett_luce"
    assert losses.choose("trace", LearnedSort()) == "trace"
    for loss, operator in (("plackett_luce", SortingNetwork()), ("trace", SortingNetwork())):
        with pytest.raises(ValueError, match=f"loss: received {loss} for SortingNetwork"):
            losses.choose(loss, operator)
    with pytest.raises(ValueError, match="bce, rows; without an operator loss:pairwise/0.1"):
        losses.choose("pairwise/0.1", Hard())
    places = AmortizedSort(normalize=False)
    assert losses.choose("rows+noise_scales", places) == "rows+noise_scales"
    assert losses.choose("auto", places) == "likelihood"  # the network of orders
    assert losses.choose("auto", dataclasses.replace(places, noise="gaussian")) == "bce"
    with pytest.raises(ValueError, match="allowed: bce, or an AmortizedSort"):
        losses.choose("bce+noise_scales", SortingNetwork())
    for loss in ("bce", "likelihood", "auto"):
        with pytest.raises(ValueError, match="loss: received .*allowed: .*plackett_luce, pairwise"):
            losses.choose(loss, None)


def test_every_loss_is_for_some_operator_or_for_none():
    networks = (SortingNetwork(), SortingNetwork(error_free=True))
    operators = (None, LearnedSort(), RelaxedProgram(), *networks)
    assert {name for each in operators for name in losses.meeting(each)} == set(losses.TABLE)
    assert not set(losses.meeting(None)) & set(losses.meeting(LearnedSort()))
    assert all(entry.title and entry.needs.title for entry in losses.TABLE.values())


def test_row_loss_is_computed_by_hand():
    soft = jnp.array([[0.7, 0.3], [0.4, 0.6]])
    loss = functions.row_loss(soft, jnp.array([1, 0]))
    assert float(loss) == pytest.approx(-(math.log(0.3) + math.log(0.4)) / 2, rel=1e-6)


def test_error_free_loss_is_that_of_soft_swaps_and_the_distance_of_exact_ones():
    scores, numbers = jnp.array([[0.1, -1.0, 2.0]]), jnp.array([[1, 3, 2]])
    network = SortingNetwork(error_free=True, temperature=0.5)
    soft = losses.order_loss("bce", SortingNetwork(temperature=0.5), scores, numbers, None)
    loss = losses.order_loss("error_free", network, scores, numbers, None)
    # The scores' order is 1, 0, 2, the true one 0, 2, 1: in no row are the two the same.
    assert float(loss) == pytest.approx(float(soft) + 6 / 9, rel=1e-6)
    by_both, by_soft = (
        jax.grad(lambda s, kind=kind, of=of: losses.order_loss(kind, of, s, numbers, None))(scores)
        for kind, of in (("error_free", network), ("bce", SortingNetwork(temperature=0.5)))
    )
    assert jnp.abs(by_both - by_soft).max() > 1e-3  # the exact swaps have a gradient


def test_plackett_luce_loss_sums_over_what_is_left():
    scores, order = np.array([0.3, -1.0, 2.0]), [1, 0, 2]
    total = 0.0
    for place in range(3):
        left = [math.exp(scores[order[k]]) for k in range(place + 1)]
        total -= math.log(left[-1] / sum(left))
    loss = functions.plackett_luce_loss(jnp.asarray(scores), jnp.asarray(order))
    assert float(loss) == pytest.approx(total / 3, rel=1e-6)


def swaps_of_a_loop(x, temperature, any_swap):
    """Relaxed bubble sort in loops: an If for each pair, a While over the passes."""
    x, counted, found, left = list(x), 0.0, 0.0, 1.0
    for k in range(len(x)):
        again = 0.0
        for i in range(len(x) - 1 - k):
            p = 1 / (1 + math.exp(-(x[i] - x[i + 1]) / temperature))
            x[i : i + 2] = p * x[i + 1] + (1 - p) * x[i], p * x[i] + (1 - p) * x[i + 1]
            again = p + (1 - p) * again
            counted = p + (1 - p) * counted if any_swap else counted + p
        found += (left - left * again) * counted
        left *= again
    return found + left * counted


@pytest.mark.parametrize("loss", ["swaps", "any_swap"])
def test_swaps_are_those_of_a_loop_over_the_true_order(loss):
    scores, numbers = np.array([[0.3, -1.0, 0.8, 0.2], [1.0, 2.0, 3.0, 4.0]]), [3, 1, 2, 4]
    ascending = scores[:, [1, 2, 0, 3]]
    program = RelaxedProgram(temperature=0.5)
    found = losses.order_loss(
        loss, program, jnp.asarray(scores, jnp.float32), jnp.array([numbers] * 2), None
    )
    expected = np.mean([swaps_of_a_loop(each, 0.5, loss == "any_swap") for each in ascending])
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_cold_bubble_sort_counts_inversions_and_no_other_operator_is_asked():
    scores, numbers = jnp.array([[4.0, 1.0, 3.0, 2.0]]), jnp.array([[1, 2, 3, 4]])
    cold = RelaxedProgram(temperature=0.01)
    assert float(losses.order_loss("swaps", cold, scores, numbers, None)) == pytest.approx(4)
    assert float(losses.order_loss("any_swap", cold, scores, numbers, None)) == pytest.approx(1)
    with pytest.raises(ValueError, match="received swaps for SortingNetwork"):
        losses.choose("swaps", SortingNetwork())


def test_pairwise_loss_sums_over_pairs():
    scores, order = np.array([0.3, -1.0, 2.0]), [2, 0, 1]
    pairs = [(2, 0), (2, 1), (0, 1)]  # smaller, larger
    total = sum(math.log1p(math.exp(scores[a] - scores[b])) for a, b in pairs)
    loss = functions.pairwise_loss(jnp.asarray(scores), jnp.asarray(order))
    assert float(loss) == pytest.approx(total / 3, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["insertion_sort", "quicksort"])
def test_trace_loss_is_that_of_a_loop(algorithm):
    operator = LearnedSort(algorithm, normalize=False)
    scores = jnp.array([[0.4, -2.0, 1.0, 0.3], [5.0, 1.0, 0.0, -1.0]])
    order = jnp.array([[1, 0, 3, 2], [2, 3, 0, 1]])
    said = operator.log_trace(scores)
    ranks = jnp.argsort(order, axis=-1)
    expected = float(functions.pointer_loss(said.log_predecessor, said.log_first, order))
    for name, log_weights in said.log_hints.items():
        terms = []
        for row, weights in zip(ranks, np.asarray(log_weights), strict=True):
            recorded = np.asarray(traces.trace(algorithm, row.astype(jnp.float32)).hints[name])
            for choice, said_after in zip(recorded[1:], weights, strict=True):
                rows = np.atleast_2d(said_after)
                terms += [rows[k, c] for k, c in enumerate(np.atleast_1d(choice))]
        expected -= np.mean(terms)
    assert float(functions.trace_loss(operator, scores, order)) == pytest.approx(expected, rel=1e-5)


def test_a_right_trace_is_likelier():
    operator = LearnedSort(normalize=False)
    scores = jnp.array([[10.0, -20.0, 30.0, 0.0]])
    right, wrong = jnp.argsort(scores, axis=-1), jnp.argsort(-scores, axis=-1)
    assert functions.trace_loss(operator, scores, right) < 1.0
    assert functions.trace_loss(operator, scores, wrong) > 10.0


def test_a_loss_is_read_in_parts():
    assert losses.parse("bce") == ("bce", 1.0, False)
    assert losses.parse("plackett_luce/0.5") == ("plackett_luce", 0.5, False)
    assert losses.parse("cauchy_likelihood/0.1+noise_scales") == ("cauchy_likelihood", 0.1, True)
    for text, allowed in (
        ("bce/0.5", "a temperature > 0 after plackett_luce"),
        ("pairwise/-1", "a temperature > 0 after"),
        ("pairwise/cold", "a temperature > 0 after"),
        ("pairwise+noise_scales", r"\+noise_scales after likelihood"),
        ("cauchy_likelihood+depth", r"\+noise_scales after"),
        ("entropy", "allowed: likelihood, pointer"),
    ):
        with pytest.raises(ValueError, match=allowed):
            losses.parse(text)


@pytest.mark.parametrize("name", losses.meeting(None))
def test_a_temperature_divides_the_scores(name):
    scores, numbers = jnp.array([[0.3, -1.0, 2.0]]), jnp.array([[2, 1, 3]])
    cold = losses.order_loss(f"{name}/0.5", None, scores, numbers, jax.random.key(0))
    scaled = losses.order_loss(name, None, 2 * scores, numbers, jax.random.key(0))
    assert float(cold) == pytest.approx(float(scaled), rel=1e-6)


def test_cauchy_pairs_loss_has_the_probability_of_each_pair():
    scores, scales, order = np.array([0.3, -4.0, 2.0]), np.array([1.0, 0.5, 3.0]), [2, 0, 1]
    pairs = [(2, 0), (2, 1), (0, 1)]  # smaller, larger
    gaps = [(scores[b] - scores[a]) / (scales[a] + scales[b]) for a, b in pairs]
    total = -sum(math.log(0.5 + math.atan(gap) / math.pi) for gap in gaps)
    loss = functions.cauchy_pairs_loss(jnp.asarray(scores), jnp.asarray(order), jnp.asarray(scales))
    assert float(loss) == pytest.approx(total / 3, rel=1e-6)
    far = jax.grad(lambda s: functions.cauchy_pairs_loss(s, jnp.array([0, 1])))(
        jnp.array([1e6, 0.0])
    )
    np.testing.assert_allclose(far, [1e-6, -1e-6], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, operator",
    [
        ("likelihood", LearnedSort(noise="cauchy", normalize=False)),
        ("rows", AmortizedSort(noise="cauchy", normalize=False)),
        ("bce", AmortizedSort(noise="cauchy", normalize=False)),
        ("cauchy_pairs", None),
        ("cauchy_likelihood", None),
        ("cauchy_network", None),
    ],
)
def test_noise_scales_forgive_an_error_of_which_the_network_is_not_sure(kind, operator):
    scores, numbers = jnp.array([[0.0, 3.0, 1.0]]), jnp.array([[1, 2, 3]])

    def loss(scale):
        scales = jnp.array([[0.05, scale, 0.05]])
        return losses.order_loss(kind, operator, scores, numbers, jax.random.key(0), scales)

    assert loss(5.0) < loss(0.05) - 0.1
    assert jax.grad(loss)(0.05) < 0


def test_a_cauchy_network_without_noise_scales_is_the_cauchy_network():
    scores, numbers = jnp.array([[0.4, -2.0, 1.0, 0.3, 5.0]]), jnp.array([[3, 1, 4, 2, 5]])
    key = jax.random.key(0)
    found = losses.order_loss("cauchy_network", None, scores, numbers, key)
    # Two unit Cauchy variables differ by one of scale 2; the network's arctangent has scale 1 / pi.
    network = SortingNetwork(distribution="cauchy", temperature=2.0)
    expected = losses.order_loss("bce", network, scores, numbers, key)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
