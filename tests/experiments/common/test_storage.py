# SPDX-License-Identifier: Apache-2.0
"""Files are whole or absent."""

import json

import pytest

from experiments.common import storage


def test_json_round_trips(tmp_path):
    value = {"a": [1, 2.5, None], "b": {"c": [[1, 2], [3, 4]], "d": "x [1,\n 2]"}, "e": [], "f": {}}
    storage.write_json(tmp_path / "deep" / "x.json", value)
    assert storage.read_json(tmp_path / "deep" / "x.json") == value
    assert '"a": [1, 2.5, null]' in (tmp_path / "deep" / "x.json").read_text()


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    storage.write_json(path, 1)

    def fail(*args):
        raise OSError

    monkeypatch.setattr(storage.os, "replace", fail)
    with pytest.raises(OSError):
        storage.write_json(path, 2)
    assert json.loads(path.read_text()) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "x.jsonl"
    storage.append_line(path, {"a": 1})
    with path.open("a") as file:
        file.write('{"a": 2')
    assert storage.read_lines(path) == [{"a": 1}]
    assert storage.read_lines(tmp_path / "none") == []
