# SPDX-License-Identifier: Apache-2.0
"""Pictures of soft sorting, with matplotlib: `pip install "arlsort[plot]"`.

Matplotlib is imported when the first picture is drawn, not before. Functions that draw into one
panel take `ax` and return it; the others return a figure, or an animation, that can be saved.

Example:
  >>> import arlsort
  >>> figure = arlsort.plot.temperatures([3.0, 1.0, 2.0], arlsort.NeuralSort())
  >>> figure.savefig("temperatures.png")  # doctest: +SKIP
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from arlsort import checks, functional
from arlsort.networks import topology
from arlsort.operators import base, registry
from arlsort.operators.learned import LearnedSort
from arlsort.operators.sorting_network import SortingNetwork

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEMPERATURES = (0.01, 0.1, 0.3, 1.0)
METRICS = {"em": "lists in exact order", "ew": "numbers in their place", "loss": "loss"}


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError('arlsort.plot needs matplotlib: pip install "arlsort[plot]"') from None
    return plt


def _list(x: ArrayLike) -> jax.Array:
    """One list of scores; raises ValueError."""
    scores = jnp.asarray(x)
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    if scores.ndim != 1 or not len(scores):
        raise ValueError(
            checks.error_message("x", f"shape {scores.shape}", "one list of scores, [n]")
        )
    return scores


def _some(argument: str, values: Sequence[Any]) -> Sequence[Any]:
    """Refuses an empty sequence, with a ValueError."""
    if not len(values):
        raise ValueError(checks.error_message(argument, "none", "one or more"))
    return values


def _at(operator: str | base.Operator, temperature: float) -> base.Operator:
    """An operator at another temperature; raises ValueError if it has none."""
    method = registry.get(operator)
    if "temperature" not in {field.name for field in dataclasses.fields(method)}:
        received = f"{type(method).__name__}, which has no temperature"
        raise ValueError(checks.error_message("operator", received, "one that has"))
    return dataclasses.replace(method, temperature=temperature)  # type: ignore[call-arg]


def heat_map(
    P: ArrayLike,
    *,
    ax: "Axes | None" = None,
    columns: Sequence[Any] | None = None,
    title: str = "",
    colorbar: bool = False,
) -> "Axes":
    """Draws a soft permutation: row i is position i, column j the weight of input j there.

    Args:
      P: Weights `[n, n]`, from 0 (white) to 1 (dark).
      ax: Where to draw; a new figure without.
      columns: What the inputs are called, `[n]`; their indices without.
      title: Above it.
      colorbar: Whether to add the scale of the weights.

    Returns:
      The axes.

    Raises:
      ValueError: If `P` is not a square matrix, or `columns` has another length.
      ImportError: Without matplotlib.

    Example:
      >>> import arlsort, jax.numpy as jnp
      >>> P = arlsort.permutation(jnp.array([3.0, 1.0, 2.0]), "softsort")
      >>> heat_map(P, columns=[3, 1, 2]).get_xlabel()
      'input'
    """
    weights = np.asarray(P)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or not weights.size:
        raise ValueError(checks.error_message("P", f"shape {weights.shape}", "one matrix, [n, n]"))
    weights = weights.astype(np.float32)
    n = len(weights)
    names = [str(name) for name in (range(n) if columns is None else columns)]
    if len(names) != n:
        raise ValueError(checks.error_message("columns", f"{len(names)} names", f"{n}"))
    ax = ax or _pyplot().subplots(layout="constrained")[1]
    picture = ax.imshow(weights, vmin=0, vmax=1, cmap="Blues")
    ax.set(title=title, xlabel="input", ylabel="position")
    ax.set_xticks(range(n), names, rotation=90 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(range(n))
    if colorbar:
        ax.figure.colorbar(picture, ax=ax, label="weight", shrink=0.8)
    return ax


def temperatures(
    x: ArrayLike,
    operator: str | base.Operator = registry.DEFAULT,
    temperatures: Sequence[float] = TEMPERATURES,
) -> "Figure":
    """Draws the soft permutation of one list at several temperatures, side by side.

    Args:
      x: Scores `[n]`.
      operator: One with a permutation and a temperature.
      temperatures: What to set it to.

    Returns:
      The figure.

    Raises:
      ValueError: If an argument is not allowed.
      ImportError: Without matplotlib.

    Example:
      >>> len(temperatures([3.0, 1.0, 2.0], "softsort", (0.1, 1.0)).axes)
      3
    """
    scores, count = _list(x), len(_some("temperatures", temperatures))
    each = [functional.permutation(scores, _at(operator, t)) for t in temperatures]
    figure, axes = _pyplot().subplots(
        *(1, count), figsize=(2.6 * count + 0.8, 3), squeeze=False, layout="constrained"
    )
    for ax, t, weights in zip(axes[0], temperatures, each, strict=True):
        heat_map(
            weights,
            ax=ax,
            columns=[f"{score:.3g}" for score in np.asarray(scores)],
            title=f"temperature {t:g}",
        )
        ax.label_outer()
    figure.colorbar(axes[0, -1].images[0], ax=axes, label="weight", shrink=0.8)
    return figure


def values(
    x: ArrayLike,
    operator: str | base.Operator = registry.DEFAULT,
    temperatures: Sequence[float] = tuple(np.geomspace(0.01, 3.0, 25)),
    *,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws the soft values of one list over the temperature: sorted when cold, a mean when hot.

    Args:
      x: Scores `[n]`, whose exact order is at the left.
      operator: One with a temperature.
      temperatures: The points, above 0.
      ax: Where to draw; a new figure without.

    Returns:
      The axes.

    Raises:
      ValueError: If an argument is not allowed.
      ImportError: Without matplotlib.

    Example:
      >>> len(values([3.0, 1.0, 2.0], "softsort", (0.1, 1.0)).lines)
      3
    """
    scores, points = _list(x), _some("temperatures", temperatures)
    soft = np.stack([functional.sort(scores, _at(operator, float(t))) for t in points])
    ax = ax or _pyplot().subplots(layout="constrained")[1]
    for i, line in enumerate(soft.T):
        ax.semilogx(temperatures, line, label=f"position {i}")
    ax.set(xlabel="temperature", ylabel="soft value")
    ax.grid(alpha=0.3)
    return ax


def network(x: ArrayLike, operator: SortingNetwork | None = None) -> "Figure":
    """Draws one list on its way through a sorting network.

    Wires run from left to right, coloured by the score that is on them. A vertical line is a
    comparator; the number at it, and how dark it is, say how much of the two scores it exchanges:
    0 leaves them, 1 swaps them, and the arrow points to where the larger one belongs.

    Args:
      x: Scores `[n]`, n >= 2.
      operator: The network, not hard; by default `SortingNetwork()`.

    Returns:
      The figure.

    Raises:
      TypeError: If `operator` is no sorting network.
      ValueError: If `x` is not one list of two or more finite scores, or the operator is hard.
      ImportError: Without matplotlib.

    Example:
      >>> network([3.0, 1.0, 2.0]).axes[0].get_xlabel()
      'layer'
    """
    operator = SortingNetwork() if operator is None else operator
    if not isinstance(operator, SortingNetwork):
        raise TypeError(checks.error_message("operator", type(operator), "a SortingNetwork"))
    scores = _list(x)
    n = len(scores)
    if n < 2 or not jnp.isfinite(scores).all():
        received = f"{n} score" if n < 2 else "one that is not finite"
        raise ValueError(checks.error_message("x", received, "2 or more finite scores"))
    if operator.hard:
        raise ValueError(checks.error_message("operator", "hard=True", "one that swaps softly"))
    layers, states, swaps = _run(scores, operator)
    plt = _pyplot()
    columns = [_apart(pairs) for pairs in layers]
    width = [max(column, default=0) + 1.6 for column in columns]
    starts = np.concatenate([[0.0], np.cumsum(width)])
    figure, ax = plt.subplots(figsize=(1.5 + 0.75 * starts[-1], 0.9 + 0.55 * n))
    colour = plt.get_cmap("viridis")
    low, span = float(scores.min()), float(np.ptp(scores)) or 1.0
    centres = []
    for k, pairs in enumerate(layers):
        for wire in range(n):
            shade = colour((states[k][wire] - low) / span)
            ax.plot(starts[k : k + 2], [wire, wire], color=shade, linewidth=3, zorder=1)
        centres.append((starts[k] + starts[k + 1]) / 2)
        for (to_small, to_large), column, swap in zip(pairs, columns[k], swaps[k], strict=True):
            at = starts[k] + 0.8 + column
            ax.annotate(
                "",
                xy=(at, to_large),
                xytext=(at, to_small),
                arrowprops={"arrowstyle": "-|>", "color": str(0.85 * (1 - swap)), "lw": 1.5},
                zorder=2,
            )
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            middle = (to_small + to_large) / 2
            ax.text(at + 0.07, middle, f"{swap:.2f}", va="center", fontsize=8, bbox=box)
    for wire in range(n):
        ax.text(-0.15, wire, f"{states[0][wire]:.3g}", ha="right", va="center")
        ax.text(starts[-1] + 0.15, wire, f"{states[-1][wire]:.3g}", ha="left", va="center")
    ax.set(xlabel="layer", xlim=(-0.8, starts[-1] + 0.8), ylim=(n - 0.5, -0.5), yticks=[])
    ax.set_xticks(centres, [str(k) for k in range(len(layers))])
    ax.spines[:].set_visible(False)
    figure.tight_layout()
    return figure


def _run(
    scores: jax.Array, operator: SortingNetwork
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """The comparators of each layer, the scores before each and at the end, and what is swapped."""
    layers = topology.layers(operator.network, len(scores))
    swap, sign = operator._swap(scores), jnp.ones((), scores.dtype)
    states, swaps = [np.asarray(scores)], []
    for pairs in layers:
        a, b = scores[pairs[:, 0]], scores[pairs[:, 1]]
        swaps.append(1 - np.asarray(swap.keep(a, b, sign)))
        first, last = swap.scores(a, b, sign)
        scores = scores.at[pairs[:, 0]].set(first).at[pairs[:, 1]].set(last)
        states.append(np.asarray(scores))
    return layers, states, swaps


def _apart(pairs: np.ndarray) -> list[int]:
    """A column for each comparator, so that none is drawn across another."""
    ends: list[list[tuple[int, int]]] = []
    found = []
    for low, high in np.sort(pairs, axis=1).tolist():
        free = (k for k, taken in enumerate(ends) if all(low > h or high < l_ for l_, h in taken))
        column = next(free, len(ends))
        if column == len(ends):
            ends.append([])
        ends[column].append((low, high))
        found.append(column)
    return found


def execution(
    x: ArrayLike, operator: LearnedSort | None = None, *, interval: int = 700
) -> "FuncAnimation":
    """Animates the learned sort as it executes its algorithm: the soft pointers of every step.

    In the matrix, row j says which element the network holds to be before element j so far: its own
    column that it is the first. Below are the marks of the algorithm, such as insertion sort's `i`,
    the element that was put in, and `j`. The last frame has the output pointers, where the first
    element points to the last one, so that the order is a cycle.

    Args:
      x: Scores `[n]`, n >= 2.
      operator: By default `LearnedSort()`.
      interval: Milliseconds from frame to frame.

    Returns:
      An animation: `.to_jshtml()` for a notebook, `.save("sort.gif", writer="pillow")` for a file.

    Raises:
      TypeError: If `operator` is no `LearnedSort`.
      ValueError: If `x` is not one list of a length that the operator takes.
      ImportError: Without matplotlib.

    Example:
      >>> animation = execution([3.0, 1.0, 2.0])
      >>> animation.save("sort.gif", writer="pillow")  # doctest: +SKIP
    """
    operator = LearnedSort() if operator is None else operator
    if not isinstance(operator, LearnedSort):
        raise TypeError(checks.error_message("operator", type(operator), "a LearnedSort"))
    scores = _list(x)
    said = operator.log_trace(scores)
    hints = {name: np.exp(np.asarray(hint)) for name, hint in said.log_hints.items()}
    marks = {name: hint for name, hint in hints.items() if hint.shape[1:] == scores.shape}
    steps = [*hints["pred_h"], np.exp(np.asarray(said.log_predecessor))]
    plt = _pyplot()
    from matplotlib.animation import FuncAnimation

    names, n = [f"{score:.3g}" for score in np.asarray(scores)], len(scores)
    figure, (above, below) = plt.subplots(
        *(2, 1),
        figsize=(0.55 * n + 1.8, 0.55 * (n + len(marks)) + 1.8),
        height_ratios=(n, max(1, len(marks))),
        layout="constrained",
    )
    pointers = heat_map(steps[0], ax=above, columns=names).images[0]
    above.set(xlabel="element before it", ylabel="element")
    above.set_yticks(range(n), names)
    marked = below.imshow(np.zeros((max(1, len(marks)), n)), vmin=0, vmax=1, cmap="Oranges")
    below.set_yticks(range(len(marks)), list(marks))
    below.set_xticks(range(n), names, rotation=above.get_xticklabels()[0].get_rotation())

    def draw(k: int) -> list[Any]:
        last = k == len(steps) - 1
        pointers.set_data(steps[k])
        if marks:
            marked.set_data([np.zeros(n) if last else hint[k] for hint in marks.values()])
        above.set_title("output" if last else f"after step {k + 1} of {len(steps) - 1}")
        return [pointers, marked]

    draw(0)
    animation = FuncAnimation(figure, draw, frames=len(steps), interval=interval)
    plt.close(figure)  # a notebook would show its first frame beside the animation
    return animation


def curves(
    results: Mapping[str, Any] | str | os.PathLike[str],
    *,
    metrics: Sequence[str] = tuple(METRICS),
    figure: "Figure | None" = None,
) -> "Figure":
    """Draws learning curves of an experiment: mean and range over seeds, a panel for each metric.

    Args:
      results: What `experiments/sort_numbers.py` wrote, or the path of its `results.json`.
      metrics: Among `em`, `ew` (both on validation lists), `em5`, `train_em` and `loss`.
      figure: Where to draw; a new one without.

    Returns:
      The figure.

    Raises:
      ValueError: If the results have no runs, or not all of them have the metric.
      ImportError: Without matplotlib.

    Example:
      >>> curve = {"step": [1, 2], "loss": [0.5, 0.2]}
      >>> report = {"runs": [{"operator": "learned", "curve": curve}]}
      >>> len(curves(report, metrics=["loss"]).axes)
      1
    """
    _some("metrics", metrics)
    report = results
    if not isinstance(report, Mapping):
        with open(report, encoding="utf-8") as file:
            report = json.load(file)
    runs = _some("results, runs", report.get("runs", ()))
    known = sorted(set.intersection(*(set(run["curve"]) for run in runs)) - {"step"})
    for metric in metrics:
        if metric not in known:
            raise ValueError(checks.error_message("metrics", repr(metric), ", ".join(known)))
    if figure is None:
        figure = _pyplot().figure(figsize=(4.4 * len(metrics), 4), layout="constrained")
    for ax, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        for operator in dict.fromkeys(run["operator"] for run in runs):
            own = [run["curve"] for run in runs if run["operator"] == operator]
            curve = np.array([each[metric] for each in own], float)
            mean_and_range(ax, own[0]["step"], curve, label=operator)
        ax.set(title=METRICS.get(metric, metric), xlabel="step")
        ax.grid(alpha=0.3)
        if metric != "loss":
            ax.set_ylim(0, 1)
    figure.axes[0].legend(fontsize="small")
    return figure


def mean_and_range(ax: "Axes", steps: Sequence[float], curves: ArrayLike, **look: Any) -> Any:
    """Draws the mean of curves `[seeds, steps]` as a line, and their range as a shade.

    Args:
      ax: Where to draw.
      steps: Where the points are, `[steps]`.
      curves: A curve of each seed.
      **look: What `Axes.plot` takes for the line.

    Returns:
      The line.

    Example:
      >>> from matplotlib.figure import Figure
      >>> line = mean_and_range(Figure().subplots(), [1, 2], [[0.0, 1.0], [1.0, 2.0]])
      >>> line.get_ydata().tolist()
      [0.5, 1.5]
    """
    points = np.asarray(curves)
    (line,) = ax.plot(steps, points.mean(axis=0), marker=".", **look)
    low, high = points.min(axis=0), points.max(axis=0)
    ax.fill_between(steps, low, high, color=line.get_color(), alpha=0.15)
    return line
