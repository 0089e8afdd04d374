# SPDX-License-Identifier: Apache-2.0
"""Which weights were timed, so that a page can say when they are not those of today."""

from typing import Any

from arlsort import weight_files
from arlsort.amortized import checkpoint as amortized
from arlsort.reasoner import checkpoint as reasoner

DEFAULTS = {
    "amortized": amortized.shipped_path(),
    "learned": reasoner.shipped_path("insertion_sort"),
}
"""The files that operators read by default, by the names of the operators."""


def fingerprints() -> dict[str, str]:
    """The SHA-256 of the weights of each learned operator, as its card has it."""
    return {name: weight_files.read_card(path)["sha256"] for name, path in DEFAULTS.items()}


def remark(report: dict[str, Any], names: list[str]) -> str:
    """Says which of the timed operators had other weights; empty if none had.

    Args:
      report: What a benchmark wrote, with the `weights` that it measured.
      names: Operators that are in it.
    """
    measured, today = report.get("weights", {}), fingerprints()
    earlier = [name for name in names if name in today and measured.get(name) != today[name]]
    if not earlier:
        return ""
    return f"The times of {' and '.join(f'`{name}`' for name in earlier)} are of earlier weights."
