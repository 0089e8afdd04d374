# SPDX-License-Identifier: Apache-2.0
"""Commands that a page or a script's docstring prints name files and flags that exist."""

import ast
import copy
import importlib
import re
import shlex
from pathlib import Path

import pytest

from arlsort.__main__ import parser

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(ROOT / name / "README.md" for name in ("experiments", "tests")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SOURCES = [path for name in ("arlsort", "experiments") for path in (ROOT / name).rglob("*.py")]
FEWEST = {"experiments": 75, "arlsort": 6}  # how many commands there are, at least


def texts() -> list[str]:
    """The pages, and what stands at the top of each module."""
    docstrings = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in sorted(SOURCES))
    return [*(page.read_text("utf-8") for page in PAGES), *filter(None, docstrings)]


def printed() -> list[tuple[str, list[str]]]:
    """Modules and arguments, of blocks and of code in a line: `python -m a.b --c` is a.b, [--c]."""
    found = {}
    for text in texts():
        lines = text.replace("\\\n", " ")
        for part in re.findall(r"\bpython (?:-m )?(?:experiments|arlsort)\b[^`|&\n]*", lines):
            words = shlex.split(part, comments=True)
            if words[1] == "-m":
                module, arguments = words[2], words[3:]
            else:
                module, arguments = words[1].removesuffix(".py").replace("/", "."), words[2:]
            if module.partition(".")[0] in FEWEST:
                found[" ".join([module, *arguments])] = (module, arguments)
    return list(found.values())


def test_commands_are_found():
    modules = [module.partition(".")[0] for module, _ in printed()]
    for name, fewest in FEWEST.items():
        assert modules.count(name) >= fewest, (name, modules)


@pytest.mark.parametrize("module, arguments", printed(), ids=lambda part: str(part)[-40:])
def test_flags_of_printed_commands_exist(module, arguments):
    if module == "arlsort":
        if arguments and "--help" not in arguments:
            parser().parse_args(arguments)
        return
    script = importlib.import_module(module)
    assert hasattr(script, "main")
    rest = copy.deepcopy(script.FLAGS)([module, *arguments])
    assert rest[1:] == []
