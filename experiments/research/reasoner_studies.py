# SPDX-License-Identifier: Apache-2.0
"""Flags and measurements that the studies of reasoners on mean traces share."""

import dataclasses
from pathlib import Path
from typing import Any

import haiku as hk
from absl import flags

from arlsort.operators.learned import LearnedSort
from arlsort.reasoner import checkpoint, evaluation
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from experiments.common.command_line import check_at_least, check_out, read_lengths
from experiments.research import mean_distances

SPREADS = (1.0, 10.0, 100.0, 1000.0)


def settings(values: flags.FlagValues) -> dict[str, Any]:
    """The settings of a study of reasoners on mean traces, and how it measures them.

    Raises:
      FlagError: If a flag is not allowed.
    """
    check_at_least(values, "steps", 1)
    check_at_least(values, "seed", 0)
    check_out(values)
    names = ("noise", "steps", "seed")
    return {
        "lengths": read_lengths(values, "lengths"),
        **{name: values[name].value for name in names},
        "measured": mean_distances.settings(SPREADS),
    }


def training_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The settings that concern training."""
    known = {field.name for field in dataclasses.fields(TrainingConfig)}
    return {name: value for name, value in config.items() if name in known}


def keep(
    path: Path, params: hk.Params, reasoner: ReasonerConfig, schedule: TrainingConfig
) -> dict[str, Any]:
    """Leaves the checkpoint of a reasoner; gives its scores and its distances from the means."""
    measured = evaluation.measure(params, reasoner, schedule)
    checkpoint.save(path, params, reasoner, schedule, **measured._asdict())
    operator = LearnedSort(
        reasoner.algorithm,
        checkpoint=str(path),
        temperature=1.0,
        normalize=False,
        allow_extrapolation=True,
    )
    distances = [
        mean_distances.compare(operator, schedule.noise, n, spread)
        for n in schedule.lengths
        for spread in SPREADS
    ]
    return {"scores": measured.scores, "distances": distances}
