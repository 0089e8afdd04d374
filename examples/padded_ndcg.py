# SPDX-License-Identifier: Apache-2.0
"""Learning to rank lists of different lengths: NDCG with soft ranks and a mask."""

import jax
import jax.numpy as jnp
import optax

import arlsort

OPERATOR = arlsort.LapSum(temperature=0.3)
LONGEST = 12


def discounted_gain(ranks: jax.Array, relevance: jax.Array, where: jax.Array) -> jax.Array:
    """DCG of each list: gains 2^relevance - 1, discounts log2(rank + 2), masked places left out."""
    gains = (2.0**relevance - 1) / jnp.log2(ranks + 2)
    return jnp.where(where, gains, 0.0).sum(axis=-1)


def ndcg(scores, relevance, where, operator) -> jax.Array:
    """DCG by the ranks of the scores over the best there is, `[lists]`."""
    ranks = arlsort.rank(scores, operator, descending=True, where=where)
    best = arlsort.rank(relevance, arlsort.Hard(), descending=True, where=where)
    most = jnp.maximum(discounted_gain(best, relevance, where), 1e-6)
    return discounted_gain(ranks, relevance, where) / most


def data(key: jax.Array, lists: int = 64) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Two to twelve documents, their relevance from 0 to 4, and which of them there are."""
    seen, unseen, length = jax.random.split(key, 3)
    documents = jax.random.normal(seen, (lists, LONGEST, 6))
    hidden = documents @ jnp.array([1.5, -1.0, 0.5, 0.0, 0.0, 0.0])
    noisy = hidden + 0.3 * jax.random.normal(unseen, hidden.shape)
    where = jnp.arange(LONGEST) < jax.random.randint(length, (lists, 1), 2, LONGEST + 1)
    return documents, jnp.clip(jnp.round(noisy + 1), 0, 4), where


def main(steps: int = 200) -> tuple[float, float]:
    """Trains a linear scorer; returns the exact NDCG before and after."""
    weights, optimizer = 0.01 * jax.random.normal(jax.random.key(0), (6,)), optax.adam(3e-2)
    state = optimizer.init(weights)

    def quality(weights, operator, documents, relevance, where):
        return ndcg(documents @ weights, relevance, where, operator).mean()

    @jax.jit
    def step(weights, state, key):
        gradient = jax.grad(lambda weights: -quality(weights, OPERATOR, *data(key)))(weights)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(weights, updates), state

    test = data(jax.random.key(1), lists=1000)
    before = float(quality(weights, arlsort.Hard(), *test))
    for key in jax.random.split(jax.random.key(2), steps):
        weights, state = step(weights, state, key)
    return before, float(quality(weights, arlsort.Hard(), *test))


if __name__ == "__main__":
    print("NDCG: {:.3f}, after training {:.3f}".format(*main()))
