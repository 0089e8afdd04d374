# SPDX-License-Identifier: Apache-2.0
"""Narrow convolutions are compared with wide ones seed by seed, and with nothing else."""

import pytest

from experiments.research import precisions


def report(precision: str, scores: list[float], **other: object) -> dict:
    config = {"precision": precision, "steps": 10, "resolution": "full", **other}
    runs = [
        {"operator": "odd_even", "seed": seed, "test": {"em": em}} for seed, em in enumerate(scores)
    ]
    seeds = list(range(len(scores)))
    return {"config": config, "methods": {"odd_even": {}}, "seeds": seeds, "runs": runs[::-1]}


def test_differences_are_those_of_the_same_seeds():
    text = precisions.table([report("bfloat16", [0.3, 0.2]), report("float32", [0.2, 0.3])])
    wide, narrow = text.splitlines()[2:]
    assert wide == "| `odd_even` | float32 | 25.0 ± 7.1 | - |"
    assert narrow == "| `odd_even` | bfloat16 | 25.0 ± 7.1 | +0.0 ± 14.1 |"


def test_what_differs_in_more_is_refused():
    with pytest.raises(ValueError, match="no report of float32"):
        precisions.table([report("bfloat16", [0.3])])
    with pytest.raises(ValueError, match="steps"):
        precisions.table([report("float32", [0.3]), report("bfloat16", [0.3], steps=11)])
    with pytest.raises(ValueError, match="resolution"):
        precisions.table([report("float32", [0.3]), report("bfloat16", [0.3], resolution="half")])
    with pytest.raises(ValueError, match="loss is not in every report"):
        precisions.table([report("float32", [0.3]), report("bfloat16", [0.3], loss="auto")])
    with pytest.raises(ValueError, match="seeds"):
        precisions.table([report("float32", [0.3]), report("bfloat16", [0.3, 0.2])])
