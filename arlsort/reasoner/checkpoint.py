# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a reasoner: parameters as safetensors, everything else in a JSON card beside them.

The card holds the configurations, the scores measured and the SHA-256 of the parameters' file.
Writes are atomic and the card is written last, so a card never describes a file that is not whole.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, Final

import haiku as hk
import jax
import numpy as np
import safetensors
import safetensors.numpy

from arlsort.checks import error_message, one_of
from arlsort.reasoner import network
from arlsort.reasoner.config import (
    CLRS_FIELDS,
    ReasonerConfig,
    TrainingConfig,
    algorithm_spec,
    from_dict,
)

WEIGHTS = pathlib.Path(__file__).parent / "weights"
# The sorts and, of each, the noises that there is a checkpoint for; the first is the default.
SHIPPED: Final[Mapping[str, tuple[str, ...]]] = {
    "insertion_sort": ("gaussian", "cauchy"),
    "bubble_sort": ("gaussian",),
    "quicksort": ("gaussian",),
}
# Those that say how likely an order is (trained with hints="sampled"), in the same way.
SHIPPED_LIKELIHOODS: Final[Mapping[str, tuple[str, ...]]] = {"insertion_sort": ("cauchy",)}

FORMAT: Final = 3
LONGEST: Final = 100_000  # elements in a list; pairs of them are kept
SPREADS: Final = (1e-6, 1e30)  # ranges of keys in units of the noise
# Fields of the configurations whose names in cards of format 1 were others.
_RENAMED: Final = {"levels": "noise_scales", "level_spread": "noise_scale_spread"}

# Fields that older cards do not have, and what the network was then.
_BEFORE: Final[Mapping[str, Mapping[str, Any]]] = {"reasoner": CLRS_FIELDS, "training": {}}

_SEPARATOR = "::"  # between module and parameter name; Haiku's module names contain "/"


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or not what its card says."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A trained reasoner.

    Attributes:
      params: Haiku parameters, float32.
      config: the network.
      training: what it was trained on.
      card: the whole JSON card.
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


def write_atomically(path: pathlib.Path, data: bytes) -> None:
    """Writes a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


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
    """Writes ``path`` (``.safetensors``) and its card, the same name with ``.json``.

    Args:
      path: where to.
      params: Haiku parameters.
      config: the network.
      training: what it was trained on.
      validated_length: the longest list on which it has been measured to sort.
      sharpest_spread: the range of scores at which it was measured to sort most exactly.
      scores: what was measured.
      details: more facts for the card, such as versions and steps taken.
    """
    path = _weights_path(path)
    tensors = {
        f"{module}{_SEPARATOR}{name}": np.asarray(value, np.float32)
        for module, leaves in params.items()
        for name, value in leaves.items()
    }
    data = safetensors.numpy.save(tensors)
    card = {
        "format": FORMAT,
        "sha256": hashlib.sha256(data).hexdigest(),
        "validated_length": validated_length,
        "sharpest_spread": sharpest_spread,
        "scores": dict(scores),
        "reasoner": dataclasses.asdict(config),
        "training": dataclasses.asdict(training),
        **(details or {}),
    }
    write_atomically(path, data)
    write_atomically(path.with_suffix(".json"), (json.dumps(card, indent=2) + "\n").encode())


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint and verifies it against its card.

    Raises:
      CheckpointError: if a file is missing, unreadable, or does not match the card.
    """
    path = _weights_path(path)
    card = load_card(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {path}: cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.get("sha256"):
        raise CheckpointError(
            f"checkpoint {path}: damaged, its SHA-256 is {digest[:12]}... and its card says "
            f"{str(card.get('sha256'))[:12]}...; install or train it again"
        )
    try:
        tensors = safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"checkpoint {path}: not a reasoner's ({error})") from error
    config, training = _configurations(path.with_suffix(".json"), card)
    params: dict[str, dict[str, Any]] = {}
    for name, value in tensors.items():
        module, _, leaf = name.rpartition(_SEPARATOR)
        params.setdefault(module, {})[leaf] = value
    _check_shapes(path, {name: value.shape for name, value in tensors.items()}, config)
    _check_values(path, tensors)
    return Checkpoint(params, config, training, card)


def _configurations(
    card: pathlib.Path, content: Mapping[str, Any]
) -> tuple[ReasonerConfig, TrainingConfig]:
    found = []
    for name, cls in (("reasoner", ReasonerConfig), ("training", TrainingConfig)):
        if not isinstance(content.get(name), dict):
            raise _wrong(card, name, repr(content.get(name)), f"the fields of {cls.__name__}")
        try:
            found.append(from_dict(cls, {**_BEFORE[name], **_renamed(content[name])}))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"checkpoint card {card}: {name}: {error}") from error
    return found[0], found[1]


def _check_card(card: pathlib.Path, content: Any) -> None:
    """Raises CheckpointError, naming the field, if a card says what cannot be."""
    if not isinstance(content, dict):
        raise _wrong(card, "the card", type(content).__name__, "a JSON object")
    number, allowed = content.get("format"), range(1, FORMAT + 1)
    if type(number) is not int or number not in allowed:
        raise _wrong(card, "format", repr(number), one_of(allowed))
    _, training = _configurations(card, content)
    longest = max(training.lengths)
    if longest > LONGEST:
        raise _wrong(card, "training, lengths", str(longest)[:40], f"at most {LONGEST}")
    length = content.get("validated_length")
    if type(length) is not int or not 1 <= length <= longest:
        meaning = f"an int from 1 to {longest}, the longest list trained on"
        raise _wrong(card, "validated_length", repr(length), meaning)
    spread: Any = content.get("sharpest_spread")
    if type(spread) not in (int, float) or not SPREADS[0] <= spread <= SPREADS[1]:
        meaning = f"a number from {SPREADS[0]:g} to {SPREADS[1]:g}"
        raise _wrong(card, "sharpest_spread", str(spread)[:40], meaning)


def _wrong(card: pathlib.Path, field: str, received: str, allowed: str) -> CheckpointError:
    return CheckpointError(error_message(f"checkpoint card {card}: {field}", received, allowed))


def _check_shapes(
    path: pathlib.Path, found: Mapping[str, tuple[int, ...]], config: ReasonerConfig
) -> None:
    """Raises CheckpointError, naming the parameter, if weights are not those of the network."""
    expected = _shapes(dataclasses.replace(config, processor="factored"))
    for name in sorted({*found, *expected}):
        if found.get(name) != expected.get(name):
            received, allowed = (
                f"shape {shapes[name]}" if name in shapes else "none"
                for shapes in (found, expected)
            )
            where = f"checkpoint {path}: parameter {name}"
            raise CheckpointError(error_message(where, received, f"{allowed}, as its card says"))


def _check_values(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Raises CheckpointError, naming the parameter, if weights are no finite float32 numbers."""
    for name, value in tensors.items():
        where, allowed = f"checkpoint {path}: parameter {name}", "finite float32 numbers"
        if value.dtype != np.float32:
            raise CheckpointError(error_message(where, f"dtype {value.dtype}", allowed))
        if not np.isfinite(value).all():
            raise CheckpointError(error_message(where, "NaN or infinity", allowed))


@functools.cache
def _shapes(config: ReasonerConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's parameters, by their names in a file."""
    keys = jax.ShapeDtypeStruct((1, 2), np.float32)
    key = jax.eval_shape(jax.random.key, 0)
    params = jax.eval_shape(network.transform(config).init, key, keys, keys)
    return {
        f"{module}{_SEPARATOR}{name}": leaf.shape
        for module, leaves in params.items()
        for name, leaf in leaves.items()
    }


def load_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the JSON card of a checkpoint; raises CheckpointError if it is missing or wrong."""
    card = _weights_path(path).with_suffix(".json")
    try:
        content = json.loads(card.read_text())
    except OSError as error:
        raise CheckpointError(
            f"checkpoint card {card}: cannot be read ({error.strerror})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"checkpoint card {card}: damaged ({error})") from error
    _check_card(card, content)
    return content


def shipped_path(
    algorithm: str, noise: str | None = None, *, likelihood: bool = False
) -> pathlib.Path:
    """Names the checkpoint of a sort and a noise that comes with the library.

    Args:
      algorithm: one of ``SHIPPED``, or of ``SHIPPED_LIKELIHOODS``.
      noise: one of those that are named there; None takes the first.
      likelihood: whether it is to say how likely an order is, instead of the mean trace.

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
    """As :func:`load`, once for each path."""
    return load(path)


@functools.cache
def validated_length(path: pathlib.Path) -> int:
    """Reads from the card alone how long a list may be."""
    return int(load_card(path)["validated_length"])


def load_clrs(path: str | os.PathLike[str], algorithm: str, hidden_size: int) -> hk.Params:
    """Parameters of a checkpoint written by ``clrs.models.BaselineModel.save_model``.

    CLRS reads its own file, which is a pickle: load only files you trust. Needs the ``clrs`` extra.

    Args:
      path: the file.
      algorithm: the sort it was trained on, alone and first in its specs.
      hidden_size: its ``hidden_dim``.

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


def _weights_path(path: str | os.PathLike[str]) -> pathlib.Path:
    path = pathlib.Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(error_message("path", repr(str(path)), "a file that ends in .safetensors"))
    return path
