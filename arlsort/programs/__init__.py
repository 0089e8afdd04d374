# SPDX-License-Identifier: Apache-2.0
"""Algorithms as layers: any small program, with soft branches and loops, and a gradient.

Example:
  >>> import jax.numpy as jnp
  >>> from arlsort import programs
  >>> @programs.relaxed
  ... def halvings(r, x):
  ...     def halve(_, s):
  ...         return {"x": s["x"] / 2, "steps": s["steps"] + 1}
  ...     start = {"x": x, "steps": 0.0}
  ...     return r.while_(lambda s: r.greater(s["x"], 1.0), halve, start, max_steps=8)["steps"]
  >>> print(halvings(jnp.array(24.0), temperature=0.01))
  5.0
"""

from arlsort.programs import algorithms, algovision
from arlsort.programs.conditions import and_, not_, or_
from arlsort.programs.control import for_
from arlsort.programs.memory import read, write
from arlsort.programs.relaxed import Relaxer, relaxed

__all__ = [
    "Relaxer",
    "algorithms",
    "algovision",
    "and_",
    "for_",
    "not_",
    "or_",
    "read",
    "relaxed",
    "write",
]
