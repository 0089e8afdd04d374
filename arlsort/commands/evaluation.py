# SPDX-License-Identifier: Apache-2.0
"""`arlsort evaluate`: how near a learned sort is to what it predicts."""

import argparse
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from arlsort import accuracy, checks, weight_files
from arlsort.amortized import checkpoint as amortized_checkpoint
from arlsort.amortized.orders import accuracy as order_accuracy
from arlsort.commands import Add, output
from arlsort.commands.limits import check_within
from arlsort.operators.amortized import AmortizedSort
from arlsort.operators.learned import LearnedSort
from arlsort.reasoner import checkpoint, evaluation
from arlsort.reasoner.config import NOISES

Parts = Iterator[tuple[dict[str, Any], Callable[[], None]]]
"""What is measured one after the other: for JSON, and what prints it."""


def add(command: Add) -> None:
    """Adds the command."""
    one = command("evaluate", evaluate, "Measure how near a learned sort is to what it predicts.")
    one.add_argument("--checkpoint", type=Path, help="A .safetensors file.")
    one.add_argument(
        "--algorithm", choices=tuple(checkpoint.SHIPPED), help="Instead: a shipped executed sort."
    )
    one.add_argument("--noise", choices=NOISES, help="Noise of the shipped sort.")
    one.add_argument("--lengths", type=int, nargs="+", help="(default: 5, 16, 32 and the longest)")
    one.add_argument(
        "--lists", default=accuracy.LISTS, type=int, help="How many of each kind and length."
    )
    one.add_argument("--json", action="store_true", help=output.JSON_HELP)


def some_lengths(lengths: Sequence[int]) -> list[int]:
    """The longest of some lengths, and below it a few."""
    return sorted({n for n in (5, 16, 32) if n < max(lengths)} | {max(lengths)})


def evaluate(arguments: argparse.Namespace) -> None:
    """Prints how far a learned sort is from the mean permutation, by kind of list and length."""
    check_within("lists", arguments.lists, 1)
    lengths = arguments.lengths or ()
    for length in lengths:
        check_within("lengths", length, 2)
        if lengths.count(length) > 1:
            raise ValueError(checks.error_message("--lengths", f"{length} twice", "each once"))
    path = arguments.checkpoint
    if path is not None and (arguments.algorithm or arguments.noise):
        raise ValueError("--checkpoint: leave out --algorithm and --noise; the file has them")
    amortized = arguments.algorithm is None
    if path is not None:
        if path.suffix != weight_files.SUFFIX:
            allowed = f"a file that ends in {weight_files.SUFFIX}"
            raise ValueError(checks.error_message("--checkpoint", path, allowed))
        if not path.exists():
            raise ValueError(f"--checkpoint: {path}: no such file")
        card = weight_files.read_card(path)
        kind = card.get("kind") if isinstance(card, dict) else None
        amortized = kind in [known.name for known in amortized_checkpoint.KINDS]
    report: dict[str, Any] = {}
    for part, show in (_amortized if amortized else _executed)(arguments):
        report |= part
        if not arguments.json:
            show()
    if arguments.json:
        print(output.json_text(report))


def _amortized(arguments: argparse.Namespace) -> Parts:
    path, lists = arguments.checkpoint, arguments.lists
    of_path = amortized_checkpoint.load(path) if path else None
    found = of_path or amortized_checkpoint.shipped(arguments.noise)
    noise, lengths = found.noise, arguments.lengths or some_lengths(found.training.lengths)
    kind = "orders" if found.of_orders else "amortized"
    name = "network of orders" if found.of_orders else "amortised sort"
    about = {"network": kind, "noise": noise, "lists": lists}
    yield about, lambda: print(f"{name}, noise {noise}")
    if found.of_orders:
        rows = order_accuracy.table(found.params, found.config, lengths, count=lists)
        yield {"distances": rows}, lambda: output.print_orders(rows)
        return
    operator = AmortizedSort(noise=noise, checkpoint=path and str(path), allow_extrapolation=True)
    yield from _distances(operator, noise, lengths, lists)


def _executed(arguments: argparse.Namespace) -> Parts:
    path, lists = arguments.checkpoint, arguments.lists
    of_path = checkpoint.load(path) if path else None
    found = of_path or checkpoint.shipped(arguments.algorithm, arguments.noise)
    lengths = arguments.lengths or some_lengths(found.training.lengths)
    spread, algorithm = found.sharpest_spread, found.config.algorithm
    about = {"network": "executed", "algorithm": algorithm, "noise": found.noise, "lists": lists}
    yield (
        about | {"range": spread},
        lambda: print(f"{algorithm}, noise {found.noise}, range of scores {spread:g}"),
    )
    scores: dict[str, dict[str, float]] = {"exact_order": {}, "micro_f1": {}}
    for n in lengths:
        key = jax.random.key(0)
        at_n = evaluation.score(found.params, key, found.config, n, spread, found.noise, lists)
        for name, values in scores.items():
            values[str(n)] = float(at_n[name])
    yield {"scores": scores}, lambda: output.print_scores(scores)
    if found.training.hints != "perturbed":
        told = "It was not trained to predict the mean permutation: no distances from it."
        yield {}, lambda: print(told)
        return
    assert found.noise is not None
    operator = LearnedSort(
        algorithm,
        noise=found.noise,
        checkpoint=path and str(path),
        allow_extrapolation=True,
    )
    yield from _distances(operator, found.noise, lengths, lists)


def _distances(operator: Any, noise: str, lengths: Sequence[int], lists: int) -> Parts:
    rows = accuracy.table(operator, lengths, noise=noise, count=lists)
    yield {"distances": rows}, lambda: output.print_table(rows)
    exact: dict[str, float] = {}

    def show(n: int) -> None:
        print(f"exact order at temperature 0, n = {n}: {100 * exact[str(n)]:.1f} %")

    for n in lengths:
        exact[str(n)] = accuracy.exact_order(operator, n, count=10 * lists)
        yield {"exact_order": exact}, functools.partial(show, n)
