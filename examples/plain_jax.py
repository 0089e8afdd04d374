# SPDX-License-Identifier: Apache-2.0
"""Plain JAX and optax: learn a score of items from the order of lists alone."""

import jax
import jax.numpy as jnp
import optax

import arlsort

SORTER = arlsort.AmortizedSort(noise="cauchy", normalize=False, temperature=0.3)


def data(key: jax.Array, lists: int = 64, n: int = 5) -> tuple[jax.Array, jax.Array]:
    """Items `[lists, n, 2]`, and their order: by the distance from the origin."""
    items = jax.random.normal(key, (lists, n, 2))
    return items, jnp.argsort(jnp.linalg.norm(items, axis=-1))


def init(key: jax.Array) -> dict[str, jax.Array]:
    """A network with one hidden layer."""
    one, other = jax.random.split(key)
    first, last = jax.random.normal(one, (2, 32)), jax.random.normal(other, (32,)) / 32**0.5
    return {"first": first, "bias": jnp.zeros(32), "last": last}


def scores(params: dict[str, jax.Array], items: jax.Array) -> jax.Array:
    """One score for each item."""
    return jax.nn.relu(items @ params["first"] + params["bias"]) @ params["last"]


def loss(params: dict[str, jax.Array], items: jax.Array, order: jax.Array) -> jax.Array:
    """How unlikely the order is, under noise on the scores."""
    return -SORTER.log_likelihood(scores(params, items), order).mean()


def main(steps: int = 300) -> float:
    """Trains; returns the share of new lists in exact order."""
    params, optimizer = init(jax.random.key(0)), optax.adam(1e-2)
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, key):
        gradient = jax.grad(loss)(params, *data(key))
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    for key in jax.random.split(jax.random.key(1), steps):
        params, state = step(params, state, key)
    items, order = data(jax.random.key(2), lists=1000)
    return float((jnp.argsort(scores(params, items)) == order).all(axis=-1).mean())


if __name__ == "__main__":
    print(f"lists in exact order: {100 * main():.1f} %")
