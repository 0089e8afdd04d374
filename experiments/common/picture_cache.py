# SPDX-License-Identifier: Apache-2.0
"""Pictures as TFDS has read them once, in one file each, so that nothing needs TensorFlow again.

A file is safetensors, one byte a pixel. Its header has the SHA-256 of all it says and holds, so a
file that is damaged, cut off or of another data set is never taken. It is written under another
name and renamed, so of several writers the last one has its whole file there.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from experiments.common import storage

VARIABLE = "ARLSORT_CACHE_DIR"
"""The environment variable that names the folder."""

_FORMAT = "arlsort pictures 1"


class CacheError(Exception):
    """A file that cannot be taken; the message is one line."""


def path_of(dataset: str) -> Path:
    """The file of a data set, whether it is there or not."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "arlsort"
    folder = Path(os.environ.get(VARIABLE) or home).expanduser()
    return folder / "pictures" / f"{dataset.replace('/', '-')}.safetensors"


def read(dataset: str, source: str | None = None) -> dict[str, np.ndarray] | None:
    """Reads the arrays of a data set and verifies them.

    Args:
      dataset: Its name.
      source: What it must have been made of, as given to `write`; None for anything.

    Returns:
      Its arrays by name, or None if there is no file, or one of another source.

    Raises:
      CacheError: If the file is damaged, or none of this data set.
    """
    path = path_of(dataset)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            said = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise CacheError(f"{path} is damaged or no safetensors ({reason})") from error
    if said.get("format") != _FORMAT or said.get("dataset") != dataset:
        raise CacheError(f"{path} does not hold {dataset} as this version keeps it")
    if said.pop("sha256", None) != _digest(said, arrays):
        raise CacheError(f"{path} is damaged, its SHA-256 is not that of its header")
    return None if source not in (None, said["source"]) else arrays


def write(dataset: str, source: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Keeps the arrays of a data set; warns in one line if the folder cannot be written.

    Args:
      dataset: Its name.
      source: What they were made of.
      arrays: By name.
    """
    path, said = path_of(dataset), {"format": _FORMAT, "dataset": dataset, "source": source}
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    said["sha256"] = _digest(said, whole)
    try:
        storage.write_bytes(path, safetensors.numpy.save(whole, metadata=said))
    except OSError as error:
        warnings.warn(
            f"{path} cannot be written ({error.strerror}); {VARIABLE} names another folder",
            stacklevel=2,
        )


def _digest(said: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of what a header says and of the names, types, shapes and bytes of arrays."""
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.data)
    return digest.hexdigest()
