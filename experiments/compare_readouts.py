# SPDX-License-Identifier: Apache-2.0
"""Compares the readouts of the learned sort on exact mean pointers, without a network.

  python experiments/compare_readouts.py

For random lists the mean soft pointers and the mean permutation under unit Gaussian noise are
estimated from many perturbed copies; each readout turns the pointers into a permutation, and its
Kullback-Leibler distance from the mean permutation is printed, in nats for each position, with the
share of neighbouring values that come out in the wrong order. Writes `docs/readouts.json` and the
table in `docs/learned_sort.md`.
"""

import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax
import jax.numpy as jnp

from arlsort.reasoner.hints import output_pointers
from arlsort.reasoner.readout import READOUTS, permutation
from experiments import storage

LENGTHS = (5, 9, 15)
SPREADS = (1.0, 4.0, 10.0, 40.0, 200.0)
LISTS = 40
COPIES = 10_000
DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- readouts:begin -->", "<!-- readouts:end -->"
_TINY = 1e-9


def mean_order(scores: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean pointers `[n, n]`, first mask `[n]` and permutation `[n, n]` of perturbed scores."""
    n = scores.shape[0]
    orders = jnp.argsort(scores + jax.random.normal(key, (COPIES, n)), axis=-1)

    def add(total: Any, order: jax.Array) -> tuple[Any, None]:
        new = (*output_pointers(order), jax.nn.one_hot(order, n))
        return jax.tree.map(jnp.add, total, new), None

    start = (jnp.zeros((n, n)), jnp.zeros(n), jnp.zeros((n, n)))
    return jax.tree.map(lambda total: total / COPIES, jax.lax.scan(add, start, orders)[0])


def compare(n: int, spread: float) -> dict[str, Any]:
    """Distance and disorder of each readout over random lists."""
    row: dict[str, Any] = {"n": n, "spread": spread}
    k_scores, k_noise = jax.random.split(jax.random.key(n))
    scores = spread * jax.random.uniform(k_scores, (LISTS, n))
    pred, first, truth = jax.lax.map(
        lambda a: mean_order(*a), (scores, jax.random.split(k_noise, LISTS))
    )
    for readout in READOUTS:
        weights = permutation(jnp.log(pred + _TINY), jnp.log(first + _TINY), readout=readout)
        distance = jnp.sum(truth * (jnp.log(truth + _TINY) - jnp.log(weights + _TINY)), (-1, -2))
        values = jnp.einsum("bij,bj->bi", weights, scores)
        disorder = jnp.diff(values, axis=-1) < -1e-3 * spread
        row[readout] = {
            "divergence": float(jnp.mean(distance) / n),
            "disorder": float(jnp.mean(disorder)),
        }
    return row


def render(rows: list[dict[str, Any]]) -> str:
    """Renders the rows as a Markdown table."""
    titles = [f"{name}: KL | disorder" for name in READOUTS]
    lines = [f"| n | spread | {' | '.join(titles)} |", "| --- " * (2 + 2 * len(READOUTS)) + "|"]
    for row in rows:
        cells = (f"{row[r]['divergence']:.3f} | {row[r]['disorder']:.2f}" for r in READOUTS)
        lines.append(f"| {row['n']} | {row['spread']:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table and writes the files."""
    rows = [compare(n, spread) for n in LENGTHS for spread in SPREADS]
    print(render(rows))
    storage.write_json(DOCS / "readouts.json", {"lists": LISTS, "copies": COPIES, "rows": rows})
    page = DOCS / "learned_sort.md"
    head, rest = page.read_text(encoding="utf-8").split(BEGIN)
    tail = rest.split(END)[1]
    storage.write_text(page, f"{head}{BEGIN}\n{render(rows)}\n{END}{tail}")


if __name__ == "__main__":
    main()
