# SPDX-License-Identifier: Apache-2.0
"""The page that compares libraries is of the versions that the tests run."""

import re
import runpy
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import arlsort

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
LIBRARIES = ("softjax", "diffsort", "algovision", "qpax")


def versions():
    rows = re.findall(r"^\| (?:\[([^]]+)\]\([^)]+\)|(\w+)) \| (\S+?),? ", PAGE, re.MULTILINE)
    return {(linked or plain).lower(): version for linked, plain, version in rows}


@pytest.mark.parametrize("name", LIBRARIES)
def test_versions_are_those_that_the_tests_ask_for(name, monkeypatch):
    received = {}
    monkeypatch.setattr("setuptools.setup", lambda **kwargs: received.update(kwargs))
    runpy.run_path(str(ROOT / "setup.py"))
    peers = {one.name: one for one in map(Requirement, received["extras_require"]["peers"])}
    (specifier,) = peers[name].specifier
    assert versions()[name] == specifier.version


def test_the_version_of_this_library_is_its_own():
    assert versions()["arlsort"] == arlsort.__version__


def test_every_row_of_a_table_has_all_cells():
    tables = re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
    assert len(tables) == PAGE.count("| --- |\n") > 5
    for table in tables:
        assert len({row.count("|") for row in table.splitlines()}) == 1, table[:60]
        assert "| |" not in table and "@" not in table


def test_functions_that_the_page_names_exist():
    for name in ("sort_by", "QuadraticLayer"):
        assert f"`{name}`" in PAGE and name in arlsort.__all__
