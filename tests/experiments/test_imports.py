# SPDX-License-Identifier: Apache-2.0
"""Scripts stand on tasks, tasks on what knows no task, and nothing stands on studies."""

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments"
FILES = sorted(FOLDER.rglob("*.py"))
GENERATORS = (ROOT / "docs" / "generate.py", ROOT / "docs" / "drawing.py")
ELSEWHERE = [
    path for name in ("arlsort", "examples", "docs") for path in sorted((ROOT / name).rglob("*.py"))
]
TASKS = ("four_digits", "denoising", "neighbours", "program_tasks", "quantiles")
MAX_LINES = 400

# What a part of the tree may import beside itself.
ALLOWED = {
    "common": set(),
    **{task: {"common"} for task in TASKS},
    "program_tasks": {"common", "four_digits"},  # layers of its network
    "neighbours": {"common", "four_digits"},  # the same
    "quantiles": {"common", "four_digits"},  # its lists
    "": {"common", *TASKS},  # the scripts at the top
    "benchmarks": {"common", "four_digits"},
    "research": {"common", *TASKS},
}


def _module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in FILES}


def _imports(path):
    """The modules of `experiments` that a file names, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            children = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (children & set(MODULES)) or {node.module}
    return {name for name in found if name.split(".")[0] == "experiments"}


def _part(module):
    """The folder that a module is in; empty for the scripts at the top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 or (FOLDER / parts[-1]).is_dir() else ""


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_imports_run_one_way(path):
    part = _part(_module(path))
    for imported in _imports(path):
        allowed = {part, *ALLOWED[part]}
        assert _part(imported) in allowed, f"{_module(path)} imports {imported}"
        assert part == "" or imported.count(".") == 2, f"{_module(path)} imports a script"


@pytest.mark.parametrize("path", ELSEWHERE, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_generator_of_tables_imports_experiments(path):
    assert path in GENERATORS or not _imports(path)


STUDIES = {
    name
    for name in MODULES
    if _part(name) == "research" and "\nSCRIPT = " in MODULES[name].read_text()
}
RENDERERS = {f"experiments.research.{name}" for name in ("tables", "contest_tables")}


def test_a_study_can_be_deleted_with_its_table():
    for name, path in MODULES.items():
        assert name in RENDERERS or not (_imports(path) - {name}) & STUDIES


def test_no_imports_go_round():
    graph = {name: _imports(path) - {name} for name, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(FILES)  # or CycleError


@pytest.mark.parametrize("path", [*FILES, *GENERATORS], ids=lambda path: path.stem)
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


LOADED = """
import sys
own = {name for name in sys.modules if name.startswith("experiments.")}
print("loaded", *sorted(own))
"""
TINY = (
    *("--operators=odd_even", "--seeds=1", "--n=2", "--steps=1", "--batch_size=2"),
    *("--channels=2,2", "--validation_lists=2", "--test_lists=2"),
)
IMPORTED = "import experiments.sort_numbers" + LOADED
RUN = (
    "import runpy, sys; sys.argv[0] = 'experiments/sort_numbers.py'; "
    "runpy.run_path(sys.argv[0], run_name='__main__')" + LOADED
)


@pytest.mark.parametrize(
    "program",
    [pytest.param(IMPORTED, id="imported"), pytest.param(RUN, id="run", marks=pytest.mark.slow)],
)
def test_the_main_script_loads_its_task_and_nothing_else(program, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", program, *TINY, f"--out_dir={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    word, *loaded = done.stdout.splitlines()[-1].split()
    assert word == "loaded" and len(loaded) > 10
    for module in loaded:
        assert _part(module) in ("common", "four_digits") or module == "experiments.sort_numbers"
