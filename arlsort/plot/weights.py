# SPDX-License-Identifier: Apache-2.0
"""Soft permutations and soft values, over the temperature."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from arlsort import checks, functional
from arlsort.operators import base, registry
from arlsort.plot import common

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEMPERATURES = (0.01, 0.1, 0.3, 1.0)


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
      columns: Names of the inputs, `[n]`; by default their indices.
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
    ax = ax or common.pyplot().subplots(layout="constrained")[1]
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
      temperatures: Its values.

    Returns:
      The figure.

    Raises:
      ValueError: If an argument is not allowed.
      ImportError: Without matplotlib.

    Example:
      >>> len(temperatures([3.0, 1.0, 2.0], "softsort", (0.1, 1.0)).axes)
      3
    """
    scores, count = common.one_list(x), len(common.some("temperatures", temperatures))
    each = [functional.permutation(scores, _at(operator, t)) for t in temperatures]
    figure, axes = common.pyplot().subplots(
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
    scores, points = common.one_list(x), common.some("temperatures", temperatures)
    soft = np.stack([functional.sort(scores, _at(operator, float(t))) for t in points])
    ax = ax or common.pyplot().subplots(layout="constrained")[1]
    for i, line in enumerate(soft.T):
        ax.semilogx(temperatures, line, label=f"position {i}")
    ax.set(xlabel="temperature", ylabel="soft value")
    ax.grid(alpha=0.3)
    return ax
