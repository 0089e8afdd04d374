# SPDX-License-Identifier: Apache-2.0
"""Imports run one way, and importing the package stays light."""

import ast
import graphlib
import os
import pathlib
import subprocess
import sys

import pytest

import arlsort

ROOT = pathlib.Path(arlsort.__file__).parent

# A module may import from layers before its own, and from its own.
LAYERS = (
    ("arlsort.checks",),
    ("arlsort.weight_files", "arlsort.descent"),
    ("arlsort.numerics",),
    ("arlsort.soft_permutation",),
    ("arlsort.reasoner", "arlsort.amortized", "arlsort.programs", "arlsort.networks"),
    ("arlsort.operators",),
    ("arlsort.accuracy", "arlsort.shared_lists"),
    ("arlsort.functional", "arlsort.comparison", "arlsort.likelihood", "arlsort.quadratic"),
    ("arlsort.selection", "arlsort.quadratic_layer"),
    ("arlsort.neighbours", "arlsort.sharding"),
    ("arlsort.plot",),
    ("arlsort",),
    ("arlsort.commands",),
    ("arlsort.__main__",),
)
FILES = sorted(ROOT.rglob("*.py"))


def _module(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _layer(module: str) -> int:
    for level, prefixes in enumerate(LAYERS):
        for prefix in prefixes:
            if module == prefix or (prefix != "arlsort" and module.startswith(prefix + ".")):
                return level
    raise AssertionError(f"{module} is in no layer")


def _imports(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert all(alias.name != "*" for alias in node.names), f"{path}: a star import"
            children = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {_module(file) for file in FILES}
            found |= (children & modules) or {node.module}
    return found


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_imports_run_one_way(path):
    for imported in _imports(path):
        assert imported.split(".")[0] not in {"experiments", "tests", "pickle"}
        if imported.split(".")[0] == "arlsort":
            assert _layer(imported) <= _layer(_module(path)), f"{_module(path)} imports {imported}"


def test_imports_form_no_circle():
    graph = {_module(path): _imports(path) & {_module(file) for file in FILES} for path in FILES}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def test_a_file_is_one_idea():
    long = {_module(path): len(path.read_text().splitlines()) for path in FILES}
    assert not {name: lines for name, lines in long.items() if lines > 400}


def test_importing_and_sorting_loads_nothing_heavy():
    program = """
import sys
import arlsort, jax.numpy
arlsort.sort(jax.numpy.array([2.0, 1.0]), "odd_even")
heavy = {"tensorflow", "tensorflow_datasets", "clrs", "torch", "matplotlib", "sklearn", "orbax"}
print(sorted(heavy & {name.split(".")[0] for name in sys.modules}))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_first_sort_imports_what_it_needs_and_compiles_one_program():
    program = """
import sys
import jax, numpy
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
)
import arlsort
x = jax.device_put(numpy.float32([3, 1, 2]))
arlsort.sort(x)
later = ("plot", "quadratic", "quadratic_layer", "sharding")
print(len(compiled), [name for name in later if f"arlsort.{name}" in sys.modules])
print(arlsort.QuadraticLayer.__name__, *(getattr(arlsort, name).__name__ for name in later))
print(set(dir(arlsort)) >= {*arlsort.__all__, *later}, "importlib" in dir(arlsort))
"""
    # Nothing may come from a folder of programs: what is read there is not compiled.
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.splitlines() == [
        "1 []",
        "QuadraticLayer arlsort.plot arlsort.quadratic arlsort.quadratic_layer arlsort.sharding",
        "True False",
    ]


@pytest.mark.slow
def test_a_type_checker_knows_the_public_names_and_no_others():
    api = pytest.importorskip("mypy.api")
    plain = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", "-c"]
    given = [*plain, "import arlsort\narlsort.plot, arlsort.sharding.sort"]
    said, _, status = api.run(given)
    assert status == 0, said
    said, _, status = api.run([*given[:-1], "import arlsort\narlsort.nonsense"])
    assert status == 1 and "nonsense" in said


def test_the_public_names_are_sorted_documented_and_there():
    assert arlsort.__all__ == sorted(arlsort.__all__)
    for name in arlsort.__all__:
        assert getattr(arlsort, name).__doc__
