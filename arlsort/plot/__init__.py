# SPDX-License-Identifier: Apache-2.0
"""Pictures of soft sorting, with matplotlib: `pip install "arlsort[plot]"`.

Matplotlib is imported when the first picture is drawn, not before. Functions that draw into one
panel take `ax` and return it; the others return a figure, or an animation, that can be saved.

Example:
  >>> import arlsort
  >>> figure = arlsort.plot.temperatures([3.0, 1.0, 2.0], arlsort.NeuralSort())
  >>> figure.savefig("temperatures.png")  # doctest: +SKIP
"""

from arlsort.plot.curves import curves, mean_and_range
from arlsort.plot.neighbours import neighbours
from arlsort.plot.programs import program
from arlsort.plot.runs import execution, network
from arlsort.plot.series import series
from arlsort.plot.weights import heat_map, temperatures, values

__all__ = [
    "curves",
    "execution",
    "heat_map",
    "mean_and_range",
    "neighbours",
    "network",
    "program",
    "series",
    "temperatures",
    "values",
]
