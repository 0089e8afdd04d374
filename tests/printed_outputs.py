# SPDX-License-Identifier: Apache-2.0
"""Runs the programs of pages and holds them to the outputs that are printed beside their lines."""

import ast
import io
import re
import tokenize
from typing import Any

import numpy as np

# `f(x)  # [1.00, 2.00]: what it is`, or `y = f(x)  # 2.08, as above`
_PRINTED = re.compile(r"(\[[-+\d\s.,e\[\]]*\]|-?\d[\d.]*)(?=$|[\s:,;])")


def _printed(lines: list[str], comments: dict[int, str], last: int) -> str | None:
    """What is printed for the statement that ends in a line: beside it or in the lines below."""
    below = []
    while last + len(below) < len(lines) and lines[last + len(below)].startswith("#"):
        below.append(lines[last + len(below)].removeprefix("#").strip())
    for text in (comments.get(last, "").removeprefix("#").strip(), " ".join(below)):
        if found := _PRINTED.match(text):
            return found[1]
    return None


def run(program: str, names: dict[str, Any]) -> int:
    """Executes a program; returns how many of its lines print what they say.

    A line is an expression or an assignment to one name whose comment begins with a number or a
    list of numbers. These are compared to the last digit that is printed.

    Raises:
      AssertionError: If a line gives something else.
    """
    tokens = tokenize.generate_tokens(io.StringIO(program).readline)
    comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    lines, compared = program.splitlines(), 0
    for statement in ast.parse(program).body:
        if isinstance(statement, ast.Expr):
            value = eval(compile(ast.Expression(statement.value), "page", "eval"), names)
        else:
            exec(compile(ast.Module([statement], []), "page", "exec"), names)
            targets = getattr(statement, "targets", [])
            value = names[targets[0].id] if targets and hasattr(targets[0], "id") else None
        printed = _printed(lines, comments, statement.end_lineno or 0)
        if printed and value is not None:
            decimals = max((len(d) for d in re.findall(r"\.(\d+)", printed)), default=0)
            expected = np.array(ast.literal_eval(printed))
            assert np.shape(value) == expected.shape, ast.unparse(statement)
            tolerance = 0.6 * 10.0**-decimals if decimals else 0.01
            np.testing.assert_allclose(
                np.asarray(value, float), expected, atol=tolerance, err_msg=ast.unparse(statement)
            )
            compared += 1
    return compared
