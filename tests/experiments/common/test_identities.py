# SPDX-License-Identifier: Apache-2.0
"""What an operator is can be kept as JSON and read again, whatever its settings are."""

import json

import pytest

from arlsort import operators
from experiments.common import identities


@pytest.mark.parametrize("name", operators.names())
def test_settings_of_every_operator_survive_json(name):
    found = identities.fields(name, operators.parse(name))
    assert found is not None and found["name"] == name
    assert json.loads(json.dumps(found)) == found


def test_only_trained_operators_have_weights():
    assert identities.fields("none", None) is identities.weights(None) is None
    assert identities.weights(operators.parse("softsort")) is None
    plain, orders = (
        identities.weights(operators.parse("amortized"), likelihood=of) for of in (False, True)
    )
    assert plain != orders and len(plain) == len(orders) == 64
