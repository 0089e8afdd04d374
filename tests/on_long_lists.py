# SPDX-License-Identifier: Apache-2.0
"""What `test_sharding.py` runs in a process with eight devices: prints what went wrong.

    python -m tests.on_long_lists SECONDS

Values and gradients of lists that are shared among devices are compared with those of one device;
programs gather nothing, and need less memory the more devices there are. So do quantiles of lists
that devices have alone.
"""

import faulthandler
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import arlsort
from arlsort import sharding

ALONG = PartitionSpec("lists", "n")
# With the length at which memory is compared: SoftSort has blocks of a megabyte at any length.
OPERATORS = {
    arlsort.LapSum(temperature=0.3): 2**14,
    arlsort.LapSum(temperature=30.0): 2**14,  # thresholds far from the points of their positions
    arlsort.SoftSort(temperature=0.3): 2**20,
    arlsort.SoftSort(temperature=0.3, power=2): 2**20,
    arlsort.SortingNetwork("bitonic"): 2**11,
    arlsort.SortingNetwork("odd_even_merge", distribution="gaussian"): 2**8,
    arlsort.SortingNetwork("odd_even", distribution="logistic"): 2**11,
}


def shared(operator, mesh):
    def sort(x):
        return sharding.sort(x, operator, "n")

    return jax.shard_map(sort, mesh=mesh, in_specs=ALONG, out_specs=ALONG)


def with_gradient(sort):
    def run(x):
        values, pull = jax.vjp(sort, x)
        return values, pull(jnp.cos(values))[0]

    return jax.jit(run)


def compare(operator, mesh):
    x = np.random.default_rng(1).normal(size=(2, 32)).astype(np.float32)
    x[0, 5] = x[0, 20] = x[0, 21]  # ties within and between devices
    x[1, 3], x[1, 30] = np.inf, -np.inf
    split = jax.device_put(x, NamedSharding(mesh, ALONG))
    got = with_gradient(shared(operator, mesh))(split)
    assert got[0].sharding.spec == ALONG
    wanted = with_gradient(lambda x: arlsort.sort(x, operator))(jnp.asarray(x))
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    x[0, 9] = np.nan
    split = jax.device_put(x, NamedSharding(mesh, ALONG))
    values = np.asarray(jax.jit(shared(operator, mesh))(split))
    assert np.isnan(values[0]).all() and not np.isnan(values[1]).any()


def measure(operator, n, gradient=False):
    needed = {}
    for devices in (2, 8):
        mesh = jax.make_mesh((1, devices), ("lists", "n"), devices=jax.devices()[:devices])
        x = jax.ShapeDtypeStruct((1, n), jnp.float32, sharding=NamedSharding(mesh, ALONG))
        run = shared(operator, mesh)
        compiled = (with_gradient if gradient else jax.jit)(run).lower(x).compile()
        text = compiled.as_text()
        assert "all-gather" not in text and "all-to-all" not in text, "gathers"
        memory = compiled.memory_analysis()
        needed[devices] = memory.temp_size_in_bytes + memory.output_size_in_bytes
        if gradient:  # two results, and where they are
            assert 0 <= memory.output_size_in_bytes - 2 * 4 * n // devices <= 16
        else:
            assert memory.output_size_in_bytes == 4 * n // devices
    assert needed[8] < 0.5 * needed[2], needed
    return needed


def check_quantiles():
    mesh = jax.make_mesh((8,), ("lists",), axis_types=(jax.sharding.AxisType.Explicit,))
    x = jnp.asarray(np.random.default_rng(2).normal(size=(16, 64)), jnp.float32)

    def run(x):
        return arlsort.quantile(x, jnp.array([0.3, 0.5]), "neuralsort")

    with jax.set_mesh(mesh):
        split = jax.device_put(x, NamedSharding(mesh, PartitionSpec("lists")))
        compiled = jax.jit(run).lower(split).compile()
        got = np.asarray(compiled(split))
    assert "all-gather" not in compiled.as_text(), "quantiles gather"
    np.testing.assert_allclose(got, run(x), rtol=1e-5)


def main():
    assert jax.device_count() == 8
    mesh = jax.make_mesh((2, 4), ("lists", "n"))
    for operator, n in OPERATORS.items():
        try:
            compare(operator, mesh)
            print(operator, n, measure(operator, n), file=sys.stderr)
            if isinstance(operator, arlsort.LapSum):  # its gradient needs no more of the list
                print(operator, n, measure(operator, n, gradient=True), file=sys.stderr)
        except Exception as error:
            print(f"{operator}: {type(error).__name__}: {str(error)[:600]}")
    check_quantiles()


if __name__ == "__main__":
    faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True)
    main()
