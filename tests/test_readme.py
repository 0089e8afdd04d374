# SPDX-License-Identifier: Apache-2.0
"""The README and the documents keep their word: code runs, commands exist, tables are current."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import arlsort
from arlsort.operators import registry
from tests import printed_outputs

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
SMOKE = "--steps=2 --seeds=1 --n=3 --batch_size=4 --test_lists=8 --operators=learned,odd_even"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks(README, "bash") for line in block.splitlines()]
    return [part.strip() for line in lines for part in line.split("&&")]


def test_readme_has_two_command_lines():
    assert len([line for block in blocks(README, "bash") for line in block.splitlines()]) == 2


def test_readme_installs_extras_that_exist(monkeypatch):
    received = {}
    monkeypatch.setattr("setuptools.setup", lambda **kwargs: received.update(kwargs))
    runpy.run_path(str(ROOT / "setup.py"))
    extras = re.findall(r"\[(\w+)\]", " ".join(c for c in commands() if c.startswith("pip ")))
    assert extras == ["experiments", "test"]
    assert set(extras) <= set(received["extras_require"])


def test_readme_is_short():
    read = re.sub(r"<!--.*?-->|\]\([^)]*\)", " ", README, flags=re.DOTALL)
    assert len(re.findall(r"\S*\w\S*", read)) <= 700


def test_readme_example_has_six_lines_and_prints_what_it_gives():
    (example,) = blocks(README, "python")
    code = [line for line in example.splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= 6
    names: dict = {}
    assert printed_outputs.run(example, names) == 4
    np.testing.assert_allclose(names["P"].sum(-1), 1.0, atol=1e-5)
    gradient = eval(code[-1], names)  # the text of our own README
    assert jnp.all(jnp.isfinite(gradient))
    assert jnp.all(gradient != 0)


def test_a_wrong_output_is_noticed():
    with pytest.raises(AssertionError):
        printed_outputs.run("x = 1.5\n2 * x  # 3.1", {})
    with pytest.raises(AssertionError):
        printed_outputs.run("x = [0.5, 1.5]\n# [0.5,\n#  1.6]", {})


def test_the_limits_beside_the_example_are_those_of_the_default():
    longest = int(re.search(r"at most (\d+) scores", README)[1])
    assert arlsort.sort(jnp.arange(longest + 0.0)).shape == (longest,)
    with pytest.raises(ValueError, match=f"at most {longest}"):
        arlsort.sort(jnp.arange(longest + 1.0))
    default = arlsort.operators.get(registry.DEFAULT)
    assert f"temperature, {default.temperature}, is a fraction" in README.replace("\n", " ")


@pytest.mark.slow
def test_main_command_runs_in_smoke_form(tmp_path):
    (command,) = [c for c in commands() if "sort_numbers.py" in c]
    python, *arguments = shlex.split(command)
    assert python == "python"
    done = subprocess.run(
        [sys.executable, *arguments, *SMOKE.split(), f"--out_dir={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for promised in ("learned", "odd_even", "EM", "EW", "EM5"):
        assert promised in done.stdout
    assert list(tmp_path.rglob("*.json"))
    assert list(tmp_path.rglob("*.png"))


def test_test_command_collects_tests():
    (command,) = [c for c in commands() if "pytest" in c]
    _, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, *arguments, "--collect-only", "-q", "tests/test_packaging.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "test_the_version_is_written_once" in done.stdout


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_resolve(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("https://") or (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_headings_resolve(path):
    for file, anchor in re.findall(
        r"\]\(((?!https:)[^)#\s]*)#([^)\s]+)\)", path.read_text("utf-8")
    ):
        target = (path.parent / file if file else path).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", target, re.MULTILINE)
        slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert anchor in slugs, (file, anchor)


def test_the_example_of_adding_a_method_works(monkeypatch):
    guide = (ROOT / "docs" / "adding_a_method.md").read_text(encoding="utf-8")
    operator_file, row = blocks(guide, "python")
    names: dict = {"__name__": "soft_rank"}
    monkeypatch.setitem(sys.modules, "soft_rank", type(sys)("soft_rank"))
    exec(operator_file, names)  # the text of our own guide
    entry = eval("{" + row + "}", {**names, "Entry": registry.Entry, "Facts": registry.Facts})[
        "soft_rank"
    ]
    operator = entry.operator(temperature=1e-3)
    x = jnp.array([[0.3, -1.2, 2.0, 0.1], [1.0, 2.0, 0.0, -1.0]])
    np.testing.assert_allclose(operator.sort(x), jnp.sort(x), atol=1e-4)
    np.testing.assert_allclose(
        entry.build(**entry.supervision).permutation(x).sum(-1), 1, atol=1e-5
    )
