# SPDX-License-Identifier: Apache-2.0
"""What is compared is what the operators give."""

import jax
import numpy as np

from arlsort.operators.learned import LearnedSort
from experiments.research import mean_runs


def test_readings_of_a_network_are_those_of_its_operator():
    scores = 10 * jax.random.uniform(jax.random.key(0), (4,))
    operator = LearnedSort(temperature=1.0, normalize=False)
    readings = mean_runs.learned(operator, operator.log_trace(scores), scores)
    np.testing.assert_allclose(readings["run"], operator.permutation(scores), atol=1e-6)
    truth = np.eye(4)[np.argsort(scores)]
    for name, weights in readings.items():
        assert 0 < mean_runs.divergence(truth, weights) < 1, name


def test_exact_runs_are_read_as_they_are():
    copies = np.array([[2.0, 1.0, 3.0]])
    trace, truth = mean_runs.mean_run("insertion_sort", copies)
    for name, weights in mean_runs.exact("insertion_sort", trace).items():
        np.testing.assert_allclose(weights, truth, atol=1e-3, err_msg=name)
