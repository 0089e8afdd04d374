# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of amortised networks, of permutations and of orders, and the shipped ones."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import haiku as hk
import jax
import numpy as np

from arlsort import weight_files
from arlsort.amortized import network
from arlsort.amortized.config import NetworkConfig, TrainingConfig
from arlsort.amortized.orders import network as order_network
from arlsort.amortized.orders.config import OrderConfig, OrderTraining
from arlsort.checks import error_message, one_of
from arlsort.weight_files import CheckpointError

FORMAT: Final = 1
SHIPPED: Final = ("gaussian", "cauchy")
"""The noises that there is a checkpoint of permutations for; the first is the default."""
ORDER_NOISE: Final = "cauchy"
"""The noise of the network of orders."""

_WEIGHTS = pathlib.Path(__file__).parent / "weights"


class Kind(NamedTuple):
    """The kind of a network: its name in cards, and its classes.

    Attributes:
      name: In the card.
      config: Class of the network's configuration.
      training: Class of that of its training.
      shapes: The parameters of a network, as shapes, by its configuration.
    """

    name: str
    config: type
    training: type
    shapes: Callable[[Any], hk.Params]


@functools.cache
def _places(config: NetworkConfig) -> hk.Params:
    init = network.transform(config, SHIPPED[0]).init
    pairs, scales = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((2, 2), (2,)))
    return jax.eval_shape(init, jax.eval_shape(jax.random.key, 0), pairs, scales)


@functools.cache
def _along(config: OrderConfig) -> hk.Params:
    scores = jax.ShapeDtypeStruct((1, 2), np.float32)
    init = order_network.transform(config).init
    return jax.eval_shape(init, jax.eval_shape(jax.random.key, 0), scores, scores)


PERMUTATIONS: Final = Kind("amortized", NetworkConfig, TrainingConfig, _places)
ORDERS: Final = Kind("amortized_orders", OrderConfig, OrderTraining, _along)
KINDS: Final = (PERMUTATIONS, ORDERS)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A trained amortised network.

    Attributes:
      params: Haiku parameters, float32.
      config: The network, a `NetworkConfig` or an `OrderConfig`.
      training: What it was trained on, a `TrainingConfig` or an `OrderTraining`.
      card: The whole JSON card.
    """

    params: hk.Params
    config: Any
    training: Any
    card: Mapping[str, Any]

    @property
    def validated_length(self) -> int:
        """The longest list on which it has been measured."""
        return int(self.card["validated_length"])

    @property
    def noise(self) -> str:
        """Law of its noise."""
        return ORDER_NOISE if self.of_orders else self.training.noise

    @property
    def of_orders(self) -> bool:
        """Whether it predicts the likelihood of orders instead of the mean permutation."""
        return isinstance(self.config, OrderConfig)


def save(
    path: str | os.PathLike[str],
    params: hk.Params,
    config: NetworkConfig | OrderConfig,
    training: TrainingConfig | OrderTraining,
    *,
    validated_length: int,
    measured: Any = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Writes `path` (`.safetensors`) and its card, the same name with `.json`.

    Args:
      path: Where to.
      params: Haiku parameters.
      config: The network.
      training: What it was trained on.
      validated_length: The longest list on which it has been measured.
      measured: The measurements, as JSON.
      details: More facts for the card, such as versions and steps taken.
    """
    kind = next(kind for kind in KINDS if isinstance(config, kind.config))
    card = {
        "kind": kind.name,
        "validated_length": validated_length,
        "network": dataclasses.asdict(config),
        "training": dataclasses.asdict(training),
        "measured": measured,
        **(details or {}),
    }
    weight_files.write(path, params, FORMAT, card)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint of either kind and verifies it against its card.

    Raises:
      CheckpointError: If a file is missing, unreadable, or does not match the card.
    """
    return _load(path, trusted=False)


def _load(path: str | os.PathLike[str], *, trusted: bool) -> Checkpoint:
    """As `load`; if the file is trusted to be that of its card, shapes are not derived from it."""
    card = load_card(path)
    kind = next(kind for kind in KINDS if kind.name == card["kind"])
    config, training = _configurations(weight_files.card_path(path), card, kind)
    # To trace the network for its shapes takes as long as a tenth of the first sort.
    expected = None if trusted else weight_files.shapes(kind.shapes(config))
    return Checkpoint(weight_files.read(path, card, expected), config, training, card)


def load_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the JSON card of a checkpoint; raises CheckpointError if it is missing or wrong."""
    card, content = weight_files.card_path(path), weight_files.read_card(path)
    weight_files.check_format(card, content, FORMAT)
    kind = next((kind for kind in KINDS if kind.name == content.get("kind")), None)
    if kind is None:
        received = repr(content.get("kind", "a card of an executed sort"))
        allowed = one_of(repr(kind.name) for kind in KINDS)
        raise weight_files.wrong(card, "kind", received, allowed)
    _, training = _configurations(card, content, kind)
    weight_files.check_lengths(card, content, max(training.lengths), _measured(content))
    return content


def _measured(content: Mapping[str, Any]) -> int:
    """The longest list that a card has measurements of, or 0."""
    rows = content.get("measured")
    lengths = (
        [row.get("n") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    )
    return max((n for n in lengths if type(n) is int), default=0)


def _configurations(card: pathlib.Path, content: Mapping[str, Any], kind: Kind) -> tuple[Any, Any]:
    found: list[Any] = []
    for name, cls in (("network", kind.config), ("training", kind.training)):
        fields = content.get(name)
        if not isinstance(fields, dict):
            allowed = f"the fields of {cls.__name__}"
            raise weight_files.wrong(card, name, repr(fields), allowed)
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted({*fields} - known):
            allowed = f"{one_of(sorted(known))}; train earlier weights again"
            raise weight_files.wrong(card, name, f"unknown fields {one_of(unknown)}", allowed)
        try:
            found.append(cls(**fields))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"checkpoint card {card}: {name}: {error}") from error
    return found[0], found[1]


def shipped_path(noise: str | None = None, *, of_orders: bool = False) -> pathlib.Path:
    """Names a checkpoint that comes with the library: of permutations under a noise, or of orders.

    Without a noise it is the first of `SHIPPED`, for orders `ORDER_NOISE`.
    """
    if of_orders:
        if noise not in (None, ORDER_NOISE):
            allowed = f"{ORDER_NOISE!r} or None, for the likelihood of orders"
            raise ValueError(error_message("noise", repr(noise), allowed))
        return _WEIGHTS / f"{ORDER_NOISE}_orders.safetensors"
    if noise not in (None, *SHIPPED):
        raise ValueError(error_message("noise", repr(noise), one_of(SHIPPED)))
    return _WEIGHTS / f"{noise or SHIPPED[0]}.safetensors"


@functools.cache
def shipped(noise: str | None = None, *, of_orders: bool = False) -> Checkpoint:
    """The checkpoint that comes with the library, read once; tests verify its shapes."""
    return _load(shipped_path(noise, of_orders=of_orders), trusted=True)


@functools.cache
def load_once(path: str) -> Checkpoint:
    """As `load`, once for each path."""
    return load(path)
