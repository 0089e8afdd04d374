# SPDX-License-Identifier: Apache-2.0
"""The notebook runs from top to bottom, at a size that only shows that it does."""

import copy
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parent.parent / "colab" / "arlsort.ipynb"
SMOKE = {"STEPS": 2, "BATCH": 4, "TEST_LISTS": 8}


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def with_parameters(
    notebook: nbformat.NotebookNode, values: dict[str, int]
) -> nbformat.NotebookNode:
    """Puts other values in the one cell tagged `parameters`."""
    changed = copy.deepcopy(notebook)
    (cell,) = (c for c in changed.cells if "parameters" in c.metadata.get("tags", []))
    for name, value in values.items():
        cell.source, count = re.subn(
            rf"^{name} = \d+", f"{name} = {value}", cell.source, flags=re.M
        )
        assert count == 1, name
    return changed


def test_notebook_runs(notebook, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    small = with_parameters(notebook, SMOKE)
    client = NotebookClient(small, timeout=300, kernel_name="python3")
    client.execute(cwd=str(NOTEBOOK.parent))
    outputs = [output for cell in small.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    printed = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")
    assert len(pictures) == 4
    assert "learned sort       whole lists right" in printed
    assert "nan" not in printed


def test_notebook_is_stored_without_outputs(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
