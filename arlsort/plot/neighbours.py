# SPDX-License-Identifier: Apache-2.0
"""A picture and its soft nearest neighbours."""

from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.plot import common

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 0.15  # between pictures, of their width


def neighbours(
    query: ArrayLike,
    candidates: ArrayLike,
    weights: ArrayLike,
    *,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Axes":
    """Draws a query and its candidates side by side, each candidate as opaque as its weight.

    Args:
      query: A picture `[height, width]`, or `[height, width, 3]` with colours from 0 to 1.
      candidates: Pictures `[c, height, width]` or `[c, height, width, 3]`, drawn in this order.
      weights: How much each candidate is one of the nearest, `[c]`, as `soft_neighbours` gives it.
      ax: Where to draw; a new figure without.
      title: Above it.

    Returns:
      The axes.

    Raises:
      ValueError: If shapes do not match.
      ImportError: Without matplotlib.

    Example:
      >>> import jax.numpy as jnp
      >>> ax = neighbours(jnp.eye(3), jnp.ones((2, 3, 3)), jnp.array([1.0, 0.25]))
      >>> [text.get_text() for text in ax.texts]
      ['query', '1.00', '0.25']
    """
    first, others, shares = (np.asarray(each) for each in (query, candidates, weights))
    if first.ndim not in (2, 3) or not first.size or first.shape[2:] not in ((), (1,), (3,), (4,)):
        allowed = "one picture, [height, width] or [height, width, 1, 3 or 4]"
        raise ValueError(checks.error_message("query", f"shape {first.shape}", allowed))
    if others.shape[1:] != first.shape or not len(others):
        allowed = f"pictures [c, {', '.join(map(str, first.shape))}]"
        raise ValueError(checks.error_message("candidates", f"shape {others.shape}", allowed))
    if shares.shape != (len(others),):
        received = f"shape {shares.shape}"
        raise ValueError(checks.error_message("weights", received, f"shape ({len(others)},)"))
    ax = ax or common.pyplot().subplots(figsize=(len(others) + 1, 1.4), layout="constrained")[1]
    height = first.shape[0] / first.shape[1]
    if np.issubdtype(first.dtype, np.integer) and first.ndim == 3:
        first, others = first / 255, others / 255
    lowest, top = min(0.0, first.min(), others.min()), max(first.max(), others.max())
    opacities = [1.0, *np.clip(np.nan_to_num(shares.astype(float)), 0.0, 1.0)]
    names = ["query", *(f"{share:.2f}" for share in shares)]
    for place, picture in enumerate([first, *others]):
        left = place * (1 + _GAP) + (_GAP if place else 0.0)
        ax.imshow(
            picture.astype(float),
            extent=(left, left + 1, 0, height),
            cmap="gray_r",
            vmin=lowest,
            vmax=top,
            alpha=opacities[place],
        )
        ax.text(left + 0.5, -0.06 * height, names[place], ha="center", va="top", fontsize=8)
    ax.set(xlim=(0, left + 1), ylim=(-0.3 * height, height), title=title)
    ax.axis("off")
    return ax
