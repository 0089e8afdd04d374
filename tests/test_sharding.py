# SPDX-License-Identifier: Apache-2.0
"""Lists shared among devices: what is allowed, and in a process of eight, what comes out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import arlsort
from arlsort import sharding
from tests import eight_devices


def values(operator, x):
    kinds, along = (AxisType.Auto,), PartitionSpec("n")
    mesh = jax.make_mesh((1,), ("n",), axis_types=kinds, devices=jax.devices()[:1])
    run = jax.shard_map(
        lambda x: sharding.sort(x, operator, "n"), mesh=mesh, in_specs=along, out_specs=along
    )
    return run(x)


@pytest.mark.parametrize("kind", [arlsort.LapSum, arlsort.SoftSort])
def test_one_device_gives_the_sort(kind):
    x, operator = jnp.array([3.0, 1.0, 4.0, 1.0]), kind(temperature=0.5)
    np.testing.assert_allclose(values(operator, x), arlsort.sort(x, operator), rtol=1e-5)


@pytest.mark.parametrize(
    "operator, n, message",
    [
        ("neuralsort", 4, "operator: received NeuralSort"),
        (arlsort.SoftSort(hard=True), 4, "neither hard"),
        (arlsort.SortingNetwork(error_free=True), 4, "operator: received SortingNetwork"),
        ("bitonic", 6, "x: received lists of 6, allowed: a power of two"),
        ("odd_even", 3, "x: received parts of 3, allowed: an even number"),
    ],
)
def test_what_cannot_be_shared_is_named(operator, n, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda x: values(operator, x), jnp.zeros(n))


def test_an_axis_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="axis_name: received 'n', allowed: an axis that"):
        sharding.sort(jnp.zeros(4), "softsort", "n")


@pytest.mark.slow
def test_eight_devices_give_the_values_of_one_and_need_less_memory_each():
    seconds = str(eight_devices.SECONDS)
    assert eight_devices.run("-m", "tests.on_long_lists", seconds) == ""


@pytest.mark.slow
def test_the_program_of_the_page_runs_with_eight_devices():
    page = (eight_devices.ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
    (program,) = (part.split("```")[0] for part in page.split("```python\n")[1:])
    assert "nothing gathered: True" in eight_devices.run("-c", program)
