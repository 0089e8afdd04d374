# SPDX-License-Identifier: Apache-2.0
"""A list on its way through a sort: the swaps of a network, the steps of the learned sort."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks import topology
from arlsort.operators.learned import LearnedSort
from arlsort.operators.sorting_network import SortingNetwork
from arlsort.plot import common
from arlsort.plot.weights import heat_map

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure


def network(x: ArrayLike, operator: SortingNetwork | None = None) -> "Figure":
    """Draws one list on its way through a sorting network.

    Wires run from left to right, coloured by the score that is on them. A vertical line is a
    comparator. Its number and darkness are the part of the two scores that it exchanges: 0 leaves
    them, 1 swaps them. The arrow points to the place of the larger one.

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
    scores = common.one_list(x)
    n = len(scores)
    if n < 2 or not jnp.isfinite(scores).all():
        received = f"{n} score" if n < 2 else "one that is not finite"
        raise ValueError(checks.error_message("x", received, "2 or more finite scores"))
    if operator.hard:
        raise ValueError(checks.error_message("operator", "hard=True", "one that swaps softly"))
    layers, states, swaps = _run(scores, operator)
    plt = common.pyplot()
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
        swaps.append(np.asarray(swap.keep(a, b, sign)[1]))
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

    Row j of the matrix shows which element the network puts before element j so far. An element
    that points to itself is the first. Below are the marks of the algorithm, such as `j` of
    insertion sort, the element just inserted, and `i`, the one whose place it took. The last frame
    has the output pointers, where the first element points to the last one: the order is a cycle.

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
    scores = common.one_list(x)
    said = operator.log_trace(scores)
    hints = {name: np.exp(np.asarray(hint)) for name, hint in said.log_hints.items()}
    marks = {name: hint for name, hint in hints.items() if hint.shape[1:] == scores.shape}
    steps = [*hints["pred_h"], np.exp(np.asarray(said.log_predecessor))]
    plt = common.pyplot()
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
