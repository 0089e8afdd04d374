# SPDX-License-Identifier: Apache-2.0
"""Whether a method is ahead of another over the seeds that both have."""

import math
import statistics
from collections.abc import Mapping
from typing import Any

from jax.scipy.special import betainc


def paired(runs: list[dict[str, Any]], ours: str, other: str) -> dict[str, Any]:
    """The difference in test EM over the seeds that both share, with a two-sided paired t-test."""
    by_seed = {
        spec: {run["seed"]: run["test"]["em"] for run in runs if run["operator"] == spec}
        for spec in (ours, other)
    }
    seeds = sorted(set(by_seed[ours]) & set(by_seed[other]))
    gaps = [by_seed[ours][seed] - by_seed[other][seed] for seed in seeds]
    mean = statistics.fmean(gaps) if gaps else math.nan
    sd = statistics.stdev(gaps) if len(gaps) > 1 else math.nan
    t = mean / (sd / math.sqrt(len(gaps))) if sd > 0 else math.nan
    freedom = len(gaps) - 1
    p = float(betainc(freedom / 2, 0.5, freedom / (freedom + t * t))) if sd > 0 else math.nan
    return {"other": other, "seeds": len(gaps), "mean": mean, "sd": sd, "t": t, "p": p}


def points(pair: Mapping[str, Any]) -> str:
    """Writes a difference in points with its p, where there is one: `+5.7, p = 0.021`."""
    p = "" if pair["p"] is None or math.isnan(pair["p"]) else f", p = {pair['p']:.2g}"
    return f"{100 * pair['mean']:+.1f}{p}"
