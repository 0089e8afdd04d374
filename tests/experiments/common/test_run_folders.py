# SPDX-License-Identifier: Apache-2.0
"""Comparisons keep to their own folders, and a run is resumed with all its settings or not."""

import pytest

from experiments.common import run_folders
from experiments.common.command_line import FlagError


def test_a_single_comparison_has_the_folder_itself(tmp_path):
    assert run_folders.part(tmp_path, "n_5", 1) == tmp_path
    (tmp_path / "runs").mkdir()
    assert run_folders.part(tmp_path, "n_5", 1) == tmp_path
    with pytest.raises(FlagError, match="holds a single comparison"):
        run_folders.part(tmp_path, "n_5", 2)


def test_one_more_among_several_does_not_lock_them_out(tmp_path):
    for n in (5, 9):
        (run_folders.part(tmp_path, f"n_{n}", 2) / "runs").mkdir(parents=True)
    added = run_folders.part(tmp_path, "n_7", 1)
    assert added == tmp_path / "n_7"
    (added / "runs").mkdir(parents=True)
    for n in (5, 7, 9):
        assert run_folders.part(tmp_path, f"n_{n}", 1) == tmp_path / f"n_{n}"
        assert run_folders.part(tmp_path, f"n_{n}", 2) == tmp_path / f"n_{n}"


def test_a_setting_that_either_side_lacks_is_a_difference(tmp_path):
    both = {"steps": 3, "seed": 0}
    assert run_folders.difference(tmp_path, both, both) is None
    found = run_folders.difference(tmp_path, {"steps": 3}, both)
    assert found is not None and "seed nothing, received 0" in found
    found = run_folders.difference(tmp_path, both, {"steps": 3})
    assert found is not None and "seed 0, received nothing" in found
