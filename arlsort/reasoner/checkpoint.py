# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a reasoner: parameters as safetensors, all else in a JSON card.

The card holds the configurations, the scores measured and the SHA-256 of the parameters' file.
Writes are atomic and the card is written last, so a card never describes a file that is not whole.
"""

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
from arlsort.checks import error_message, one_of
from arlsort.reasoner import network
from arlsort.reasoner.config import (
    CLRS_FIELDS,
    ReasonerConfig,
    TrainingConfig,
    algorithm_spec,
    from_dict,
)
from arlsort.weight_files import CheckpointError

WEIGHTS = pathlib.Path(__file__).parent / "weights"
# Sorts with a shipped checkpoint, and the noises of each; the first is the default.
SHIPPED: Final[Mapping[str, tuple[str, ...]]] = {
    "insertion_sort": ("gaussian", "cauchy"),
    "bubble_sort": ("gaussian",),
    "quicksort": ("gaussian",),
}
# The same for likelihoods of orders (trained with hints="sampled").
SHIPPED_LIKELIHOODS: Final[Mapping[str, tuple[str, ...]]] = {"insertion_sort": ("cauchy",)}

FORMAT: Final = 3
SPREADS: Final = (1e-6, 1e30)  # ranges of keys in units of the noise
# Fields of the configurations whose names in cards of format 1 were others.
_RENAMED: Final = {"levels": "noise_scales", "level_spread": "noise_scale_spread"}

# Fields that older cards do not have, and what the network was then.
_BEFORE: Final[Mapping[str, Mapping[str, Any]]] = {"reasoner": CLRS_FIELDS, "training": {}}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A trained reasoner.

    Attributes:
      params: Haiku parameters, float32.
      config: The network.
      training: What it was trained on.
      card: The whole JSON card.
    """

    params: hk.Params
    config: ReasonerConfig
    training: TrainingConfig
    card: Mapping[str, Any]

    @property
    def validated_length(self) -> int:
        """The longest list on which it has been measured to sort."""
        return int(self.card["validated_length"])

    @property
    def noise(self) -> str | None:
        """Law of the perturbation it averages over; None when trained on clean keys."""
        return self.training.noise if self.training.hints != "clrs" else None

    @property
    def sharpest_spread(self) -> float:
        """The range of scores at which it was measured to sort most exactly."""
        return float(self.card["sharpest_spread"])


def save(
    path: str | os.PathLike[str],
    params: hk.Params,
    config: ReasonerConfig,
    training: TrainingConfig,
    *,
    validated_length: int,
    sharpest_spread: float,
    scores: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
) -> None:
    """Writes `path` (`.safetensors`) and its card, the same name with `.json`.

    Args:
      path: Where to.
      params: Haiku parameters.
      config: The network.
      training: What it was trained on.
      validated_length: The longest list on which it has been measured to sort.
      sharpest_spread: The range of scores at which it was measured to sort most exactly.
      scores: The measurements.
      details: More facts for the card, such as versions and steps taken.
    """
    card = {
        "validated_length": validated_length,
        "sharpest_spread": sharpest_spread,
        "scores": dict(scores),
        "reasoner": dataclasses.asdict(config),
        "training": dataclasses.asdict(training),
        **(details or {}),
    }
    weight_files.write(path, params, FORMAT, card)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint and verifies it against its card.

    Raises:
      CheckpointError: if a file is missing, unreadable, or does not match the card.
    """
    card = load_card(path)
    config, training = _configurations(weight_files.card_path(path), card)
    expected = weight_files.shapes(_parameters(dataclasses.replace(config, processor="factored")))
    params = weight_files.read(path, card, expected)
    return Checkpoint(params, config, training, card)


def _configurations(
    card: pathlib.Path, content: Mapping[str, Any]
) -> tuple[ReasonerConfig, TrainingConfig]:
    found = []
    for name, cls in (("reasoner", ReasonerConfig), ("training", TrainingConfig)):
        if not isinstance(content.get(name), dict):
            allowed = f"the fields of {cls.__name__}"
            raise weight_files.wrong(card, name, repr(content.get(name)), allowed)
        try:
            found.append(from_dict(cls, {**_BEFORE[name], **_renamed(content[name])}))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"checkpoint card {card}: {name}: {error}") from error
    return found[0], found[1]


def _check_card(card: pathlib.Path, content: Any) -> None:
    """Raises CheckpointError, naming the field, if a card is impossible."""
    weight_files.check_format(card, content, FORMAT)
    _, training = _configurations(card, content)
    weight_files.check_lengths(card, content, max(training.lengths))
    spread: Any = content.get("sharpest_spread")
    if type(spread) not in (int, float) or not SPREADS[0] <= spread <= SPREADS[1]:
        meaning = f"a number from {SPREADS[0]:g} to {SPREADS[1]:g}"
        raise weight_files.wrong(card, "sharpest_spread", str(spread)[:40], meaning)


def _parameters(config: ReasonerConfig) -> hk.Params:
    """The parameters of a network, as shapes."""
    keys = jax.ShapeDtypeStruct((1, 2), np.float32)
    key = jax.eval_shape(jax.random.key, 0)
    return jax.eval_shape(network.transform(config).init, key, keys, keys)


def load_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the JSON card of a checkpoint; raises CheckpointError if it is missing or wrong."""
    card, content = weight_files.card_path(path), weight_files.read_card(path)
    _check_card(card, content)
    return content


def shipped_path(
    algorithm: str, noise: str | None = None, *, likelihood: bool = False
) -> pathlib.Path:
    """Names the checkpoint of a sort and a noise that comes with the library.

    Args:
      algorithm: One of `SHIPPED`, or of `SHIPPED_LIKELIHOODS`.
      noise: One of those named there; None takes the first.
      likelihood: Whether it predicts the likelihood of orders instead of the mean trace.

    Raises:
      ValueError: if there is none.
    """
    table = SHIPPED_LIKELIHOODS if likelihood else SHIPPED
    noises = table.get(algorithm_spec(algorithm).name, ())
    if not noises or noise not in (None, *noises):
        raise ValueError(error_message("noise", f"{noise!r} for {algorithm}", one_of(noises)))
    suffix = "" if noise in (None, noises[0]) else f"_{noise}"
    if likelihood:
        suffix = f"_{noise or noises[0]}_likelihood"
    return WEIGHTS / f"{algorithm}{suffix}.safetensors"


@functools.cache
def shipped(algorithm: str, noise: str | None = None, *, likelihood: bool = False) -> Checkpoint:
    """The checkpoint that comes with the library, read once."""
    return load(shipped_path(algorithm, noise, likelihood=likelihood))


@functools.cache
def load_once(path: str) -> Checkpoint:
    """As `load`, once for each path."""
    return load(path)


@functools.cache
def validated_length(path: pathlib.Path) -> int:
    """Reads from the card alone how long a list may be."""
    return int(load_card(path)["validated_length"])


def load_clrs(path: str | os.PathLike[str], algorithm: str, hidden_size: int) -> hk.Params:
    """Parameters of a checkpoint written by `clrs.models.BaselineModel.save_model`.

    CLRS reads its own file, which is a pickle: load only files you trust. Needs the `clrs` extra.

    Args:
      path: The file.
      algorithm: The sort it was trained on, alone and first in its specs.
      hidden_size: Its `hidden_dim`.

    Raises:
      CheckpointError: if the parameters are not those of such a model.
    """
    from arlsort.reasoner import clrs_bridge

    path = pathlib.Path(path)
    try:
        params = clrs_bridge.restore_baseline(path, algorithm, hidden_size)
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint {path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from error
    return {module: dict(leaves) for module, leaves in params.items()}


def _renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): value for name, value in fields.items()}
