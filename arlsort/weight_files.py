# SPDX-License-Identifier: Apache-2.0
"""Files of trained weights: parameters as safetensors, everything else in a JSON card beside them.

The card holds the SHA-256 of the parameters' file. Writes are atomic and the card is written last,
so a card never describes a file that is not whole.
"""

import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, Final

import haiku as hk
import numpy as np
import safetensors
import safetensors.numpy

from arlsort.checks import error_message, one_of

Path = str | os.PathLike[str]

SUFFIX: Final = ".safetensors"
LONGEST: Final = 100_000  # elements in a list; pairs of them are kept
_SEPARATOR = "::"  # between module and parameter name; Haiku's module names contain "/"


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or not what its card says."""


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


def write(path: Path, params: hk.Params, number: int, card: Mapping[str, Any]) -> None:
    """Writes `path` (`.safetensors`) and its card, the same name with `.json`.

    Args:
      path: Where to.
      params: Haiku parameters; kept as float32.
      number: Of the card's format.
      card: What else it says.
    """
    path = weights_path(path)
    tensors = {
        f"{module}{_SEPARATOR}{name}": np.asarray(value, np.float32)
        for module, leaves in params.items()
        for name, value in leaves.items()
    }
    data = safetensors.numpy.save(tensors)
    card = {"format": number, "sha256": hashlib.sha256(data).hexdigest(), **card}
    write_atomically(path, data)
    write_atomically(card_path(path), (json.dumps(card, indent=2) + "\n").encode())


def read(
    path: Path, card: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]] | None
) -> hk.Params:
    """Reads parameters and verifies them.

    Args:
      path: The file.
      card: Its card.
      expected: The shapes of the parameters, as `shapes` gives them; None if what has the SHA-256
        of the card is known to have them.

    Raises:
      CheckpointError: If the file is missing, unreadable, or not what the card says.
    """
    path = weights_path(path)
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
        raise CheckpointError(f"checkpoint {path}: not one of arlsort ({error})") from error
    if expected is not None:
        _check_shapes(path, {name: value.shape for name, value in tensors.items()}, expected)
    _check_values(path, tensors)
    params: dict[str, dict[str, Any]] = {}
    for name, value in tensors.items():
        module, _, leaf = name.rpartition(_SEPARATOR)
        params.setdefault(module, {})[leaf] = value
    return params


def shapes(params: hk.Params) -> dict[str, tuple[int, ...]]:
    """The shapes of parameters, by their names in a file."""
    return {
        f"{module}{_SEPARATOR}{name}": leaf.shape
        for module, leaves in params.items()
        for name, leaf in leaves.items()
    }


def read_card(path: Path) -> Any:
    """Reads the JSON card of a checkpoint; raises CheckpointError if it is missing or no JSON."""
    card = card_path(path)
    try:
        return json.loads(card.read_text())
    except OSError as error:
        message = f"checkpoint card {card}: cannot be read ({error.strerror})"
        raise CheckpointError(message) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"checkpoint card {card}: damaged ({error})") from error


def check_format(card: pathlib.Path, content: Any, newest: int) -> None:
    """Raises CheckpointError if a card is no object, or of a format that is not known."""
    if not isinstance(content, dict):
        raise wrong(card, "the card", type(content).__name__, "a JSON object")
    number, allowed = content.get("format"), range(1, newest + 1)
    if type(number) is not int or number not in allowed:
        raise wrong(card, "format", repr(number), one_of(allowed))
    if not isinstance(content.get("sha256"), str):
        raise wrong(card, "sha256", repr(content.get("sha256")), "the SHA-256 of the weights")


def check_lengths(
    card: pathlib.Path, content: Mapping[str, Any], longest: int, measured: int = 0
) -> None:
    """Raises CheckpointError if lengths cannot be.

    Args:
      card: Where they stand.
      content: What the card says.
      longest: The longest list trained on.
      measured: The longest list that the card has measurements of.
    """
    if longest > LONGEST:
        raise wrong(card, "training, lengths", str(longest)[:40], f"at most {LONGEST}")
    length = content.get("validated_length")
    most = max(longest, min(measured, LONGEST))
    if type(length) is not int or not 1 <= length <= most:
        allowed = f"an int from 1 to {most}, the longest list trained on or measured"
        raise wrong(card, "validated_length", repr(length), allowed)


def wrong(card: pathlib.Path, field: str, received: str, allowed: str) -> CheckpointError:
    """Words the error about a field of a card."""
    return CheckpointError(error_message(f"checkpoint card {card}: {field}", received, allowed))


def weights_path(path: Path) -> pathlib.Path:
    """The path of the parameters; raises ValueError if it does not end in `.safetensors`."""
    path = pathlib.Path(path)
    if path.suffix != SUFFIX:
        raise ValueError(error_message("path", repr(str(path)), f"a file that ends in {SUFFIX}"))
    return path


def card_path(path: Path) -> pathlib.Path:
    """The path of the card beside the parameters."""
    return weights_path(path).with_suffix(".json")


def _check_shapes(
    path: pathlib.Path,
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises CheckpointError, naming the parameter, if weights are not those of the network."""
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
