# SPDX-License-Identifier: Apache-2.0
"""Programs have the values and gradients of the package `algovision`, which runs here."""

import json

import numpy as np
import pytest

from tests.programs import algovision_programs as written
from tests.programs.test_algovision import ATOL, CASES, RTOL, _check, _program

pytestmark = pytest.mark.peers
algovision = pytest.importorskip("algovision")
torch = pytest.importorskip("torch")


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_the_recorded_numbers_are_the_packages(case):
    case = json.loads(json.dumps(case))
    found = written.of_package(algovision, torch, case)
    for name, values in found.items():
        for got, expected in zip(values, case[name], strict=True):
            np.testing.assert_allclose(got, expected, rtol=RTOL, atol=ATOL)


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("n, beta", [(4, 1.0), (6, 8.0)])
def test_other_lists_are_sorted_alike(n, beta):
    inputs = [np.random.default_rng(n).normal(size=(1, n)).tolist()]
    case = {"program": "bubble_sort", "options": {"beta": beta, "epsilon": 0.0}, "inputs": inputs}
    found = written.of_package(algovision, torch, case)
    _check(_program("bubble_sort", (("epsilon", 0.0),)), inputs, beta, {**case, **found})
