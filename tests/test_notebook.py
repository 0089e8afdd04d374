# SPDX-License-Identifier: Apache-2.0
"""The notebook runs from top to bottom, and is stored as it ran."""

import copy
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parent.parent / "colab" / "arlsort.ipynb"


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


@pytest.mark.slow
@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_notebook_runs(data, notebook, monkeypatch, tmp_path):
    if data == "mnist" and "TFDS_DATA_DIR" not in os.environ:
        pytest.skip("MNIST is not on this machine")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    small = with_parameters(notebook, DATA=f'"{data}"', QUICK="True")
    for cell in small.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(small, timeout=300, kernel_name="python3")
    client.execute(cwd=str(NOTEBOOK.parent))
    assert pictures(small) == 5
    assert "learned sort     lists in exact order" in printed(small)
    assert "nan" not in printed(small)


def test_notebook_is_stored_as_it_ran(notebook):
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 2e6
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert pictures(notebook) == 5
    assert any("text/html" in o.get("data", {}) and "animation" in str(o) for o in outputs)
    assert "learned sort     lists in exact order" in printed(notebook)
