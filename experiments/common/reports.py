# SPDX-License-Identifier: Apache-2.0
"""Reports: JSON files that grow by a record at a time, and what is written beside every number."""

import functools
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from experiments.common import run_folders, storage
from experiments.common.command_line import FlagError

ROOT = Path(__file__).resolve().parents[2]


def open_report(
    experiment: str, config: dict[str, Any], out: Path, flag: str = "out"
) -> dict[str, Any]:
    """The report that is written to a file: what it holds already, or a new one without records.

    Args:
      experiment: What it is of.
      config: Its settings.
      out: The file.
      flag: Which flag names the file or, as `out_dir`, its folder.

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
        raise FlagError(
            f"--{flag}: {out} is no report of {experiment}; name another file"
        ) from None
    if not same:
        if flag == "out_dir":
            changed = run_folders.difference(out.parent, report["config"], config)
            if changed is not None:
                raise FlagError(changed)
        raise FlagError(f"--{flag}: {out} has other settings; name another file")
    return report


def measure_once(
    report: dict[str, Any],
    out: Path,
    identity: dict[str, Any],
    measure: Callable[[], dict[str, Any]],
) -> dict[str, Any] | None:
    """Measures once: adds a record to a report and writes it, unless the report has it.

    Args:
      report: As `open_report` gives it.
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


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Renders a Markdown table."""
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def stated(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Writes settings as flags, those alone that differ from their defaults.

    Args:
      settings: By the names of the flags; a list becomes its items with commas.
      defaults: Which flags there are, in the order of the command line.

    Example:
      >>> stated({"n": 9, "channels": [16, 32]}, {"n": 5, "steps": 10, "channels": [8]})
      ['--n=9', '--channels=16,32']
    """
    words = []
    for name, default in defaults.items():
        value = settings.get(name, default)
        if value != default:
            text = ",".join(map(str, value)) if isinstance(value, list) else value
            words.append(f"--{name}={text}")
    return words


def print_settings(settings: Mapping[str, Any], folder: Path) -> None:
    """Prints what a run is about to do, a setting on each line, and where it writes."""
    for name, value in {**settings, "commit": git_commit(), "out_dir": folder}.items():
        print(f"{name:18} {value}", flush=True)


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
