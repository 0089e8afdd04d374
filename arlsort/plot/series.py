# SPDX-License-Identifier: Apache-2.0
"""A series before and after it was denoised."""

from typing import TYPE_CHECKING, Any

from jax.typing import ArrayLike

from arlsort import checks
from arlsort.plot import common

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS: dict[str, dict[str, Any]] = {
    "noisy": {"color": "0.8", "linewidth": 1},
    "clean": {"color": "0.2", "linewidth": 1},
    "denoised": {"color": "C0", "linewidth": 1.5},
}


def series(
    noisy: ArrayLike,
    *,
    clean: ArrayLike | None = None,
    denoised: ArrayLike | None = None,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Axes":
    """Draws a noisy series, in grey, with its clean and its denoised form.

    Args:
      noisy: The series `[n]`.
      clean: The same without noise, `[n]`, where it is known.
      denoised: The output of a method, `[n]`.
      ax: Where to draw; a new figure without.
      title: Above it.

    Returns:
      The axes, with a line for each series, labelled.

    Raises:
      ValueError: If a series is not one of numbers, `[n]`, or not of the length of `noisy`.
      ImportError: Without matplotlib.

    Example:
      >>> import jax.numpy as jnp
      >>> from arlsort import quadratic
      >>> noisy = jnp.array([0.0, 1.0, 9.0, 10.0])
      >>> ax = series(noisy, denoised=quadratic.total_variation(noisy, 0.5))
      >>> [line.get_label() for line in ax.lines]
      ['noisy', 'denoised']
    """
    given = {"noisy": noisy, "clean": clean, "denoised": denoised}
    lines = {name: common.numbers(name, line) for name, line in given.items() if line is not None}
    shape = lines["noisy"].shape
    for name, line in lines.items():
        if line.ndim != 1 or not line.size or line.shape != shape:
            allowed = "one series, [n]" if name == "noisy" else f"shape {shape}, that of noisy"
            raise ValueError(checks.error_message(name, f"shape {line.shape}", allowed))
    ax = ax or common.pyplot().subplots(figsize=(6, 2.4), layout="constrained")[1]
    for name, line in lines.items():
        ax.plot(line.astype(float), label=name, **_LOOKS[name])
    ax.set(title=title)
    return ax
