# SPDX-License-Identifier: Apache-2.0
"""The network that embeds pictures, its training, and how it is judged."""

import dataclasses
import functools
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

from arlsort import neighbours
from experiments.common.datasets import Split
from experiments.neighbours.config import Config, Method

CLASSES = 10
KERNEL = 5
_AT_ONCE = 500  # pictures that are embedded together when a network is judged


class Data(NamedTuple):
    """Pictures `[rows, height, width, channels]` in [0, 1] and labels `[rows]`, on the device."""

    images: jax.Array
    labels: jax.Array

    @classmethod
    def of(cls, split: Split) -> "Data":
        """Takes a split to the device."""
        return cls(jnp.asarray(split.images, jnp.float32) / 255, jnp.asarray(split.labels))

    def part(self, start: int, end: int) -> "Data":
        """Some of the rows."""
        return Data(self.images[start:end], self.labels[start:end])


class State(NamedTuple):
    """What a run goes on from.

    Attributes:
      params: Of the network.
      optimizer: State of the optimiser.
      step: Steps done.
      best: A copy of the weights that were best on the validation data.
      best_accuracy: Their accuracy there; minus one before the first validation.
    """

    params: hk.Params
    optimizer: optax.OptState
    step: jax.Array
    best: hk.Params
    best_accuracy: jax.Array


def _network(config: Config, classes: int | None) -> hk.Transformed:
    """Two convolutions with pooling, and a dense layer; with classes their logits after it."""

    def embed(images: jax.Array) -> jax.Array:
        hidden = images
        for features in config.channels:
            hidden = jax.nn.relu(hk.Conv2D(features, KERNEL)(hidden))
            hidden = hk.max_pool(hidden, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")
        hidden = hk.Linear(config.features, name="embedding")(hk.Flatten()(hidden))
        if classes is None:
            return hidden
        return hk.Linear(classes, name="head")(jax.nn.relu(hidden))

    return hk.without_apply_rng(hk.transform(embed))


@dataclasses.dataclass(frozen=True)
class Task:
    """One method under one configuration: how its network is made, trained and judged."""

    config: Config
    method: Method

    @functools.cached_property
    def network(self) -> hk.Transformed:
        """The network; with a linear head if there is no operator."""
        return _network(self.config, CLASSES if self.method.operator is None else None)

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """SGD with momentum, of gradients to which a share of the weights is added."""
        decay = optax.add_decayed_weights(self.config.weight_decay)
        return optax.chain(decay, optax.sgd(self.config.learning_rate, self.config.momentum))

    def start(self, train: Data, seed: int) -> State:
        """The state before the first step."""
        params = self.network.init(jax.random.key(seed), train.images[:1])
        copy = jax.tree.map(jnp.copy, params)
        zero = jnp.zeros((), jnp.int32)
        return State(params, self.optimizer.init(params), zero, copy, jnp.asarray(-1.0))

    def loss(self, params: hk.Params, queries: Data, candidates: Data, key: jax.Array) -> jax.Array:
        """Of one step; queries and candidates go through the network together."""
        images = jnp.concatenate([queries.images, candidates.images])
        found = self.network.apply(params, images)
        operator = self.method.operator
        if operator is None:
            labels = jnp.concatenate([queries.labels, candidates.labels])
            return optax.softmax_cross_entropy_with_integer_labels(found, labels).mean()
        if operator.needs_key:
            operator = dataclasses.replace(operator, key=key)  # type: ignore[call-arg]
        count = len(queries.labels)
        return neighbours.knn_loss(
            found[:count],
            found[count:],
            queries.labels,
            candidates.labels,
            self.config.k,
            operator,
        )

    @functools.cached_property
    def steps(self) -> Any:
        """A jitted function of a state, the data, a seed and how many steps: the state after."""

        def one(_: int, carry: tuple[State, Data, jax.Array]) -> tuple[State, Data, jax.Array]:
            state, train, key = carry
            draw, noise = jax.random.split(jax.random.fold_in(key, state.step))
            count = self.config.queries + self.config.candidates
            rows = jax.random.permutation(draw, len(train.labels))[:count]
            batch = Data(train.images[rows], train.labels[rows])
            split = self.config.queries
            queries, candidates = batch.part(0, split), batch.part(split, count)
            gradient = jax.grad(self.loss)(state.params, queries, candidates, noise)
            updates, optimizer = self.optimizer.update(gradient, state.optimizer, state.params)
            params = optax.apply_updates(state.params, updates)
            state = state._replace(params=params, optimizer=optimizer, step=state.step + 1)
            return state, train, key

        def run(state: State, train: Data, seed: jax.Array, count: jax.Array) -> State:
            key = jax.random.fold_in(jax.random.key(1), seed)
            return jax.lax.fori_loop(0, count, one, (state, train, key))[0]

        return jax.jit(run)

    @functools.cached_property
    def _apply(self) -> Any:
        return jax.jit(self.network.apply)

    def accuracy(self, params: hk.Params, train: Data, judged: Data) -> float:
        """The share of pictures of the right class: all of them, against all training data.

        Neighbours are exact ones, whatever the operator.
        """
        found = self._outputs(params, judged)
        if self.method.operator is None:
            predicted = found.argmax(axis=-1)
        else:
            known = self._outputs(params, train)
            predicted = np.asarray(
                _vote(jnp.asarray(found), jnp.asarray(known), train.labels, k=self.config.k)
            )
        return float((predicted == np.asarray(judged.labels)).mean())

    def _outputs(self, params: hk.Params, data: Data) -> np.ndarray:
        parts = range(0, len(data.labels), _AT_ONCE)
        return np.concatenate([self._apply(params, data.images[i : i + _AT_ONCE]) for i in parts])

    def validated(self, state: State, train: Data, validation: Data) -> State:
        """Keeps a copy of the weights if they are the best so far."""
        accuracy = self.accuracy(state.params, train, validation)
        if accuracy <= float(state.best_accuracy):
            return state
        best = jax.tree.map(jnp.copy, state.params)
        return state._replace(best=best, best_accuracy=jnp.asarray(accuracy))


@functools.partial(jax.jit, static_argnames="k")
def _vote(queries: jax.Array, candidates: jax.Array, labels: jax.Array, k: int) -> jax.Array:
    return neighbours.knn_predict(queries, candidates, labels, k, CLASSES)


def check_classes(train: Data) -> None:
    """Raises ValueError if a class has no picture."""
    neighbours.check_classes(train.labels, CLASSES)
