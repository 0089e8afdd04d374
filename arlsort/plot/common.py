# SPDX-License-Identifier: Apache-2.0
"""Shared by all pictures: matplotlib, and checks of their input."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.numerics import finite


def pyplot() -> Any:
    """Matplotlib's `pyplot`, imported when the first picture is drawn; raises ImportError."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError('arlsort.plot needs matplotlib: pip install "arlsort[plot]"') from None
    return plt


def numbers(argument: str, values: ArrayLike) -> np.ndarray:
    """Returns an array of real numbers; raises ValueError and names the argument otherwise."""
    allowed = "real numbers"
    try:
        array = np.asarray(values)
    except ValueError:  # lists of several lengths
        raise ValueError(checks.error_message(argument, "no array", allowed)) from None
    if not any(jnp.issubdtype(array.dtype, kind) for kind in (np.floating, np.integer, np.bool_)):
        raise ValueError(checks.error_message(argument, f"dtype {array.dtype}", allowed))
    return array


def one_list(x: ArrayLike) -> jax.Array:
    """One list of scores; raises ValueError."""
    scores = jnp.asarray(numbers("x", x))
    scores = scores.astype(finite.work_dtype(scores))
    if scores.ndim != 1 or not len(scores):
        raise ValueError(
            checks.error_message("x", f"shape {scores.shape}", "one list of scores, [n]")
        )
    return scores


def some(argument: str, values: Sequence[Any]) -> Sequence[Any]:
    """Refuses an empty sequence, with a ValueError."""
    if not len(values):
        raise ValueError(checks.error_message(argument, "none", "one or more"))
    return values
