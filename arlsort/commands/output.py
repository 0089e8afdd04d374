# SPDX-License-Identifier: Apache-2.0
"""How commands print: JSON that every parser reads, and tables for people."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

JSON_HELP = "Print one JSON document; what JSON has no number for (NaN, inf) is null."


def json_text(value: Any) -> str:
    """Writes a value as strict JSON: arrays become lists, and what is not finite becomes null."""
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value] if value.ndim else _plain(value[()])
    if isinstance(value, np.floating):  # the shortest decimals that are this number in its dtype
        value = float(str(value))
    elif isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_scores(scores: Any) -> None:
    """Prints exact order and micro-F1 by length."""
    for name in ("exact_order", "micro_f1"):
        cells = (f"n={n}: {100 * value:.1f}" for n, value in scores[name].items())
        print(f"{name:12} {'  '.join(cells)}")


def print_orders(rows: Sequence[dict[str, Any]]) -> None:
    """Prints how near likelihoods are to the exact ones."""
    print("distance from the exact likelihood, nats an element, mean and mean size; cosine of the")
    print("gradients, median and tenth percentile; derivatives of the right sign, %")
    names = "".join(f" {name:>8}" for name in ("apart", "error", "cosine", "least", "sign"))
    print(f"{'n':>4} {'range':>6} {'noise':>6}{names}")
    for row in rows:
        numbers = [row[name] for name in ("apart", "error", "cosine", "least_cosine")]
        cells = " ".join(f"{value:8.4f}" for value in (*numbers, 100 * row["same_sign"]))
        print(f"{row['n']:4d} {row['spread']:6g} {row['wide']:6g} {cells}")


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Prints how near an operator is to the mean permutation."""
    print("distance from the mean permutation: nats a position (KL); largest error of a value as")
    print("a share of the range, mean and worst list; cosine of the gradients")
    names = "".join(f" {name:>7}" for name in ("KL", "values", "worst", "cosine"))
    print(f"{'lists':15} {'n':>4} {'temperature':>11}{names}")
    for row in rows:
        numbers = (row[name] for name in ("kl", "values", "worst_value", "gradient"))
        cells = " ".join("      -" if value is None else f"{value:7.4f}" for value in numbers)
        print(f"{row['kind']:15} {row['n']:4d} {row['temperature']:11g} {cells}")
