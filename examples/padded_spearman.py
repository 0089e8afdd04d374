# SPDX-License-Identifier: Apache-2.0
"""Rank correlation of lists of different lengths: Spearman's, with soft ranks and a mask."""

import jax
import jax.numpy as jnp
import optax

import arlsort

OPERATOR = arlsort.LapSum(temperature=0.3)
LONGEST = 12


def spearman(scores, targets, where, operator) -> jax.Array:
    """Correlation of the ranks of each list of at least two items, `[lists]`."""
    count = where.sum(axis=-1, keepdims=True)

    def centred(x, method):
        ranks = arlsort.rank(x, method, where=where) - (count - 1) / 2  # their mean is known
        return jnp.where(where, ranks, 0.0)

    ours, theirs = centred(scores, operator), centred(targets, arlsort.Hard())
    squares = (ours**2).sum(axis=-1) * (theirs**2).sum(axis=-1)
    return (ours * theirs).sum(axis=-1) / jnp.sqrt(squares + 1e-6)


def data(key: jax.Array, lists: int = 64) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Two to twelve items, what they are worth, and which of them there are."""
    seen, length = jax.random.split(key)
    items = jax.random.normal(seen, (lists, LONGEST, 6))
    worth = jnp.exp(items @ jnp.array([1.5, -1.0, 0.5, 0.0, 0.0, 0.0]))
    where = jnp.arange(LONGEST) < jax.random.randint(length, (lists, 1), 2, LONGEST + 1)
    return items, worth, where


def main(steps: int = 200) -> tuple[float, float]:
    """Trains a linear scorer; returns the exact correlation before and after."""
    weights, optimizer = 0.01 * jax.random.normal(jax.random.key(0), (6,)), optax.adam(3e-2)
    state = optimizer.init(weights)

    def quality(weights, operator, items, worth, where):
        return spearman(items @ weights, worth, where, operator).mean()

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
    print("Spearman's correlation: {:.3f}, after training {:.3f}".format(*main()))
