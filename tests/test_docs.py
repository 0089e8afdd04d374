# SPDX-License-Identifier: Apache-2.0
"""The documentation site builds without a warning, and its programs run."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

import arlsort

matplotlib.use("Agg")
DOCS = Path(__file__).resolve().parent.parent / "docs"
# Those of learned_sort.md train, and are run by tests/base_install.py; adding_a_method.md has parts
# of files, which tests/test_readme.py puts together.
PAGES = ("index", "temperature", "migration", "programs", "quadratic", "neighbours")


def programs(page):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page, program", [(page, program) for page in PAGES for program in programs(page)]
)
def test_programs_of_pages_run(page, program):
    names: dict = {}
    exec(program, names)
    if "optax" in program:
        assert names["value"] < 0.7 * names["loss"](0 * names["weights"], *names["data"])
    if "first_above" in names and "places" in names:
        assert names["exact"] == 2 and abs(names["soft"] - 2.08) < 0.005
        assert names["places"].round(3).tolist() == [2, 0]
    if "soft_rank" in names:
        assert names["soft_rank"].tolist() == [3.0, 1.25, 1.75]


def test_every_public_name_is_in_the_reference():
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    for name in arlsort.__all__:
        if name not in ("plot", "programs", "quadratic"):  # all of their members are
            assert re.search(rf"auto(function|class):: {name}$", pages, re.MULTILINE), name


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*command, str(DOCS), str(tmp_path / "site")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "site" / "api" / "functions.html").read_text(encoding="utf-8")
    assert "arlsort.quantile" in page and "Raises" in page
