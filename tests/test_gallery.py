# SPDX-License-Identifier: Apache-2.0
"""The gallery has every picture of `arlsort.plot`, small, with the lines that draw it."""

import importlib.util
import re
from pathlib import Path

import matplotlib
import pytest

from arlsort import plot

matplotlib.use("Agg")
DOCS = Path(__file__).resolve().parent.parent / "docs"
_spec = importlib.util.spec_from_file_location("gallery", DOCS / "gallery.py")
gallery = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(gallery)
MOST_BYTES = 60_000
PAGE = gallery.PAGE.read_text(encoding="utf-8")


def test_every_program_of_the_page_draws_one_picture():
    assert len(gallery.programs()) == PAGE.count("```python") == PAGE.count("](images/")
    assert all(name.startswith("gallery_") for name in gallery.programs())


def test_every_picture_that_can_be_drawn_is_there():
    shown = set(re.findall(r"plot\.(\w+)\(", "".join(gallery.programs().values())))
    assert shown == set(plot.__all__)


@pytest.mark.parametrize("name", gallery.programs())
def test_pictures_are_small(name):
    assert 0 < (DOCS / "images" / name).stat().st_size < MOST_BYTES


@pytest.mark.slow
def test_the_programs_draw_the_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gallery.draw(tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == set(gallery.programs())
    assert all(0 < path.stat().st_size < MOST_BYTES for path in tmp_path.iterdir())
