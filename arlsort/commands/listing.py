# SPDX-License-Identifier: Apache-2.0
"""`arlsort operators` and `arlsort experiments`: lists methods and scripts."""

import argparse
import ast
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import arlsort
from arlsort.commands import Add, output
from arlsort.operators import registry

CHECKOUT = Path(arlsort.__file__).resolve().parents[1]
FOLDERS = ("", "benchmarks", "research")
"""The folders of experiments/ that hold scripts."""


def add(command: Add) -> None:
    """Adds both commands."""
    for one in (
        command("operators", operators, "List the operators and their hyperparameters."),
        command("experiments", experiments, "List the scripts that train and compare, in a clone."),
    ):
        one.add_argument("--json", action="store_true", help=output.JSON_HELP)


def operators(arguments: argparse.Namespace) -> None:
    """Prints the methods."""
    report = []
    for name, row in registry.REGISTRY.items():
        built = row.build()
        if not arguments.json:
            defaults = ", ".join(f"{k}={v}".lower() for k, v in row.hyperparameters().items())
            print(f"{name:16} {row.summary}\n{'':16} {defaults}\n{'':16} {row.paper}")
        report.append(
            {
                "name": name,
                "summary": row.summary,
                "paper": row.paper,
                "hyperparameters": row.hyperparameters(),
                "temperature": getattr(built, "temperature", None),
                "has_permutation": built.has_permutation,
                "doubly_stochastic": built.has_permutation and built.doubly_stochastic,
                "equivariant": built.equivariant,
            }
        )
    if arguments.json:
        print(output.json_text({"default": registry.DEFAULT, "operators": report}))


def experiments(arguments: argparse.Namespace) -> None:
    """Prints the command of every script, and the summary of its docstring.

    Raises:
      OSError: If the package is installed without a checkout.
    """
    found = list(scripts(CHECKOUT))
    if arguments.json:
        report = [{"command": line, "summary": about} for line, about in found]
        print(output.json_text({"folder": str(CHECKOUT), "scripts": report}))
        return
    print(f'In {CHECKOUT}, with pip install -e ".[experiments]":')
    for line, about in found:
        print(f"{line}\n    {about}")


def scripts(checkout: Path) -> Iterator[tuple[str, str]]:
    """The command of every script and its summary, read without importing it."""
    folder = checkout / "experiments"
    if not (checkout / "setup.py").exists() or not folder.is_dir():
        raise OSError(f"the scripts are not in the installed package; git clone {_source()}")
    for name in FOLDERS:
        for path in sorted((folder / name).glob("*.py")):
            text = path.read_text(encoding="utf-8")
            if '\nif __name__ == "__main__":\n' in text:
                about = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
                command = f"python experiments/{path.name}"
                if name:
                    command = f"python -m experiments.{name}.{path.stem}"
                yield command, about


def _source() -> str:
    """Where the repository is, as setup.py says it."""
    try:
        urls = importlib.metadata.metadata("arlsort").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:  # a bare copy of the folder
        urls = []
    return next((url.partition(", ")[2] for url in urls if url.startswith("Source")), "arlsort")
