# SPDX-License-Identifier: Apache-2.0
"""The outcome of a comparison: one JSON file, and the table read from it."""

import dataclasses
import functools
import importlib.metadata
import math
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from experiments import storage
from experiments.command_line import FlagError
from experiments.config import Config, Method, in_part

ROOT = Path(__file__).resolve().parent.parent
METRICS = ("em", "ew", "em5")


def collect(
    config: Config,
    methods: Sequence[Method],
    picture: Sequence[int],
    runs: Sequence[dict[str, Any]],
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Puts everything that a reader needs to trust the numbers beside them.

    Args:
      config: The settings.
      methods: What was compared.
      picture: Height, width and channels of the picture of a number.
      runs: The results of all runs.
      mesh: The devices that shared the batches, if there were several.

    Returns:
      What `results.json` holds.
    """
    return {
        "experiment": "sort_numbers",
        "config": dataclasses.asdict(config),
        "methods": {method.spec: method.describe() for method in methods},
        "weights": {method.spec: method.weights for method in methods if method.weights},
        "seeds": list(range(config.seeds)),
        "picture": list(picture),
        "commit": git_commit(),
        "machine": machine(mesh),
        "summary": summarise(runs),
        "runs": list(runs),
    }


def summarise(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives mean and sample standard deviation over the seeds of each operator."""
    rows = []
    for operator in dict.fromkeys(run["operator"] for run in runs):
        own = [run for run in runs if run["operator"] == operator]
        row: dict[str, Any] = {"operator": operator, "seeds": len(own)}
        for metric in METRICS:
            values = [run["test"][metric] for run in own]
            mean = math.fsum(values) / len(values)
            spread = math.fsum((value - mean) ** 2 for value in values)
            deviation = math.sqrt(spread / (len(values) - 1)) if len(values) > 1 else None
            row[metric] = {"mean": mean, "sd": deviation}
        row["seconds"] = math.fsum(run["seconds"] for run in own) / len(own)
        rows.append(row)
    return rows


def go_on(experiment: str, config: dict[str, Any], out: Path) -> dict[str, Any]:
    """The report that is written to a file: what it holds already, or a new one without records.

    Raises:
      FlagError: If the file is not a report of this experiment with these settings.
    """
    if not out.exists():
        return {"experiment": experiment, "config": config, "records": []}
    try:
        report: dict[str, Any] = storage.read_json(out)
        same = report["experiment"] == experiment and report["config"] == config
        list(report["records"])
    except (ValueError, KeyError, TypeError):
        raise FlagError(f"--out: {out} is no report of {experiment}; name another file") from None
    if not same:
        raise FlagError(f"--out: {out} has other settings; name another file")
    return report


def check_means_the_same(report: dict[str, Any], methods: Sequence[Method], out: Path) -> None:
    """Refuses to add to a report whose methods have other defaults than they have now.

    Raises:
      FlagError: If a record of the report has the name of a method and describes another.
    """
    meant = {method.spec: in_part(method.describe()) for method in methods}
    for record in report["records"]:
        now = meant.get(record["method"])
        if now is not None and in_part(record["is"]) != now:
            raise FlagError(
                f"--out: in {out} {record['method']} was {record['is']}; name another file"
            )


def add(
    report: dict[str, Any],
    out: Path,
    identity: dict[str, Any],
    measure: Callable[[], dict[str, Any]],
) -> dict[str, Any] | None:
    """Measures once: adds a record to a report and writes it, unless the report has it.

    Args:
      report: As `go_on` gives it.
      out: Where to write.
      identity: What tells the record from others.
      measure: Gives what else it holds, and `seconds` if only a part of the work is to be timed.

    Returns:
      The record, or None if it was there.
    """
    if any(all(r[k] == v for k, v in identity.items()) for r in report["records"]):
        return None
    began = time.perf_counter()
    record = {**identity, "commit": git_commit(), "machine": machine(), **measure()}
    record.setdefault("seconds", round(time.perf_counter() - began, 1))
    report["records"].append(record)
    storage.write_json(out, report)
    return record


def write(report: dict[str, Any], out_dir: Path) -> Path:
    """Writes `results.json`."""
    path = out_dir / "results.json"
    storage.write_json(path, report)
    return path


def cell(value: dict[str, float | None]) -> str:
    """Writes a metric in percent: `41.3 ± 1.2`, or `41.3` for a single seed."""
    mean = f"{100 * value['mean']:.1f}"  # type: ignore[operator]
    return mean if value["sd"] is None else f"{mean} ± {100 * value['sd']:.1f}"


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Renders a Markdown table."""
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def replace(text: str, section: str, tables: str) -> str:
    """Puts tables between the markers of a section of a text."""
    begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    return f"{head}{begin}\n{tables}\n{end}{tail}" if tables else f"{head}{begin}\n{end}{tail}"


def table(report: dict[str, Any]) -> str:
    """Renders the summary for a terminal."""
    rows = [("operator", "EM %", "EW %", "EM5 %", "seeds", "s/seed")]
    for row in report["summary"]:
        cells = (cell(row[metric]) for metric in METRICS)
        rows.append((row["operator"], *cells, str(row["seeds"]), f"{row['seconds']:.0f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        row[0].ljust(widths[0])
        + "".join(f"  {text.rjust(width)}" for text, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


@functools.cache
def git_commit() -> str | None:
    """Names the commit of this checkout, with `-dirty` if files differ; None outside of git.

    Found once, when first asked: a script that asks as it begins names the code that it runs.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def machine(mesh: Mesh | None = None) -> dict[str, Any]:
    """Describes what it ran on; `devices` are those that it used."""
    packages = ("jax", "jaxlib", "dm-haiku", "optax", "numpy")
    return {
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
        "devices": 1 if mesh is None else mesh.size,
        "processes": jax.process_count(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }
