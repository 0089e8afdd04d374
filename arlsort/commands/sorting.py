# SPDX-License-Identifier: Apache-2.0
"""`arlsort sort`: sorts numbers and prints soft values, soft ranks and the permutation."""

import argparse
import dataclasses
import re
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import arlsort
from arlsort import checks
from arlsort.commands import Add, numbers, output
from arlsort.commands.limits import check_seed
from arlsort.numerics import finite
from arlsort.operators import parse, registry
from arlsort.operators.base import Operator
from arlsort.operators.checkpointed import TooLong

_NEGATIVE = re.compile(r"^-(\.?\d|inf|nan)", re.IGNORECASE)

_LARGEST = finite.largest(jnp.dtype(jnp.float32))

MOST_ROWS = 64
"""The permutation of longer lists is not printed for people."""

WITHOUT_LIMIT = "lapsum"
"""What to take for lists that are longer than a learned sort allows."""

Sorted = dict[str, np.ndarray | None]
"""`values`, `ranks` and, None where there is none, `permutation`."""


def add(command: Add) -> None:
    """Adds the command."""
    one = command("sort", sort, "Sort numbers: soft values, soft ranks, and the permutation.")
    one._negative_number_matcher = _NEGATIVE  # argparse's own misses -1e-3 and -1,-2
    told = (
        "What to sort, in float32, between spaces or commas; - reads standard input. Soft "
        f"operators clip numbers, infinities too, to {_LARGEST:.4g} in size."
    )
    one.add_argument("numbers", nargs="*", help=told)
    told = "Read numbers, between white space or commas, from a file; - is standard input."
    one.add_argument("--file", help=told)
    told = "Sort each line of the input by itself. Blank lines are skipped."
    one.add_argument("--lines", action="store_true", help=told)
    one.add_argument(
        "--operator",
        default=registry.DEFAULT,
        help="A name of `operators`, with hyperparameters: odd_even:distribution=logistic. "
        "(default: %(default)s)",
    )
    one.add_argument("--temperature", type=float, help="Instead of the operator's default.")
    one.add_argument("--descending", action="store_true", help="The largest first.")
    one.add_argument("--seed", type=int, help="For an operator that draws random numbers.")
    told = "Leave out the permutation, n² weights."
    one.add_argument("--no-permutation", action="store_true", help=told)
    one.add_argument("--json", action="store_true", help=output.JSON_HELP)


def sort(arguments: argparse.Namespace) -> None:
    """Prints sorted values, ranks and, if there is one, the permutation."""
    operator = _operator(arguments.operator, arguments.temperature, arguments.seed)
    if arguments.no_permutation and not operator.has_permutation:
        allowed = f"an operator that has one; {arguments.operator} has values only"
        raise ValueError(checks.error_message("--no-permutation", "it", allowed))
    lists = numbers.choose(arguments.numbers, arguments.file, lines=arguments.lines)
    try:
        most = MOST_ROWS if not arguments.json else None
        most = 0 if arguments.no_permutation else most
        found = _sorted([each.numbers for each in lists], operator, arguments.descending, most)
    except TooLong as error:
        raise ValueError(_too_long(error, arguments.operator)) from None
    _warn(lists, operator, arguments.operator)
    if not arguments.json:
        print("\n\n".join(map(_text, found)))
        if operator.has_permutation and not arguments.no_permutation:
            _tell_of_long_lists(found)
        return
    about = {
        "operator": arguments.operator,
        "temperature": getattr(operator, "temperature", None),
        "descending": arguments.descending,
    }
    if arguments.lines:
        each = [{"line": a.line, **b} for a, b in zip(lists, found, strict=True)]
        print(output.json_text(about | {"lists": each}))
    else:
        print(output.json_text(about | found[0]))


def _operator(spec: str, temperature: float | None, seed: int | None) -> Operator:
    try:
        operator = parse(spec)
    except ValueError as error:
        told = re.sub("^operator:? ", "", str(error))
        raise ValueError(f"--operator: {told}") from None
    if seed is not None:
        check_seed(seed)
    if temperature is not None and re.search(r"[:,]\s*temperature\s*=", spec):
        received = f"{temperature:g} and --operator {spec}"
        raise ValueError(checks.error_message("--temperature", received, "one of them"))
    stated: dict[str, Any] = {
        "temperature": temperature,
        "key": None if seed is None else jax.random.key(seed),
    }
    for name, value in stated.items():
        if value is None:
            continue
        flag = {"temperature": "--temperature", "key": "--seed"}[name]
        able = [each for each, row in registry.REGISTRY.items() if name in _fields(row.build())]
        if name not in _fields(operator):
            raise ValueError(f"{flag}: {spec} has none; those that have: {', '.join(able)}")
        try:
            operator = dataclasses.replace(operator, **{name: value})
        except ValueError as error:
            raise ValueError(f"--{error}") from None
    if operator.needs_key and getattr(operator, "key", None) is None:
        raise ValueError(f"--operator: {spec} draws random numbers; add --seed 0, or another")
    return operator


def _warn(lists: Sequence[numbers.NumberList], operator: Operator, spec: str) -> None:
    """Warns on standard error if the numbers were clipped."""
    if operator.hard or isinstance(operator, arlsort.Hard):
        return
    known = (each.numbers for each in lists if not np.isnan(each.numbers).any())
    beyond = [value for each in known for value in each if abs(value) > _LARGEST]
    if beyond:
        print(
            f"warning: {spec} clips numbers to {_LARGEST:.4g} in size, such as {beyond[0]:g}; "
            "--operator hard does not",
            file=sys.stderr,
        )


def _too_long(error: TooLong, spec: str) -> str:
    """Words how to sort longer lists, with the flags for it."""
    longer = f"{spec}{',' if ':' in spec else ':'}allow_extrapolation=true"
    allowed = f"at most {error.limit} with --operator {spec}, whose weights are validated to that"
    return (
        f"{checks.error_message('numbers', f'lists of {error.length}', allowed)}; take --operator "
        f"{WITHOUT_LIMIT}, which has no limit, or try --operator {longer}"
    )


def _fields(operator: Operator) -> set[str]:
    return {field.name for field in dataclasses.fields(operator)}


def _sorted(
    lists: Sequence[list[float]], operator: Operator, descending: bool, most: int | None
) -> list[Sorted]:
    """Sorts lists, those of one length together; those longer than `most` get no permutation."""
    found: list[Sorted] = [{} for _ in lists]
    for length in dict.fromkeys(map(len, lists)):
        places = [place for place, each in enumerate(lists) if len(each) == length]
        x = jnp.array([lists[place] for place in places], jnp.float32)
        values = np.asarray(arlsort.sort(x, operator, descending=descending))
        ranks = np.asarray(arlsort.rank(x, operator, descending=descending))
        P = None
        if operator.has_permutation and (most is None or length <= most):
            P = np.asarray(arlsort.permutation(x, operator, descending=descending))
        for row, place in enumerate(places):
            weights = None if P is None else P[row]
            found[place] = {"values": values[row], "ranks": ranks[row], "permutation": weights}
    return found


def _text(found: Sorted) -> str:
    lines = [f"sorted      {_row(found['values'])}", f"ranks       {_row(found['ranks'])}"]
    if found["permutation"] is not None:
        for i, weights in enumerate(found["permutation"]):
            lines.append(("permutation " if i == 0 else " " * 12) + _row(weights))
    return "\n".join(lines)


def _tell_of_long_lists(found: Sequence[Sorted]) -> None:
    """Says on standard error which permutations were not printed."""
    longest = max(len(each["values"]) for each in found)  # type: ignore[arg-type]
    if longest > MOST_ROWS:
        print(
            f"permutation: {longest} x {longest} weights are not printed; --json prints them, "
            "--no-permutation hides this line",
            file=sys.stderr,
        )


def _row(values: Any) -> str:
    return " ".join(f"{value:11.6g}" for value in values)
