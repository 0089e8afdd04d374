# SPDX-License-Identifier: Apache-2.0
"""Differentiable sorting in JAX: the public names, and nothing else."""

import importlib
from typing import TYPE_CHECKING, Any

from arlsort import programs
from arlsort.comparison import comparison_sort, rank_among, smooth_sort, vector_sort
from arlsort.functional import (
    argsort,
    permutation,
    rank,
    sort,
    sort_by,
)
from arlsort.likelihood import cauchy_log_likelihood
from arlsort.neighbours import soft_neighbours
from arlsort.networks.swaps import log_sum_exp, smooth_maximum
from arlsort.operators.amortized import AmortizedSort
from arlsort.operators.base import Operator, Relaxation
from arlsort.operators.gumbel_sinkhorn import GumbelSinkhorn
from arlsort.operators.hard import Hard
from arlsort.operators.lapsum import LapSum
from arlsort.operators.learned import LearnedSort
from arlsort.operators.neuralsort import NeuralSort
from arlsort.operators.permutahedron import Permutahedron
from arlsort.operators.perturbed import Perturbed
from arlsort.operators.relaxed_program import RelaxedProgram
from arlsort.operators.sinkhorn import Sinkhorn
from arlsort.operators.softsort import SoftSort
from arlsort.operators.sorting_network import SortingNetwork
from arlsort.selection import median, quantile, top_k, top_k_mask

if TYPE_CHECKING:
    from arlsort import plot, quadratic, sharding
    from arlsort import quadratic_layer as quadratic_layer
    from arlsort.quadratic_layer import QuadraticLayer

__version__ = "0.2.0"

__all__ = [
    "AmortizedSort",
    "GumbelSinkhorn",
    "Hard",
    "LapSum",
    "LearnedSort",
    "NeuralSort",
    "Operator",
    "Permutahedron",
    "Perturbed",
    "QuadraticLayer",
    "Relaxation",
    "RelaxedProgram",
    "Sinkhorn",
    "SoftSort",
    "SortingNetwork",
    "argsort",
    "cauchy_log_likelihood",
    "comparison_sort",
    "log_sum_exp",
    "median",
    "permutation",
    "plot",
    "programs",
    "quadratic",
    "quantile",
    "rank",
    "rank_among",
    "sharding",
    "smooth_maximum",
    "smooth_sort",
    "soft_neighbours",
    "sort",
    "sort_by",
    "top_k",
    "top_k_mask",
    "vector_sort",
]


# What a sort does not need is imported when it is first asked for.
_LATER = {
    "QuadraticLayer": "arlsort.quadratic_layer",
    "plot": "arlsort.plot",
    "quadratic": "arlsort.quadratic",
    "quadratic_layer": "arlsort.quadratic_layer",
    "sharding": "arlsort.sharding",
}

if not TYPE_CHECKING:  # or a type checker would take any name for one of these

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(_LATER[name])
        found = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*__all__, *_LATER, "__all__", "__doc__", "__version__"})
