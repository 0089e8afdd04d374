# SPDX-License-Identifier: Apache-2.0
"""Writes the table of methods into README.md, from the registry.

python docs/method_table.py
"""

from pathlib import Path

from arlsort.operators import registry

BEGIN, END = "<!-- methods:begin -->", "<!-- methods:end -->"
README = Path(__file__).resolve().parent.parent / "README.md"


def render() -> str:
    """Renders the registry as a Markdown table."""
    lines = ["| name | what it is | from |", "| --- | --- | --- |"]
    lines += [
        f"| `{name}` | {row.summary} | {row.paper} |" for name, row in registry.REGISTRY.items()
    ]
    return "\n".join(lines)


def replace(text: str) -> str:
    """Puts the table between the markers in a text."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{render()}\n{END}{tail}"


if __name__ == "__main__":
    README.write_text(replace(README.read_text(encoding="utf-8")), encoding="utf-8")
