# SPDX-License-Identifier: Apache-2.0
"""A Flax NNX module with an operator inside: its temperature is trained with its weights."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import arlsort


class SoftRanker(nnx.Module):
    """Ranks the items of a list: features in, soft ranks out."""

    def __init__(self, features: int, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(features, 32, rngs=rngs)
        self.score = nnx.Linear(32, 1, rngs=rngs)
        self.log_temperature = nnx.Param(jnp.zeros(()))

    def __call__(self, items: jax.Array) -> jax.Array:
        """`[lists, n, features]` to `[lists, n]`."""
        scores = self.score(nnx.relu(self.hidden(items)))[..., 0]
        operator = arlsort.SoftSort(temperature=jnp.exp(self.log_temperature[...]))
        return arlsort.rank(scores, operator)


def data(key: jax.Array, lists: int = 64) -> tuple[jax.Array, jax.Array]:
    """Items `[lists, 5, 3]`, and the exact rank of each: by the product of two features."""
    items = jax.random.uniform(key, (lists, 5, 3))
    return items, jnp.argsort(jnp.argsort(items[..., 0] * items[..., 1])).astype(items.dtype)


def main(steps: int = 300) -> tuple[float, float]:
    """Trains; returns the mean squared error of ranks before and after."""
    model = SoftRanker(3, nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)

    def loss(model, items, ranks):
        return jnp.mean((model(items) - ranks) ** 2)

    @nnx.jit
    def step(model, optimizer, key):
        optimizer.update(model, nnx.grad(loss)(model, *data(key)))

    test = data(jax.random.key(1), lists=1000)
    before = float(loss(model, *test))
    for key in jax.random.split(jax.random.key(2), steps):
        step(model, optimizer, key)
    return before, float(loss(model, *test))


if __name__ == "__main__":
    print("mean squared error of the ranks: {:.2f}, after training {:.2f}".format(*main()))
