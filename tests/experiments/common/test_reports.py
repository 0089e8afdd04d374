# SPDX-License-Identifier: Apache-2.0
"""Reports that grow record by record."""

import pytest

from experiments.common import storage
from experiments.common.command_line import FlagError
from experiments.common.reports import measure_once, open_report

CONFIG = {"n": 3}


def test_what_is_there_is_not_measured_again_and_all_is_written_at_once(tmp_path):
    out = tmp_path / "report.json"
    report = open_report("study", CONFIG, out)
    record = measure_once(report, out, {"kind": "a", "seed": 0}, lambda: {"found": 1})
    assert record["found"] == 1 and record["seconds"] >= 0 and "commit" in record
    assert storage.read_json(out) == report == open_report("study", CONFIG, out)

    def again():
        raise AssertionError("measured twice")

    assert measure_once(report, out, {"kind": "a", "seed": 0}, again) is None
    timed = measure_once(report, out, {"kind": "a", "seed": 1}, lambda: {"seconds": 12.5})
    assert timed["seconds"] == 12.5, "a part of the work"
    assert len(storage.read_json(out)["records"]) == 2


@pytest.mark.parametrize(
    "content, message",
    [
        ({"experiment": "study", "config": {"n": 4}, "records": []}, "other settings"),
        ({"experiment": "other", "config": CONFIG, "records": []}, "other settings"),
        ({"experiment": "study", "config": CONFIG}, "no report of study"),
        ({"experiment": "study", "config": CONFIG, "records": None}, "no report of study"),
        ([], "no report of study"),
    ],
)
def test_a_file_of_something_else_is_not_touched(tmp_path, content, message):
    out = tmp_path / "report.json"
    storage.write_json(out, content)
    with pytest.raises(FlagError, match=f"{message}.*name another file"):
        open_report("study", CONFIG, out)
    assert storage.read_json(out) == content
