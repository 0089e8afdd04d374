# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of docs/temperature.md.

python docs/figures.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import arlsort

IMAGES = Path(__file__).resolve().parent / "images"
SCORES = (3.0, 1.0, 2.0, 0.5, 2.4)
OPERATORS = ("learned", "odd_even", "neuralsort")


def main(folder: Path = IMAGES) -> None:
    """Writes them as PNG."""
    folder.mkdir(exist_ok=True)
    for name in OPERATORS:
        arlsort.plot.temperatures(SCORES, name).savefig(folder / f"temperatures_{name}.png")
    figure, axes = plt.subplots(1, len(OPERATORS), figsize=(12, 3.5), layout="constrained")
    for ax, name in zip(axes, OPERATORS, strict=True):
        arlsort.plot.values(SCORES, name, ax=ax).set_title(name)
        ax.label_outer()
    figure.savefig(folder / "values.png")
    arlsort.plot.network(SCORES).savefig(folder / "network.png")


if __name__ == "__main__":
    main()
