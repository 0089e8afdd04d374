# SPDX-License-Identifier: Apache-2.0
"""Relaxed bubble sort is timed in its two forms, and beside the package where there is one."""

import pytest

from experiments.benchmarks import relaxed_programs
from tests.experiments.flags import kept, refusal

OWN = {"compile_seconds": 2.0, "bytes": 3_000_000, "mean": 1.0, "seconds": 0.002, "fastest": 0.001}


@pytest.mark.parametrize(
    "package, cells",
    [
        ({"algovision": {"mean": 1.0, "seconds": 0.1, "fastest": 0.1}}, "| 5 | 100 | 2 | 50 |"),
        ({}, "| 5 | - | 2 | - | 2.0 | 3 |"),
    ],
)
def test_the_table_says_how_many_times_as_fast(package, cells):
    programs = {"language": OWN, "shipped": OWN, **package}
    assert cells in relaxed_programs.table({"cases": [{"n": 5, "programs": programs}]})


def test_nonsense_is_refused_in_one_line(capsys):
    def run():
        with kept(relaxed_programs.FLAGS):
            relaxed_programs.SCRIPT.run(["relaxed_programs.py", "--repeats=0"])

    assert "--repeats: received 0" in refusal(run, capsys)


@pytest.mark.slow
def test_both_forms_are_measured_and_agree():
    found = relaxed_programs.case(3, batch_size=2, repeats=1)["programs"]
    for name in relaxed_programs.OURS:
        assert 0 < found[name]["fastest"] <= found[name]["seconds"]
    means = [one["mean"] for one in found.values()]
    assert max(means) == pytest.approx(min(means), rel=1e-5)
