# SPDX-License-Identifier: Apache-2.0
"""Quadratic layers: feasible whatever they learn, alike in Haiku and plain JAX, and they learn."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from arlsort import quadratic_layer as ql

N, M, E = 4, 3, 1
RNG = np.random.default_rng(0)
P = RNG.normal(size=(8, N)).astype(np.float32)


def test_the_module_is_the_function_and_its_program_is_feasible():
    module = hk.transform(lambda p: ql.QuadraticLayer(M, E)(p))
    weights = module.init(jax.random.key(0), P)
    # Whatever is learned, `inside` meets all constraints.
    rough = jax.tree.map(lambda w: w + 2 * RNG.normal(size=w.shape).astype(w.dtype), weights)
    found = module.apply(rough, None, P)
    plain = ql.apply_layer(ql.LayerParameters(**rough["quadratic_layer"]), jnp.asarray(P))
    np.testing.assert_array_equal(found.z, plain.z)
    assert found.converged.all()
    first = weights["quadratic_layer"]
    drawn = ql.init_layer(jax.random.key(0), N, M, E)
    assert {name: value.shape for name, value in first.items()} == {
        name: value.shape for name, value in drawn._asdict().items()
    }


@pytest.mark.slow
def test_a_layer_learns_the_program_that_made_its_data():
    teacher = ql.init_layer(jax.random.key(1), N, M)
    p = 3 * jax.random.normal(jax.random.key(2), (64, N))
    target = ql.apply_layer(teacher, p).z
    student, optimizer = ql.init_layer(jax.random.key(3), N, M), optax.adam(0.03)
    state = optimizer.init(student)

    @jax.jit
    def step(parameters, state):
        def loss(parameters):
            return jnp.mean((ql.apply_layer(parameters, p).z - target) ** 2)

        value, slope = jax.value_and_grad(loss)(parameters)
        updates, state = optimizer.update(slope, state)
        return value, optax.apply_updates(parameters, updates), state

    values = []
    for _ in range(300):
        value, student, state = step(student, state)
        values.append(float(value))
    assert values[-1] < 0.1 * values[0]


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"n": 0}, ValueError, "n: received 0"),
        ({"n": 2.0}, TypeError, "n: received 2.0"),
        ({"inequalities": -1}, ValueError, "inequalities: received -1"),
        ({"equalities": 2}, ValueError, "equalities: received 2, allowed: fewer than n = 2"),
    ],
)
def test_errors_name_the_argument(arguments, error, words):
    with pytest.raises(error, match=words):
        ql.init_layer(jax.random.key(0), **({"n": 2, "inequalities": 1} | arguments))


def test_parameters_are_single_precision_whatever_the_default_is():
    with jax.enable_x64(True):
        drawn = jax.eval_shape(lambda: ql.init_layer(jax.random.key(0), N, M, E))
    assert {leaf.dtype for leaf in drawn} == {np.dtype(np.float32)}
