# SPDX-License-Identifier: Apache-2.0
"""Every command that is printed names a script and flags that the script has."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from tests.experiments.flags import kept

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "experiments" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
SOURCES = sorted((ROOT / "experiments").rglob("*.py"))
COMMAND = re.compile(
    r"python (?:-m (?P<module>experiments[\w.]+)|(?P<file>experiments/\w+)\.py)"
    r"(?P<flags>(?:[^`\n\\]|\\\n)*)"
)
SCRIPTS = [path for path in SOURCES if "\nSCRIPT = Script(" in path.read_text(encoding="utf-8")]
# What an earlier version offered; the page says so.
NOT_OFFERED = ("readout=",)


def _commands():
    texts = {path: path.read_text(encoding="utf-8") for path in PAGES}
    texts |= {path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in SOURCES}
    for path, text in texts.items():
        for found in COMMAND.finditer(text):
            module = found["module"] or found["file"].replace("/", ".")
            flags = shlex.split(found["flags"].replace("\\\n", " ").split("|")[0], comments=True)
            yield pytest.param(module, flags, id=f"{path.stem}-{module.split('.')[-1]}")


@pytest.mark.parametrize(("module", "flags"), list(_commands()))
def test_a_printed_command_is_understood(module, flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some make the folder they write to
    script = importlib.import_module(module)
    with kept(script.FLAGS):
        script.SCRIPT.parse([module, *flags])
        if hasattr(script, "settings"):
            script.settings()
    named = [flag.partition("=")[2] for flag in flags if re.match("--(operators|methods)=", flag)]
    if named and not any(text in named[0] for text in ("checkpoint=", *NOT_OFFERED)):
        from arlsort import operators
        from experiments.four_digits.config import resolve

        if not set(named[0].split(",")) <= set(operators.names()):
            resolve({"operators": named, "n": 5})


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_is_listed_with_its_command(path):
    listed = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    part = path.relative_to(ROOT / "experiments")
    module = ".".join(("experiments", *part.with_suffix("").parts))
    at_top = len(part.parts) == 1
    command = f"python experiments/{part}" if at_top else f"python -m {module}"
    assert len(re.findall(rf"^\| `{part}` \| .*`{re.escape(command)}( |`)", listed, re.M)) == 1
