# SPDX-License-Identifier: Apache-2.0
"""The documentation site builds without a warning, and its programs run."""

import re
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import matplotlib
import pytest

import arlsort
from tests import printed_outputs

matplotlib.use("Agg")
DOCS = Path(__file__).resolve().parent.parent / "docs"
# Tutorials are one program each, in steps.
TUTORIALS = {
    "first_sort": 11,
    "train_through_it": 2,
    "relax_an_algorithm": 5,
    "qp_layer": 4,
    "find_neighbours": 4,
}
"""How many outputs are printed, at least."""
# Those of train_your_own.md train, and are run by tests/base_install.py; adding_a_method.md has
# parts of files, which tests/test_readme.py puts together.
PAGES = ("index", "temperature", "choosing", "migration", "programs", "quadratic", "neighbours")


def programs(page):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS)
def test_tutorials_run_and_give_what_they_print(page):
    names: dict = {}
    printed = sum(printed_outputs.run(program, names) for program in programs(page))
    assert printed >= TUTORIALS[page]
    if page == "train_through_it":
        assert names["cosine"] > 0.99 and names["right"] > 0.9
        assert jnp.all(jnp.isfinite(names["slope"]))
    if page == "relax_an_algorithm":
        assert names["find"]([0.0, 0.2, 0.7, 0.6, 0.9], 0.5) == 2  # the loop on the page
        assert names["slope"] > 0
        assert 0.2 < names["level"] < 0.7
    if page == "qp_layer":
        assert names["improvement"] < 0.1 and names["outputs"].shape == (32, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page, program", [(page, program) for page in PAGES for program in programs(page)]
)
def test_programs_of_pages_run(page, program):
    names: dict = {}
    printed_outputs.run(program, names)
    if "soft_rank" in names:
        assert names["soft_rank"].tolist() == [3.0, 1.25, 1.75]


def test_every_page_is_in_a_table_of_contents():
    listed = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    trees = "\n".join(re.findall(r"^```{toctree}\n(.*?)^```$", listed, re.MULTILINE | re.DOTALL))
    lines = [line for line in trees.splitlines() if re.match(r"\w", line)]
    assert sorted(pages - {"index"}) == sorted(lines)


def test_every_public_name_is_in_the_reference():
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    for name in arlsort.__all__:
        if name not in ("plot", "programs", "quadratic", "sharding"):  # all of their members are
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
