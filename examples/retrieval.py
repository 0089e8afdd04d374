# SPDX-License-Identifier: Apache-2.0
"""Retrieval: an embedding is trained so that the soft neighbours of a query are of its class."""

import jax
import jax.numpy as jnp
import optax

import arlsort
from arlsort import neighbours

CLASSES, NOISE, K = 4, 12, 5
OPERATOR = arlsort.LapSum(temperature=0.5)


def data(key: jax.Array, rows: int) -> tuple[jax.Array, jax.Array]:
    """Two features tell the classes apart, in a checkerboard; twelve louder ones do not."""
    where, label, noise = jax.random.split(key, 3)
    labels = jax.random.randint(label, (rows,), 0, CLASSES)
    corner = jnp.stack([labels % 2, labels // 2], axis=-1)
    useful = corner + 0.2 * jax.random.normal(where, (rows, 2))
    return jnp.hstack([useful, 2 * jax.random.normal(noise, (rows, NOISE))]), labels


def accuracy(embed, queries, candidates) -> float:
    """How often the K exact neighbours vote for the right class."""
    (x, labels), (known, known_labels) = queries, candidates
    found = neighbours.knn_predict(embed(x), embed(known), known_labels, K, CLASSES)
    return float((found == labels).mean())


def main(steps: int = 200) -> tuple[float, float]:
    """Trains a linear embedding; returns the accuracy of neighbours before and after."""
    weights, optimizer = 0.5 * jnp.eye(2 + NOISE), optax.adam(1e-2)
    state = optimizer.init(weights)

    def loss(weights, key):
        one, other = jax.random.split(key)
        (queries, labels), (candidates, known) = data(one, 50), data(other, 100)
        embedded = queries @ weights, candidates @ weights
        return neighbours.knn_loss(*embedded, labels, known, K, OPERATOR)

    @jax.jit
    def step(weights, state, key):
        updates, state = optimizer.update(jax.grad(loss)(weights, key), state)
        return optax.apply_updates(weights, updates), state

    test, known = data(jax.random.key(1), 500), data(jax.random.key(2), 500)
    before = accuracy(lambda x: x @ weights, test, known)
    for key in jax.random.split(jax.random.key(3), steps):
        weights, state = step(weights, state, key)
    return before, accuracy(lambda x: x @ weights, test, known)


if __name__ == "__main__":
    print("right neighbours: {:.2f}, after training {:.2f}".format(*main()))
