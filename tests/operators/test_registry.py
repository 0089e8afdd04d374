# SPDX-License-Identifier: Apache-2.0
import pytest

from arlsort.operators import parse, registry
from arlsort.operators.neuralsort import NeuralSort
from arlsort.operators.softsort import SoftSort
from arlsort.operators.sorting_network import SortingNetwork


@pytest.mark.parametrize("name", registry.names())
def test_every_row_builds_documents_itself_and_round_trips(name):
    entry = registry.REGISTRY[name]
    assert entry.summary
    assert entry.paper
    assert registry.get(name) == parse(name) == entry.build()
    assert parse(name, supervision=True) == entry.build(**entry.supervision)


@pytest.mark.parametrize("name", registry.names())
def test_every_field_can_be_set_from_a_string(name):
    for field, default in registry.REGISTRY[name].hyperparameters().items():
        text = "cauchy" if field == "noise" else "somewhere"
        text = text if default is None else str(default)
        operator = parse(f"{name}:{field}={text}")
        assert getattr(operator, field) == (text if default is None else default)


def test_strings_set_hyperparameters_over_the_supervision_settings():
    spec = "odd_even: distribution=logistic, temperature=0.5, hard=true"
    expected = SortingNetwork("odd_even", "logistic", 0.5, hard=True)
    assert parse(spec) == parse(spec, supervision=True) == expected
    assert parse("neuralsort:stochastic=1,num_samples=4") == NeuralSort(
        stochastic=True, num_samples=4
    )


def test_an_operator_object_is_returned_as_it_is():
    operator = SoftSort()
    assert registry.get(operator) is operator


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "softsrt",
            "operator: received 'softsrt', allowed: .*, odd_even, .*did you mean 'softsort'",
        ),
        ("odd_even:steepness=10", "hyperparameter: received 'steepness', allowed: hard, dist"),
        ("odd_even:temprature=10", "did you mean 'temperature'"),
        ("odd_even:network=bitonic", "hyperparameter: received 'network'"),
        ("odd_even:temperature", "temperature: received no value"),
        ("odd_even:temperature=cold", "temperature: received 'cold', allowed: a float"),
        ("odd_even:temperature=-1", "temperature: received -1.0"),
        ("odd_even:hard=maybe", "hard: received 'maybe', allowed: true or false"),
        ("odd_even:distribution=normal", "distribution: received 'normal', allowed: 'logistic'"),
        ("neuralsort:num_samples=1.5", "num_samples: received '1.5', allowed: a int"),
        ("softsort:power=1,power=2", "power: received two values, allowed: one"),
    ],
)
def test_what_is_wrong_with_a_string_is_named(spec, message):
    with pytest.raises(ValueError, match=message):
        parse(spec)


@pytest.mark.parametrize("operator", [3, None, SoftSort])
def test_something_else_is_a_type_error(operator):
    with pytest.raises(TypeError, match=r"operator: received .*, allowed: an operator object"):
        registry.get(operator)
    with pytest.raises(TypeError, match="spec: received .*, allowed: a string"):
        parse(operator)
