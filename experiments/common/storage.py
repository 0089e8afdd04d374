# SPDX-License-Identifier: Apache-2.0
"""Files that are either there in full or not at all.

Of several processes the first one writes; the others, which have the same to write, do nothing.
"""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from experiments.common import devices


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name beside it and renames it into place."""
    if devices.first():
        write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file in the same way, in whatever process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, atomically; lists of plain values take one line."""
    text = json.dumps(value, indent=1)
    flat = re.sub(r"\[[^][{}]*\]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)
    write_text(path, flat.replace("[ ", "[").replace(" ]", "]") + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def line(record: dict[str, Any]) -> str:
    """Writes a record as a line."""
    return json.dumps(record) + "\n"


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Appends one record to a JSON-lines file."""
    if not devices.first():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line(record))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads a JSON-lines file; a last line that was cut off is left out."""
    records: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return records
