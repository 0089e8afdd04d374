# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of methods into README.md and docs/operators.md, from the registry.

python docs/method_table.py
"""

import dataclasses
from pathlib import Path

from arlsort.operators import base, registry

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
OPERATORS = ROOT / "docs" / "operators.md"


def methods() -> str:
    """Renders what each method is."""
    lines = ["| name | what it is | from |", "| --- | --- | --- |"]
    lines += [
        f"| `{name}` | {row.summary} | {row.paper} |" for name, row in registry.REGISTRY.items()
    ]
    return "\n".join(lines)


def costs() -> str:
    """Renders what each method costs."""
    lines = [
        "| name | time of the values | of P | memory of the values | of P |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in registry.REGISTRY.items():
        cells = (*_pair(row, "time"), *_pair(row, "memory"))
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def properties() -> str:
    """Renders what each method promises."""
    lines = [
        "| name | has P | doubly stochastic | equivariant | monotone | error of the values |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in registry.REGISTRY.items():
        operator, facts = row.build(), row.facts
        has = operator.has_permutation
        cells = (
            _word(has),
            _word(operator.doubly_stochastic) if has else "-",
            _word(operator.equivariant),
            _word(facts.monotone if facts else None),
            (facts.error if facts else "") or "no bound known",
        )
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def choices() -> str:
    """Renders what each method's temperature is, and when to take the method."""
    lines = [
        "| name | default temperature | what one temperature means | choose it when |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in registry.REGISTRY.items():
        facts = row.facts
        cells = (
            _temperature(row.build()),
            *((facts.temperature, facts.choose_when) if facts else ("-", "-")),
        )
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _pair(row: registry.Entry, of: str) -> tuple[str, str]:
    stated: tuple[str, ...] = getattr(row.facts, of) if row.facts else ()
    values, permutation, *_ = (*stated, "-", "-")
    return values, permutation


def _word(known: bool | None) -> str:
    return {True: "yes", False: "no", None: "not known"}[known]


def _temperature(operator: base.Operator) -> str:
    fields = {field.name: field.default for field in dataclasses.fields(operator)}
    return str(fields.get("temperature", "-"))


TABLES = {
    README: {"methods": methods},
    OPERATORS: {"costs": costs, "properties": properties, "choices": choices},
}


def updated(path: Path) -> str:
    """The text of a document with its tables as the registry has them."""
    text = path.read_text(encoding="utf-8")
    for section, table in TABLES[path].items():
        begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
        head, rest = text.split(begin)
        _, tail = rest.split(end)
        text = f"{head}{begin}\n{table()}\n{end}{tail}"
    return text


if __name__ == "__main__":
    for path in TABLES:
        path.write_text(updated(path), encoding="utf-8")
