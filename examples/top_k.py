# SPDX-License-Identifier: Apache-2.0
"""Selection with a budget: which 3 of 20 features should a model get to see?"""

import jax
import jax.numpy as jnp
import optax

import arlsort

BUDGET, FEATURES, USEFUL = 3, 20, (4, 11, 17)


def data(key: jax.Array, rows: int = 128) -> tuple[jax.Array, jax.Array]:
    """Features, and a target that three of them determine."""
    x = jax.random.normal(key, (rows, FEATURES))
    return x, x[:, USEFUL[0]] - x[:, USEFUL[1]] + x[:, USEFUL[2]]


def gate(scores: jax.Array, operator: arlsort.Operator) -> jax.Array:
    """How much of each feature is let through: about 1 for the top k, together exactly k."""
    _, weights = arlsort.top_k(scores, BUDGET, operator)  # [BUDGET, FEATURES]
    return weights.sum(axis=0)


def main(steps: int = 400) -> list[int]:
    """Trains weights and scores together, colder and colder; returns the chosen features."""
    params = {"weights": jnp.zeros(FEATURES), "scores": jnp.zeros(FEATURES)}
    optimizer = optax.adam(3e-2)
    state = optimizer.init(params)

    def loss(params, x, y, operator):
        seen = x * gate(params["scores"], operator)
        return jnp.mean((seen @ params["weights"] - y) ** 2)

    @jax.jit
    def step(params, state, key, operator):
        gradient = jax.grad(loss)(params, *data(key), operator)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    for i, key in enumerate(jax.random.split(jax.random.key(0), steps)):
        operator = arlsort.LapSum(temperature=0.5 * 0.1 ** (i / steps))  # compiled once
        params, state = step(params, state, key, operator)
    chosen = gate(params["scores"], arlsort.Hard())
    return [j for j in range(FEATURES) if chosen[j] == 1]


if __name__ == "__main__":
    print(f"chosen: {main()}, useful: {list(USEFUL)}")
