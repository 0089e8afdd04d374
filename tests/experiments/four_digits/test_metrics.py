# SPDX-License-Identifier: Apache-2.0
"""EM, EW and EM5 are what plain loops find."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.four_digits.metrics import accuracy


def by_loops(scores, numbers):
    def order(values):
        return sorted(range(len(values)), key=lambda i: (values[i], i))

    right = [a == b for a, b in zip(order(scores), order(numbers), strict=True)]
    first = order(scores[:5]) == order(numbers[:5])
    return {"em": float(all(right)), "ew": sum(right) / len(right), "em5": float(first)}


@pytest.mark.parametrize("n", [2, 3, 5, 9])
def test_metrics_are_those_of_loops(n):
    rng = np.random.default_rng(n)
    numbers = rng.integers(0, 12, (200, n))  # ties are frequent
    scores = (numbers + rng.normal(0, 0.8, (200, n))).astype(np.float32)
    found = accuracy(jnp.asarray(scores), jnp.asarray(numbers))
    for i in range(200):
        expected = by_loops(list(scores[i]), list(numbers[i]))
        for name, value in expected.items():
            assert float(found[name][i]) == pytest.approx(value, abs=1e-6), name
    assert 0 < float(found["em"].mean()) < 1


def test_first_five_are_the_first_of_the_list():
    numbers = jnp.array([[5, 4, 3, 2, 1, 0]])
    scores = jnp.array([[5.0, 4.0, 3.0, 2.0, 1.0, 9.0]])
    found = {name: float(value[0]) for name, value in accuracy(scores, numbers).items()}
    assert found == {"em": 0.0, "ew": 0.0, "em5": 1.0}


def test_equal_numbers_count_in_the_order_of_the_list():
    numbers = jnp.array([[7, 7]])
    assert float(accuracy(jnp.array([[0.0, 1.0]]), numbers)["em"][0]) == 1.0
    assert float(accuracy(jnp.array([[1.0, 0.0]]), numbers)["em"][0]) == 0.0
