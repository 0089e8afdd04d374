# SPDX-License-Identifier: Apache-2.0
"""What figures share: how lines look, and how a picture is written."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A colour and, as colours come again, a kind of line for each name."""
    kinds = ("-", "--", ":")
    return {
        name: {
            "color": f"C{i % 10}",
            "linestyle": kinds[i // 10 % len(kinds)],
            "marker": "osv^D"[i % 5],
            "markersize": 3.5,
        }
        for i, name in enumerate(dict.fromkeys(names))
    }


def save(figure: Figure, path: Path, dpi: int = 120) -> Path:
    """Writes a PNG under a temporary name and renames it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            figure.savefig(file, format="png", dpi=dpi)
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path
