# SPDX-License-Identifier: Apache-2.0
"""An Equinox module with an operator as a field; a new temperature does not compile again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import arlsort


class MedianPool(eqx.Module):
    """Pools a set of features by their soft medians, which a few outliers cannot move far."""

    embed: eqx.nn.Linear
    read: eqx.nn.Linear
    operator: arlsort.Operator

    def __init__(self, operator: arlsort.Operator, key: jax.Array):
        self.embed = eqx.nn.Linear(1, 16, key=key)
        self.read = eqx.nn.Linear(16, 1, key=jax.random.fold_in(key, 1))
        self.operator = operator

    def __call__(self, numbers: jax.Array) -> jax.Array:
        """`[n]` to a number."""
        features = jax.nn.tanh(jax.vmap(self.embed)(numbers[:, None]))
        kept = jax.lax.stop_gradient(self.operator)  # its temperature is not to be trained
        return self.read(arlsort.median(features, kept, axis=0))[0]


def data(key: jax.Array, sets: int = 128) -> tuple[jax.Array, jax.Array]:
    """Nine numbers around a centre, two of them far off, and the centre."""
    where, noise, wild = jax.random.split(key, 3)
    centre = jax.random.uniform(where, (sets,), minval=-1.0)
    near = centre[:, None] + 0.1 * jax.random.normal(noise, (sets, 9))
    return near.at[:, :2].add(5 * jax.random.normal(wild, (sets, 2))), centre


def main(steps: int = 300) -> tuple[float, float]:
    """Trains; returns the mean squared error before and after."""
    model = MedianPool(arlsort.SoftSort(temperature=jnp.array(0.1)), jax.random.key(0))
    state = (optimizer := optax.adam(1e-2)).init(eqx.filter(model, eqx.is_array))

    @eqx.filter_value_and_grad
    def loss(model, numbers, centre):
        return jnp.mean((jax.vmap(model)(numbers) - centre) ** 2)

    @eqx.filter_jit
    def step(model, state, key):
        updates, state = optimizer.update(loss(model, *data(key))[1], state)
        return eqx.apply_updates(model, updates), state

    before = loss(model, *(test := data(jax.random.key(1), sets=1000)))[0]
    for key in jax.random.split(jax.random.key(2), steps):
        model, state = step(model, state, key)
    return float(before), float(loss(model, *test)[0])


if __name__ == "__main__":
    print("mean squared error of the centre: {:.4f}, after training {:.4f}".format(*main()))
