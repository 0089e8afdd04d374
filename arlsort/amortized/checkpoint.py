# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of an amortised sort, and those that come with the library."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Final

import haiku as hk
import jax
import numpy as np

from arlsort import weight_files
from arlsort.amortized import network
from arlsort.amortized.config import NetworkConfig, TrainingConfig
from arlsort.checks import error_message, one_of
from arlsort.weight_files import CheckpointError

FORMAT: Final = 1
SHIPPED: Final = ("gaussian", "cauchy")
"""The noises that there is a checkpoint for; the first is the default."""

_WEIGHTS = pathlib.Path(__file__).parent / "weights"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A trained amortised sort.

    Attributes:
      params: Haiku parameters, float32.
      config: The network.
      training: What it was trained on.
      card: The whole JSON card.
    """

    params: hk.Params
    config: NetworkConfig
    training: TrainingConfig
    card: Mapping[str, Any]

    @property
    def validated_length(self) -> int:
        """The longest list on which it has been measured."""
        return int(self.card["validated_length"])

    @property
    def noise(self) -> str:
        """Law of the noise that it averages over."""
        return self.training.noise


def save(
    path: str | os.PathLike[str],
    params: hk.Params,
    config: NetworkConfig,
    training: TrainingConfig,
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
      measured: What was measured, as JSON.
      details: More facts for the card, such as versions and steps taken.
    """
    card = {
        "kind": "amortized",
        "validated_length": validated_length,
        "network": dataclasses.asdict(config),
        "training": dataclasses.asdict(training),
        "measured": measured,
        **(details or {}),
    }
    weight_files.write(path, params, FORMAT, card)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint and verifies it against its card.

    Raises:
      CheckpointError: If a file is missing, unreadable, or does not match the card.
    """
    card = load_card(path)
    config, training = _configurations(weight_files.card_path(path), card)
    params = weight_files.read(path, card, weight_files.shapes(_parameters(config)))
    return Checkpoint(params, config, training, card)


def load_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the JSON card of a checkpoint; raises CheckpointError if it is missing or wrong."""
    card, content = weight_files.card_path(path), weight_files.read_card(path)
    weight_files.check_format(card, content, FORMAT)
    if content.get("kind") != "amortized":
        received = repr(content.get("kind", "a card of an executed sort"))
        raise weight_files.wrong(card, "kind", received, "'amortized'")
    _, training = _configurations(card, content)
    weight_files.check_lengths(card, content, max(training.lengths))
    return content


def _configurations(
    card: pathlib.Path, content: Mapping[str, Any]
) -> tuple[NetworkConfig, TrainingConfig]:
    found: list[Any] = []
    for name, cls in (("network", NetworkConfig), ("training", TrainingConfig)):
        fields = content.get(name)
        if not isinstance(fields, dict):
            allowed = f"the fields of {cls.__name__}"
            raise weight_files.wrong(card, name, repr(fields), allowed)
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted({*fields} - known):
            allowed = one_of(sorted(known))
            raise weight_files.wrong(card, name, f"unknown fields {one_of(unknown)}", allowed)
        try:
            found.append(cls(**fields))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"checkpoint card {card}: {name}: {error}") from error
    return found[0], found[1]


@functools.cache
def _parameters(config: NetworkConfig) -> hk.Params:
    """The parameters of a network, as shapes."""
    init = network.transform(config, SHIPPED[0]).init
    key = jax.eval_shape(jax.random.key, 0)
    pairs, scales = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((2, 2), (2,)))
    return jax.eval_shape(init, key, pairs, scales)


def shipped_path(noise: str | None = None) -> pathlib.Path:
    """Names the checkpoint of a noise that comes with the library; None takes the first."""
    if noise not in (None, *SHIPPED):
        raise ValueError(error_message("noise", repr(noise), one_of(SHIPPED)))
    return _WEIGHTS / f"{noise or SHIPPED[0]}.safetensors"


@functools.cache
def shipped(noise: str | None = None) -> Checkpoint:
    """The checkpoint that comes with the library, read once."""
    return load(shipped_path(noise))


@functools.cache
def load_once(path: str) -> Checkpoint:
    """As `load`, once for each path."""
    return load(path)
