# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import stats
from jax.sharding import AxisType, PartitionSpec

from arlsort.networks import swaps
from arlsort.numerics import noise, normal

V = [-40.0, -3.0, -0.2, 0.0, 0.7, 5.0, 40.0]
FUNCTIONS = {
    **{f"{name}_below": law.below for name, law in noise.LAWS.items()},
    **{f"{name}_pairs": law.probability_not_larger for name, law in noise.LAWS.items()},
    **{f"swap_{name}": tail for name, tail in swaps.DISTRIBUTIONS.items()},
}


def test_it_is_that_of_scipy_and_so_are_its_derivatives():
    with jax.enable_x64(True):
        v = jnp.array(V)
        np.testing.assert_array_equal(normal.distribution(v), stats.norm.cdf(v))
        slope = jax.vmap(jax.grad(normal.distribution))
        np.testing.assert_allclose(slope(v), stats.norm.pdf(v), rtol=1e-13)
        bend = jax.jvp(slope, (v,), (jnp.ones_like(v),))[1]
        np.testing.assert_allclose(bend, -v * stats.norm.pdf(v), rtol=1e-13)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_laws_and_swaps_are_differentiated_under_shard_map(name):
    function, spec = FUNCTIONS[name], PartitionSpec("data")

    def slopes(v):
        return jax.vmap(jax.jacfwd(jax.grad(function)))(v), jax.grad(lambda v: function(v).sum())(v)

    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    mapped = jax.shard_map(slopes, mesh=mesh, in_specs=spec, out_specs=spec)
    jax.jit(mapped).lower(jnp.array([0.3, 0.8]))


def test_it_is_flat_at_infinities():
    v = jnp.array([-jnp.inf, jnp.inf])
    np.testing.assert_array_equal(normal.distribution(v), [0.0, 1.0])
    slope = jax.grad(normal.distribution)
    np.testing.assert_array_equal(jax.vmap(slope)(v), [0.0, 0.0])
    np.testing.assert_array_equal(jax.vmap(jax.grad(slope))(v), [0.0, 0.0])
