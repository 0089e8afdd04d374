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


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", ["lapsum", "softsort", "odd_even", "bitonic"])
def test_dtypes_may_be_strict_and_double(name, dtype):
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        x = jax.ShapeDtypeStruct((4,), dtype)
        found = jax.eval_shape(jax.grad(lambda x: values(name, x)[0]), x)
    assert found.dtype == dtype


def test_second_derivatives_are_those_of_the_sort():
    x = jnp.array([0.3, -1.0, 0.8, 0.1])
    v = jnp.array([1.0, -2.0, 0.5, 1.5])

    def twice(sort):
        return jax.grad(lambda x: jax.grad(lambda x: jnp.sin(sort(x)).sum())(x) @ v)(x)

    operator = arlsort.LapSum(0.5)
    got = twice(lambda x: values(operator, x))
    np.testing.assert_allclose(got, twice(lambda x: arlsort.sort(x, operator)), atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 4), (2, 0)])
@pytest.mark.parametrize("name", ["lapsum", "softsort", "odd_even", "bitonic"])
def test_there_may_be_no_lists_or_no_scores(name, shape):
    kinds, along = (AxisType.Auto,), PartitionSpec(None, "n")
    mesh = jax.make_mesh((1,), ("n",), axis_types=kinds, devices=jax.devices()[:1])
    run = jax.shard_map(
        lambda x: sharding.sort(x, name, "n"), mesh=mesh, in_specs=along, out_specs=along
    )
    assert run(jnp.zeros(shape)).shape == shape


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
