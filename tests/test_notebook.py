# SPDX-License-Identifier: Apache-2.0
"""The notebook runs from top to bottom, and is stored as it ran."""

import ast
import copy
import os
import re
import runpy
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "colab" / "arlsort.ipynb"
PICTURES = 7


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def with_parameters(notebook: nbformat.NotebookNode, **values: str) -> nbformat.NotebookNode:
    """Puts other values in the one cell tagged `parameters`."""
    changed = copy.deepcopy(notebook)
    (cell,) = (c for c in changed.cells if "parameters" in c.metadata.get("tags", []))
    for name, value in values.items():
        lines = cell.source.splitlines()
        (at,) = (i for i, line in enumerate(lines) if line.startswith(f"{name} = "))
        lines[at] = f"{name} = {value}"
        cell.source = "\n".join(lines)
    return changed


def printed(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")


def pictures(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def check_contest(text: str, seeds: int) -> None:
    """Checks that a table has four methods, each with all seeds."""
    rows = re.findall(r"^\w+:\S+@\w+ .*?(\d+) +\d+$", text, re.MULTILINE)
    assert rows == 4 * [str(seeds)]


@pytest.mark.slow
@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_notebook_runs(data, notebook, monkeypatch, tmp_path):
    if data == "mnist" and "TFDS_DATA_DIR" not in os.environ:
        pytest.skip("MNIST is not on this machine")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # else it clones the repository
    small = with_parameters(notebook, DATA=f'"{data}"', QUICK="True")
    for cell in small.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(small, timeout=300, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    assert pictures(small) == PICTURES
    assert "learned sort     lists in exact order" in printed(small)
    check_contest(printed(small), seeds=1)
    assert "nan" not in printed(small)


def test_notebook_is_stored_as_it_ran(notebook):
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 2e6
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert pictures(notebook) == PICTURES
    assert any("text/html" in o.get("data", {}) and "animation" in str(o) for o in outputs)
    assert "learned sort     lists in exact order" in printed(notebook)
    assert "exact place        2" in printed(notebook)  # of the relaxed program
    check_contest(printed(notebook), seeds=3)


def test_what_it_installs_has_all_that_it_imports(notebook, monkeypatch):
    received: dict = {}
    monkeypatch.setattr("setuptools.setup", lambda **kwargs: received.update(kwargs))
    runpy.run_path(str(ROOT / "setup.py"))
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    (extra,) = re.findall(r'%pip install -q -e "\{CLONE\}\[(\w+)\]"', cells[0])
    assert f'REPOSITORY = "{received["url"]}"' in cells[0]
    wanted = received["install_requires"] + received["extras_require"][extra]
    installed = {canonicalize_name(Requirement(line).name) for line in wanted}
    code = re.sub(r"^( *)[!%].*", r"\1pass", "\n".join(cells), flags=re.MULTILINE)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            top = module.partition(".")[0]
            if top in sys.stdlib_module_names | {"arlsort", "experiments", "IPython"}:
                continue
            names = {canonicalize_name(name) for name in packages_distributions()[top]}
            assert names & installed, f"{module} is not installed"
