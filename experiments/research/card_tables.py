# SPDX-License-Identifier: Apache-2.0
"""Tables from the cards of the shipped weights."""

from arlsort.amortized import checkpoint as amortized
from arlsort.reasoner import checkpoint as reasoner
from experiments.common.reports import markdown


def amortized_accuracy(noise: str) -> str:
    """Renders how near a shipped amortised sort is to the mean permutation, from its card."""
    measured = amortized.shipped(noise).card["measured"]
    lengths = sorted({row["n"] for row in measured})
    rows = []
    for kind in dict.fromkeys(row["kind"] for row in measured):
        cells = []
        for n in lengths:
            at = [row for row in measured if (row["kind"], row["n"]) == (kind, n)]
            distance, value, worst = (
                max(row[name] for row in at) for name in ("kl", "values", "worst_value")
            )
            cells.append(f"{distance:.4f}, {value:.3f} ({worst:.3f})")
        found = (row["gradient"] for row in measured if row["kind"] == kind)
        cosine = min(value for value in found if value is not None)
        rows.append([kind, *cells, f"{cosine:.3f}"])
    return markdown(["lists", *(f"n = {n}" for n in lengths), "least cosine"], rows)


def orders_accuracy() -> str:
    """Renders how near the shipped network of orders is to the exact likelihood, from its card."""
    rows = []
    for row in amortized.shipped(of_orders=True).card["measured"]:
        cosines = f"{row['cosine']:.3f} / {row['least_cosine']:.3f}"
        apart, sign = f"{row['apart']:.4f} / {row['error']:.4f}", f"{100 * row['same_sign']:.1f} %"
        orders = "likely" if row["wide"] == 1 else "unlikely"
        rows.append([str(row["n"]), f"{row['spread']:g}", orders, apart, cosines, sign])
    titles = ["n", "range", "orders", "error, nats", "cosine", "same sign"]
    return markdown(titles, rows)


def executed_accuracy() -> str:
    """Renders how near the shipped executed sorts are to the mean permutation, from their cards."""
    rows, temperatures = [], ""
    for algorithm, noises in reasoner.SHIPPED.items():
        for noise in noises:
            card = reasoner.shipped(algorithm, noise).card
            for kind, found in card["scores"].get("divergence", {}).items():
                cells = " / ".join(f"{value:.3f}" for value in found.values())
                temperatures = " / ".join(found)
                length, kind = str(card["validated_length"]), kind.replace("_", " ")
                rows.append([algorithm.replace("_", " "), noise, kind, length, cells])
    return markdown(["sort", "noise", "lists", "n", f"temperature {temperatures}"], rows)
