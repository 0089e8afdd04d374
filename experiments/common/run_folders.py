# SPDX-License-Identifier: Apache-2.0
"""The folder that a script with --out_dir and --resume writes to, and what a run in it was."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.common import storage
from experiments.common.command_line import FlagError

MARKS = ("runs", "*/runs")
"""What a folder with runs holds: its own, or those of its parts."""


def choose(default: Path, wanted: str | None, resume: bool) -> Path:
    """Finds the folder to write to: a new one, or with `resume` one that may hold runs.

    Args:
      default: What new folders are made in.
      wanted: The flag `out_dir`, or None.
      resume: The flag `resume`.

    Raises:
      FlagError: If the folder holds runs that were not to be resumed, or there are none.
    """
    if wanted is None and resume:
        return newest(default, MARKS)
    folder = Path(wanted) if wanted else default / time.strftime("%Y%m%d-%H%M%S")
    if folder.exists() and not folder.is_dir():
        raise FlagError(f"--out_dir: received {folder}, a file, allowed: a folder")
    if _found(folder, MARKS) and not resume:
        raise FlagError(f"--out_dir: {folder} holds earlier runs; add --resume or name another")
    return folder


def part(folder: Path, name: str, parts: int) -> Path:
    """Names the folder of one of several comparisons in a folder.

    Args:
      folder: As `choose` gives it.
      name: Of the comparison.
      parts: How many there are. A single one has the folder itself, unless that holds parts.

    Raises:
      FlagError: If there are several, and a single one was begun in the folder itself.
    """
    own = (folder / "runs").exists()
    if parts == 1 and not (folder / name).exists() and (own or not any(folder.glob("*/runs"))):
        return folder
    if own:
        raise FlagError(f"--out_dir: {folder} holds a single comparison; name another folder")
    return folder / name


def newest(default: Path, marks: Sequence[str]) -> Path:
    """Finds the folder in `default` that was written to last, by what marks a folder with runs.

    Raises:
      FlagError: If there is none.
    """
    earlier = [folder for folder in default.glob("*") if _found(folder, marks)]
    if not earlier:
        raise FlagError(f"--resume: nothing in {default}; say which --out_dir")
    return max(earlier, key=lambda folder: max(map(os.path.getmtime, _found(folder, marks))))


def _found(folder: Path, marks: Sequence[str]) -> list[Path]:
    return [path for mark in marks for path in folder.glob(mark)]


def difference(folder: Path, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Words the first setting that a run in a folder was started with and that is not so now.

    Args:
      folder: The folder of the run.
      earlier: The settings it was started with, by name; they may be nested.
      now: Those that were received.

    Returns:
      What to refuse to resume it with, or None if all are the same.
    """
    flat = _flat(earlier), _flat(now)
    for name in {**flat[0], **flat[1]}:
        was, received = (each.get(name, "nothing") for each in flat)
        if received != was:
            return (
                f"--resume: {folder} was started with {name} {was}, received {received}; "
                "use the same settings or another --out_dir"
            )
    return None


def check(folder: Path, now: Mapping[str, Any]) -> None:
    """Raises FlagError if the `run.json` of a folder has other settings than those received."""
    path = folder / "run.json"
    changed = difference(folder, storage.read_json(path), now) if path.exists() else None
    if changed is not None:
        raise FlagError(changed)


def _flat(settings: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Nested settings side by side, named as `method.operator.temperature`."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{within}{name}.")
        else:
            found[within + name] = value
    return found
