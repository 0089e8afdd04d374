# SPDX-License-Identifier: Apache-2.0
"""How a network that embeds pictures is trained and judged."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from arlsort import neighbours
from experiments.common import rates, stepping
from experiments.common.datasets import Split
from experiments.common.methods import Method
from experiments.neighbours.augmentation import augmented
from experiments.neighbours.config import Config
from experiments.neighbours.networks import embedder

SHOWN_QUERIES, SHOWN = 4, 10
"""How many pictures are drawn with their neighbours, and how many of those."""

_AT_ONCE = 500  # pictures that are embedded together when a network is judged


class Data(NamedTuple):
    """Pictures on the device.

    Attributes:
      images: `[rows, height, width, channels]`, uint8.
      labels: `[rows]`, int32.
    """

    images: jax.Array
    labels: jax.Array

    @classmethod
    def of(cls, split: Split) -> "Data":
        """Takes a split to the device."""
        return cls(jnp.asarray(split.images), jnp.asarray(split.labels))

    def part(self, start: int, end: int) -> "Data":
        """Some of the rows."""
        return Data(self.images[start:end], self.labels[start:end])


class State(NamedTuple):
    """The state of a run.

    Attributes:
      params: Of the network.
      averages: State of the network: those of its batch normalisation.
      optimizer: State of the optimiser.
      step: Steps done.
      loss: Of the last step; zero before the first.
      best: A copy of the weights and averages that were best on the validation data.
      best_accuracy: Their accuracy there; minus one before the first validation.
    """

    params: hk.Params
    averages: hk.State
    optimizer: optax.OptState
    step: jax.Array
    loss: jax.Array
    best: tuple[hk.Params, hk.State]
    best_accuracy: jax.Array


@dataclasses.dataclass(frozen=True)
class Task(stepping.Stepping):
    """One method under one configuration: how its network is made, trained and judged."""

    config: Config
    method: Method
    classes: int = 10

    @functools.cached_property
    def network(self) -> hk.TransformedWithState:
        """The network; with a linear head if there is no operator."""
        classes = self.classes if self.method.operator is None else None
        return embedder(self.config.network, self.config.features, classes)

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """SGD with momentum, of gradients to which a share of the weights is added."""
        config = self.config
        rate = rates.scheduled(config.learning_rate, config.schedule, config.steps)
        decay = optax.add_decayed_weights(config.weight_decay)
        return optax.chain(decay, optax.sgd(rate, config.momentum))

    def start(self, train: Data, seed: int) -> State:
        """The state before the first step."""
        picture = train.images[:1] / 255
        params, averages = self.network.init(jax.random.key(seed), picture, True)
        copy = jax.tree.map(jnp.copy, (params, averages))
        zero = jnp.zeros((), jnp.int32)
        optimizer = self.optimizer.init(params)
        none = jnp.zeros(())
        return State(params, averages, optimizer, zero, none, copy, jnp.asarray(-1.0))

    def loss(
        self,
        params: hk.Params,
        averages: hk.State,
        queries: Data,
        candidates: Data,
        key: jax.Array,
    ) -> tuple[jax.Array, hk.State]:
        """Of one step, and the averages after it; all go through the network together."""
        images = jnp.concatenate([queries.images, candidates.images])
        found, averages = self.network.apply(params, averages, None, images, True)
        operator = self.method.operator
        if operator is None:
            labels = jnp.concatenate([queries.labels, candidates.labels])
            loss = optax.softmax_cross_entropy_with_integer_labels(found, labels).mean()
            return loss, averages
        if operator.needs_key:
            operator = dataclasses.replace(operator, key=key)  # type: ignore[call-arg]
        count = len(queries.labels)
        loss = neighbours.knn_loss(
            found[:count],
            found[count:],
            queries.labels,
            candidates.labels,
            self.config.k,
            operator,
        )
        return loss, averages

    def _step(self, state: State, train: Data, key: jax.Array) -> State:
        key = jax.random.fold_in(key, state.step)
        draw, noise, change = jax.random.split(key, 3)
        count = self.config.queries + self.config.candidates
        rows = drawn_rows(draw, len(train.labels), count)
        images = augmented(train.images[rows] / 255, change, self.config.augmentation)
        batch, split = Data(images, train.labels[rows]), self.config.queries
        queries, candidates = batch.part(0, split), batch.part(split, count)
        descent = jax.value_and_grad(self.loss, has_aux=True)
        (loss, averages), gradient = descent(
            state.params, state.averages, queries, candidates, noise
        )
        updates, optimizer = self.optimizer.update(gradient, state.optimizer, state.params)
        return state._replace(
            params=optax.apply_updates(state.params, updates),
            averages=averages,
            optimizer=optimizer,
            step=state.step + 1,
            loss=loss,
        )

    @functools.cached_property
    def _apply(self) -> "jax.stages.Wrapped":
        def apply(params: hk.Params, averages: hk.State, images: jax.Array) -> jax.Array:
            return self.network.apply(params, averages, None, images / 255, False)[0]

        return jax.jit(apply)

    def accuracy(self, weights: tuple[hk.Params, hk.State], train: Data, judged: Data) -> float:
        """The share of pictures of the right class: all of them, against all training data.

        Neighbours are exact ones, whatever the operator.
        """
        found = self.outputs(weights, judged)
        if self.method.operator is None:
            predicted = found.argmax(axis=-1)
        else:
            known = self.outputs(weights, train)
            predicted = np.asarray(
                _vote(found, known, train.labels, k=self.config.k, classes=self.classes)
            )
        return float((predicted == np.asarray(judged.labels)).mean())

    def shown(
        self, weights: tuple[hk.Params, hk.State], train: Data, judged: Data, seed: int
    ) -> dict[str, list[list[Any]]] | None:
        """Soft neighbours of the first pictures among the first candidates, to draw them.

        Returns:
          For each of `SHOWN_QUERIES` pictures the rows of its `SHOWN` likeliest neighbours and
          their weights, the largest first; None without an operator.
        """
        operator = self.method.operator
        if operator is None:
            return None
        if operator.needs_key:
            operator = dataclasses.replace(operator, key=jax.random.key(seed))  # type: ignore[call-arg]
        queries = self.outputs(weights, judged.part(0, SHOWN_QUERIES))
        candidates = self.outputs(weights, train.part(0, self.config.candidates))
        found = neighbours.soft_neighbours(
            jnp.asarray(queries), jnp.asarray(candidates), self.config.k, operator
        )
        order = jnp.argsort(-found, axis=-1)[:, :SHOWN]
        likely = jnp.take_along_axis(found, order, axis=-1)
        rounded = [[round(float(weight), 4) for weight in row] for row in likely]
        return {"candidates": order.tolist(), "weights": rounded}

    def outputs(self, weights: tuple[hk.Params, hk.State], data: Data) -> np.ndarray:
        """Embeddings, or logits, of all pictures, none of them augmented."""
        parts = range(0, len(data.labels), _AT_ONCE)
        return np.concatenate([self._apply(*weights, data.images[i : i + _AT_ONCE]) for i in parts])

    def last_loss(self, state: State) -> float:
        """The loss of the last step; NaN if that made a weight that is not finite."""
        finite = [bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state.params)]
        return float(state.loss) if all(finite) else math.nan

    def validated(self, state: State, train: Data, validation: Data) -> State:
        """Keeps a copy of the weights if they are the best so far."""
        weights = state.params, state.averages
        accuracy = np.float32(self.accuracy(weights, train, validation))  # as the best one is kept
        if accuracy <= state.best_accuracy:
            return state
        best = jax.tree.map(jnp.copy, weights)
        return state._replace(best=best, best_accuracy=jnp.asarray(accuracy))


def drawn_rows(key: jax.Array, rows: int, count: int) -> jax.Array:
    """Some of the rows, each at most once, in random order."""
    return lax.top_k(jax.random.uniform(key, (rows,)), count)[1]


@functools.partial(jax.jit, static_argnames=("k", "classes"))
def _vote(
    queries: jax.Array, candidates: jax.Array, labels: jax.Array, k: int, classes: int
) -> jax.Array:
    return neighbours.knn_predict(queries, candidates, labels, k, classes)


def check_classes(train: Data, classes: int) -> None:
    """Raises ValueError if a class has no picture."""
    neighbours.check_classes(train.labels, classes)
