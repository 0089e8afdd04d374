# SPDX-License-Identifier: Apache-2.0
"""The metrics of a run as JSON lines, and its time over all its starts."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.common import storage


class MetricsLog:
    """The records of a run that may be interrupted."""

    def __init__(self, path: Path, step: int):
        """Opens the log, without what was written after the checkpoint at `step`."""
        self._path = path
        self.records = [r for r in storage.read_lines(path) if r["step"] <= step]
        storage.write_text(path, "".join(storage.line(record) for record in self.records))
        self._began = time.monotonic() - (self.records[-1]["seconds"] if self.records else 0.0)

    def seconds(self) -> float:
        """Seconds since the run began, without the time between its starts."""
        return time.monotonic() - self._began

    def add(self, **record: float) -> None:
        """Appends a record."""
        self.records.append({**record, "seconds": round(self.seconds(), 2)})
        storage.append_line(self._path, self.records[-1])

    def curve(self) -> dict[str, list[float]]:
        """Gives each metric over the records, to five digits."""
        return curve(self.records)


def curve(records: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Gives each metric over the records of a log, to five digits."""
    names = [name for name in records[0] if name != "seconds"]
    return {name: [_rounded(record[name]) for record in records] for name in names}


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.5g}")
