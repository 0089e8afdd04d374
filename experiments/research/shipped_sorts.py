# SPDX-License-Identifier: Apache-2.0
"""What studies of the shipped amortised sorts over lengths share: checks of flags, and the loop."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from arlsort.amortized.config import NOISES
from experiments.common.command_line import (
    check_at_least,
    check_choices,
    check_out,
    read_lengths,
)
from experiments.common.reports import measure_once, open_report


def check(values: flags.FlagValues) -> None:
    """Raises FlagError if `--noises`, `--lists`, `--out` or `--lengths` is not allowed."""
    check_choices(values, "noises", NOISES)
    check_at_least(values, "lists", 1)
    check_out(values)
    read_lengths(values, "lengths")


def measure(
    study: str,
    values: flags.FlagValues,
    config: dict[str, Any],
    examine: Callable[[str, int, int], dict[str, Any]],
) -> dict[str, Any]:
    """Measures at each law of the noise and each length that the report lacks; writes after each.

    Args:
      study: Its name.
      values: The flags, checked.
      config: What the report is of.
      examine: Measures at a law and a length, with so many lists.

    Returns:
      The report.
    """
    out = Path(values.out)
    report = open_report(study, config, out)
    for noise in values.noises:
        for n in read_lengths(values, "lengths"):
            at = functools.partial(examine, noise, n, values.lists)
            record = measure_once(report, out, {"noise": noise, "n": n}, at)
            if record is not None:
                print(f"{noise}, n = {n}: {record['seconds']} s", flush=True)
    return report
