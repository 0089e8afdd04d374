# SPDX-License-Identifier: Apache-2.0
"""How does the shipped amortised sort do on lists longer than those that it was trained on?

Its distance from the exact mean permutation, over the length of the lists; beyond the longest
that it was trained on, with `allow_extrapolation`.

  python -m experiments.research.lengths
  python -m experiments.research.lengths --noises=cauchy --lengths=32,64 --lists=2 \
    --out=runs/lengths_short.json

Results are written after each length, and drawn at the end beside --out.
"""

import sys
from pathlib import Path
from typing import Any

from absl import flags
from matplotlib.figure import Figure

from arlsort import accuracy
from arlsort.amortized import checkpoint
from arlsort.amortized.config import NOISES
from arlsort.operators.amortized import AmortizedSort
from experiments.common import figures
from experiments.common.command_line import Script, definers
from experiments.common.reports import markdown
from experiments.research import shipped_sorts

KINDS = ("uniform", "zeros and ones")
TEMPERATURES = (0.01, 0.1, 1.0)

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("noises", list(NOISES), "Laws of the noise.")
define.list("lengths", ["4", "8", "16", "32", "64", "96", "128", "192", "256"], "Of the lists.")
define.integer("lists", 4, "Lists of each kind, at each temperature.")
define.string("out", "runs/lengths.json", "Where to write.")


def settings() -> dict[str, Any]:
    """Reads and checks the flags; raises FlagError if one is not allowed."""
    shipped_sorts.check(FLAGS)
    return {"lists": FLAGS.lists}


def examine(noise: str, n: int, lists: int) -> dict[str, Any]:
    """Measures at one length."""
    operator = AmortizedSort(noise=noise, allow_extrapolation=True)
    rows = accuracy.table(
        operator, [n], noise=noise, kinds=KINDS, temperatures=TEMPERATURES, count=lists
    )
    return {"measured": [{k: v for k, v in row.items() if k != "gradient"} for row in rows]}


def table(report: dict[str, Any]) -> str:
    """Renders the distance, and the mean of the largest error of a value, over the lengths."""
    rows = []
    for record in report["records"]:
        for kind in KINDS:
            own = [row for row in record["measured"] if row["kind"] == kind]
            distances = " / ".join(f"{row['kl']:.3f}" for row in own)
            value = max(row["values"] for row in own)
            rows.append([record["noise"], kind, str(record["n"]), distances, f"{value:.2f}"])
    temperatures = " / ".join(f"{t:g}" for t in TEMPERATURES)
    return markdown(["noise", "lists", "n", f"distance at {temperatures}, nats", "value"], rows)


def draw(report: dict[str, Any], path: Path) -> Path:
    """Draws the distance over the length, a panel for each law of the noise."""
    noises = list(dict.fromkeys(record["noise"] for record in report["records"]))
    figure = Figure(figsize=(5 * len(noises), 4), layout="constrained")
    axes = figure.subplots(1, len(noises), squeeze=False, sharey=True)[0]
    for ax, noise in zip(axes, noises, strict=True):
        own = [record for record in report["records"] if record["noise"] == noise]
        for kind, line in zip(KINDS, ("-", "--"), strict=True):
            for colour, temperature in enumerate(TEMPERATURES):
                values = [
                    row["kl"]
                    for record in own
                    for row in record["measured"]
                    if row["kind"] == kind and row["temperature"] == temperature
                ]
                label = f"{kind}, temperature {temperature:g}"
                lengths = [record["n"] for record in own]
                ax.loglog(lengths, values, line, color=f"C{colour}", marker=".", label=label)
        trained = max(checkpoint.shipped(noise).training.lengths)
        longest = max(record["n"] for record in own)
        if longest > trained:
            ax.axvspan(trained, longest, color="grey", alpha=0.15)
        ax.set(title=f"{noise} noise", xlabel="n; grey: longer than in training")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("distance from the mean permutation, nats")
    axes[0].legend(fontsize=8)
    return figures.save(figure, path)


def main() -> None:
    """Measures, writes after each length, and draws."""
    report = shipped_sorts.measure("lengths", FLAGS, settings(), examine)
    figure = draw(report, Path(FLAGS.out).with_suffix(".png"))
    print(f"{table(report)}\n\n{FLAGS.out}\n{figure}")


SCRIPT = Script("lengths", __doc__, FLAGS, main, (OSError, ValueError))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
