# SPDX-License-Identifier: Apache-2.0
"""A ranking metric as a loss: NDCG with soft ranks, for search results with graded relevance."""

import jax
import jax.numpy as jnp
import optax

import arlsort

OPERATOR = arlsort.LapSum(temperature=0.3)


def discounted_gain(ranks: jax.Array, relevance: jax.Array) -> jax.Array:
    """DCG of each list, from 0-based ranks: gains 2^relevance - 1, discounts log2(rank + 2)."""
    return ((2.0**relevance - 1) / jnp.log2(ranks + 2)).sum(axis=-1)


def ndcg(scores: jax.Array, relevance: jax.Array, operator: arlsort.Operator) -> jax.Array:
    """DCG by the ranks of the scores over the best there is, `[lists]`; 0 without relevance."""
    ranks = arlsort.rank(scores, operator, descending=True)
    best = arlsort.rank(relevance, arlsort.Hard(), descending=True)
    most = jnp.maximum(discounted_gain(best, relevance), 1e-6)
    return discounted_gain(ranks, relevance) / most


def data(key: jax.Array, lists: int = 64) -> tuple[jax.Array, jax.Array]:
    """Ten documents with six features, and their relevance from 0 to 4."""
    seen, unseen = jax.random.split(key)
    documents = jax.random.normal(seen, (lists, 10, 6))
    hidden = documents @ jnp.array([1.5, -1.0, 0.5, 0.0, 0.0, 0.0])
    noisy = hidden + 0.3 * jax.random.normal(unseen, hidden.shape)
    return documents, jnp.clip(jnp.round(noisy + 1), 0, 4)


def main(steps: int = 200) -> tuple[float, float]:
    """Trains a linear scorer; returns the exact NDCG before and after."""
    weights, optimizer = 0.01 * jax.random.normal(jax.random.key(0), (6,)), optax.adam(3e-2)
    state = optimizer.init(weights)

    def loss(weights, documents, relevance):
        return -ndcg(documents @ weights, relevance, OPERATOR).mean()

    @jax.jit
    def step(weights, state, key):
        updates, state = optimizer.update(jax.grad(loss)(weights, *data(key)), state)
        return optax.apply_updates(weights, updates), state

    documents, relevance = data(jax.random.key(1), lists=1000)
    before = float(ndcg(documents @ weights, relevance, arlsort.Hard()).mean())
    for key in jax.random.split(jax.random.key(2), steps):
        weights, state = step(weights, state, key)
    return before, float(ndcg(documents @ weights, relevance, arlsort.Hard()).mean())


if __name__ == "__main__":
    print("NDCG: {:.3f}, after training {:.3f}".format(*main()))
