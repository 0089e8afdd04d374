# SPDX-License-Identifier: Apache-2.0
"""Algorithms as layers: relaxed programs, and nothing else here than their names."""

from arlsort.programs import algorithms
from arlsort.programs.conditions import and_, not_, or_
from arlsort.programs.control import for_
from arlsort.programs.memory import read, write
from arlsort.programs.relaxed import Relaxer, relaxed

__all__ = [
    "Relaxer",
    "algorithms",
    "and_",
    "for_",
    "not_",
    "or_",
    "read",
    "relaxed",
    "write",
]
