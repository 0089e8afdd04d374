# SPDX-License-Identifier: Apache-2.0
"""Distance supervision: a network learns the classes of digits from edit distances alone.

Two strings of pictures are shown, and of their labels only the Levenshtein distance is known. The
network gives each picture class probabilities; the relaxed distance of the two strings of
probabilities is to be the true one. Which output stands for which class is not determined, so
accuracy is that of the best matching of the two.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment

from arlsort.programs import algorithms
from experiments.common.datasets import Split, Splits
from experiments.program_tasks.reader import digit_reader

PAIRS = ("edited", "independent")
"""How the second string is made: from the first by edits, or of labels of its own."""

ROWS_AT_ONCE = 1000  # pictures that are read together when measuring


class Pairs(NamedTuple):
    """Pairs of strings.

    Attributes:
      pictures: `[pairs, 2, length, height, width, channels]`, from 0 to 1.
      labels: `[pairs, 2, length]`.
    """

    pictures: jax.Array
    labels: jax.Array


@dataclasses.dataclass(frozen=True)
class StringTask:
    """The task; every field is a setting of `compare_strings.py`.

    Attributes:
      classes: Digits are those below this number.
      length: Of both strings.
      pairs: One of `PAIRS`.
      networks: Trained side by side; the one with the smallest loss is kept.
      batch_size: Pairs in a step.
      learning_rate: Of Adam, at first; it falls to zero as a cosine.
      steps: All the steps.
      channels: Of the two convolutions.
      temperature: Of the program.
    """

    classes: int
    length: int
    pairs: str
    networks: int
    batch_size: int
    learning_rate: float
    steps: int
    channels: tuple[int, ...]
    temperature: float

    def select(self, splits: Splits) -> Splits:
        """Keeps the pictures of the classes, sorted by label."""
        return Splits(*(of_classes(split, self.classes) for split in splits))

    def init(self, key: jax.Array, split: Split) -> hk.Params:
        """Makes the network's first parameters."""
        return self._reader.init(key, jnp.asarray(split.images[:1], jnp.float32))

    def loss(self, params: hk.Params, pairs: Pairs) -> jax.Array:
        """Mean squared difference of the relaxed distance and the true one, over pairs."""
        found = self.distances(self.read(params, pairs.pictures))
        true = edit_distance(pairs.labels[:, 0], pairs.labels[:, 1])
        return jnp.square(found - true.astype(found.dtype)).mean()

    def measure(
        self, params: hk.Params, key: jax.Array, split: Split, examples: int
    ) -> dict[str, Any]:
        """Gives matched accuracy on all pictures, and how many distances of new pairs are exact.

        Returns:
          `accuracy`; `distances`, the share of pairs whose distance by the likeliest classes is the
          true one; and `confusion`, counts `[classes, classes]`, a row for each class, columns in
          the order of the matching.
        """
        count = len(split.labels)
        parts = [
            np.asarray(_classes(self, params, split.images[i : i + ROWS_AT_ONCE]))
            for i in range(0, count, ROWS_AT_ONCE)
        ]
        confusion = matched(np.asarray(split.labels), np.concatenate(parts), self.classes)
        right = np.concatenate(
            [
                np.asarray(_exact(self, params, jax.random.fold_in(key, i), split))
                for i in range(-(-examples // self.batch_size))
            ]
        )
        return {
            "accuracy": float(np.trace(confusion) / count),
            "distances": float(right[:examples].mean(dtype=np.float64)),
            "confusion": confusion.tolist(),
        }

    def draw(self, key: jax.Array, split: Split, count: int) -> Pairs:
        """Draws pairs; both strings have pictures of their own.

        Args:
          key: Randomness.
          split: Digits, sorted by label.
          count: How many pairs.

        Returns:
          The pairs.
        """
        of_labels, of_pictures = jax.random.split(key)
        labels = draw_labels(of_labels, count, self.length, self.classes, self.pairs)
        starts = jnp.searchsorted(split.labels, jnp.arange(self.classes + 1))  # [classes + 1]
        first, last = starts[labels], starts[labels + 1]
        within = jax.random.uniform(of_pictures, labels.shape) * (last - first)
        rows = jnp.minimum(first + within.astype(jnp.int32), last - 1)
        # Else XLA draws each pixel again for every patch that it is part of.
        pictures = split.images[rows].astype(jnp.float32) / 255
        return jax.lax.optimization_barrier(Pairs(pictures, labels))

    def read(self, params: hk.Params, pictures: jax.Array) -> jax.Array:
        """Gives class probabilities, `[..., classes]`."""
        return jax.nn.softmax(self._reader.apply(params, pictures))

    def distances(self, probabilities: jax.Array) -> jax.Array:
        """Gives relaxed distances `[pairs]` of `[pairs, 2, length, classes]`."""
        first, second = probabilities[:, 0], probabilities[:, 1]
        return algorithms.levenshtein(first, second, temperature=self.temperature)

    @property
    def _reader(self) -> hk.Transformed:
        return digit_reader(self.channels, self.classes)


@functools.partial(jax.jit, static_argnames="task")
def _classes(task: StringTask, params: hk.Params, images: jax.Array) -> jax.Array:
    return jnp.argmax(task.read(params, images.astype(jnp.float32) / 255), axis=-1)


@functools.partial(jax.jit, static_argnames="task")
def _exact(task: StringTask, params: hk.Params, key: jax.Array, split: Split) -> jax.Array:
    """Tells of fresh pairs whether the likeliest classes have the true distance."""
    pairs = task.draw(key, split, task.batch_size)
    read = jnp.argmax(task.read(params, pairs.pictures), axis=-1)
    true, found = (edit_distance(each[:, 0], each[:, 1]) for each in (pairs.labels, read))
    return true == found


def of_classes(split: Split, classes: int) -> Split:
    """Keeps the digits below a number, sorted by label."""
    rows = np.argsort(split.labels, kind="stable")
    rows = rows[split.labels[rows] < classes]
    return Split(split.images[rows], split.labels[rows])


def draw_labels(key: jax.Array, count: int, length: int, classes: int, pairs: str) -> jax.Array:
    """Draws the labels of pairs of strings.

    The first string has independent labels. With `pairs="edited"` the second one is the first after
    0 to `length` edits, as many as each other: each replaces a label, or removes one and inserts
    another somewhere else. So small distances are frequent, however many classes there are.

    Args:
      key: Randomness.
      count: How many pairs.
      length: Of both strings.
      classes: Labels are below this.
      pairs: One of `PAIRS`.

    Returns:
      Labels `[count, 2, length]`.
    """
    keys = jax.random.split(key, 4)
    both = jax.random.randint(keys[0], (count, 2, length), 0, classes)
    if pairs == "independent":
        return both
    edits = jax.random.randint(keys[1], (count, 1), 0, length + 1)
    places = jax.random.randint(keys[2], (count, length, 2), 0, length)
    moved = jax.random.bernoulli(keys[3], shape=(count, length))
    first, second = both[:, 0], both[:, 0]
    for i in range(length):
        removed = places[:, i, 0]
        inserted = jnp.where(moved[:, i], places[:, i, 1], removed)
        edited = _edit(second, removed, inserted, both[:, 1, i])
        second = jnp.where(i < edits, edited, second)
    return jnp.stack([first, second], axis=1)


def _edit(
    strings: jax.Array, removed: jax.Array, inserted: jax.Array, labels: jax.Array
) -> jax.Array:
    """Removes what is at one place of each string `[count, length]`, inserts a label at another."""
    at = jnp.broadcast_to(jnp.arange(strings.shape[1])[None], strings.shape)
    source = at - (at > inserted[:, None])
    source += source >= removed[:, None]
    # The place of the insertion may have a source beyond the end, which is not used.
    kept = jnp.take_along_axis(strings, jnp.minimum(source, strings.shape[1] - 1), axis=1)
    return jnp.where(at == inserted[:, None], labels[:, None], kept)


def edit_distance(first: jax.Array, second: jax.Array) -> jax.Array:
    """The Levenshtein distance of labels `[count, m]` and `[count, n]`, integers `[count]`."""
    count, m = first.shape
    n = second.shape[1]
    above = [jnp.full(count, j) for j in range(n + 1)]
    for i in range(m):
        row = [jnp.full(count, i + 1)]
        for j in range(n):
            differ = (first[:, i] != second[:, j]).astype(jnp.int32)
            shorter = jnp.minimum(above[j + 1], row[j]) + 1
            row.append(jnp.minimum(shorter, above[j] + differ))
        above = row
    return above[-1]


def matched(labels: np.ndarray, outputs: np.ndarray, classes: int) -> np.ndarray:
    """Counts labels by outputs, the outputs in the order that makes most of them right.

    Args:
      labels: `[rows]`, below `classes`.
      outputs: The same.
      classes: How many there are of both.

    Returns:
      Counts `[classes, classes]`, a row for each label.
    """
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, outputs), 1)
    _, columns = linear_sum_assignment(counts, maximize=True)
    return counts[:, columns]
