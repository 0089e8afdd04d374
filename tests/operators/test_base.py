# SPDX-License-Identifier: Apache-2.0
import dataclasses
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from arlsort.operators import base
from arlsort.operators.hard import Hard
from arlsort.operators.softsort import SoftSort
from arlsort.operators.sorting_network import SortingNetwork


@base.register
@dataclasses.dataclass(frozen=True)
class Halve(base.Operator):
    """A toy without weights."""

    has_permutation: ClassVar[bool] = False

    def _sort(self, scores):
        return jnp.sort(scores) / 2


def test_an_operator_without_weights_sorts_and_says_who_has_them():
    x = jnp.array([2.0, 1.0])
    np.testing.assert_array_equal(Halve().sort(x), [0.5, 1.0])
    for call in (
        lambda: arlsort.permutation(x, Halve()),
        lambda: arlsort.rank(x, Halve()),
        lambda: arlsort.argsort(x, Halve()),
        lambda: Halve()(x),
    ):
        with pytest.raises(ValueError, match=r"Halve, which has values only, allowed: .*SoftSort"):
            call()


def test_softmax_neither_overflows_nor_changes_small_cases():
    logits = jnp.array([[3.0, 1.0, -2.0], [0.0, 0.0, 0.0], [1e38, -1e38, 0.0]])
    for temperature in (1e-6, 0.5, 100.0):
        weights = base.softmax(logits, temperature)
        np.testing.assert_allclose(weights[0], jax.nn.softmax(logits[0] / temperature), rtol=1e-5)
        np.testing.assert_allclose(weights[2], [1.0, 0.0, 0.0])
        jacobian = jax.jacobian(base.softmax, argnums=(0, 1))(logits, temperature)
        chex.assert_tree_all_finite(jacobian)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), np.float32(-2)])
def test_concrete_temperatures_are_checked(value):
    with pytest.raises(ValueError, match=r"temperature: received .*, allowed: a finite number > 0"):
        SoftSort(temperature=value)


@pytest.mark.parametrize("value", ["no", 0, None])
def test_a_flag_that_is_no_bool_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"hard: received .*, allowed: True or False"):
        SoftSort(hard=value)
    with pytest.raises(TypeError, match=r"descending: received .*, allowed: True or False"):
        arlsort.sort(jnp.ones(2), "hard", descending=value)


def test_a_choice_among_numbers_takes_no_bool():
    with pytest.raises(ValueError, match="power: received True, allowed: 1, 2"):
        SoftSort(power=True)


def test_a_temperature_that_is_no_number_is_a_type_error():
    with pytest.raises(TypeError, match="temperature: received 'hot'"):
        SoftSort(temperature="hot")


def test_a_vector_of_temperatures_is_refused_and_vmap_is_the_way():
    temperatures = jnp.array([0.1, 1.0])
    x = jnp.array([1.0, 2.0, 0.0])
    with pytest.raises(ValueError, match=r"temperature: received shape \(2,\)"):
        SoftSort(temperature=temperatures).sort(x)
    values = jax.vmap(lambda t: SoftSort(temperature=t).sort(x))(temperatures)
    np.testing.assert_allclose(values[1], SoftSort(temperature=1.0).sort(x), rtol=1e-6)


def test_operators_are_pytrees_that_transformations_may_fill_with_anything():
    operator = SoftSort(temperature=0.5)
    assert jax.tree.leaves(operator) == [0.5]
    gradient = jax.grad(lambda op: op.sort(jnp.array([0.0, 1.0]))[0])(operator)
    assert isinstance(gradient, SoftSort)
    assert jax.device_get(jax.tree.map(jnp.negative, gradient)).temperature != 0


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0, 2.0], TypeError, "x: received list, allowed: a JAX or NumPy array"),
        (np.array([1, 2]), TypeError, "x: received dtype int64, allowed: float16 or bfloat16"),
        (np.array([1j]), TypeError, "x: received dtype complex128"),
        (jnp.float32(1.0), ValueError, "x: received a scalar, allowed: an array of rank 1 or more"),
    ],
)
def test_bad_scores_are_named(x, error, message):
    for method in (SoftSort(), SoftSort().sort, SoftSort().permutation):
        with pytest.raises(error, match=message):
            method(x)


def test_rows_must_match_their_keys():
    keys = jnp.zeros((2, 3))
    with pytest.raises(ValueError, match=r"rows: received shape \(3, 4\), allowed: \(2, 3, 'd'\)"):
        SoftSort().sort_by(keys, jnp.zeros((3, 4)))
    with pytest.raises(TypeError, match="keys: received dtype int32"):
        SoftSort().sort_by(keys.astype(jnp.int32), jnp.zeros((2, 3, 1)))


def test_infinities_count_as_the_documented_bound():
    bound = float(np.finfo(np.float32).max) / 2**16
    x = jnp.array([np.inf, 0.0, -np.inf, 1.0])
    # Of the score 1 the position of 0 gets exp(-100), which is subnormal: not every device has 0.
    found, tiny = SoftSort(temperature=0.01).sort(x), np.finfo(np.float32).tiny
    np.testing.assert_allclose(found, [-bound, 0.0, 1.0, bound], rtol=0, atol=tiny)


def test_an_operator_is_a_tree_of_anything():
    operator = SortingNetwork(temperature=0.5)
    assert jax.tree.leaves(jax.tree.map(lambda _: "label", operator)) == ["label", "label"]
    assert jax.tree.map(lambda leaf: -leaf, operator).temperature == -0.5


@pytest.mark.parametrize("network", ["odd_even", "bitonic"])
def test_a_float64_temperature_does_not_change_the_dtype(network):
    with jax.enable_x64(True):
        x = jnp.array([3.0, 1.0, 2.0], jnp.float32)
        operator = SortingNetwork(network, temperature=np.float64(0.1))
        assert operator.sort(x).dtype == operator.permutation(x).dtype == jnp.float32


@pytest.mark.parametrize("temperature", [jnp.float32(-1), np.array(0.0), None, 1j, True, "1"])
def test_a_temperature_of_any_container_is_checked(temperature):
    with pytest.raises((TypeError, ValueError), match="temperature"):
        SortingNetwork(temperature=temperature)


def test_exact_rows_may_be_infinite():
    keys, rows = jnp.array([3.0, 1.0, 2.0]), jnp.array([[jnp.inf, 1.0], [2.0, 3.0], [4.0, 5.0]])
    expected = rows[jnp.array([1, 2, 0])]
    for operator in (Hard(), SortingNetwork(hard=True)):
        np.testing.assert_array_equal(operator.sort_by(keys, rows), expected)
