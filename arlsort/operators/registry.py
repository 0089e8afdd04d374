# SPDX-License-Identifier: Apache-2.0
"""The only table of methods: name -> operator.

Conformance tests, command lines, benchmarks and the tables of the documentation are made from it. A
new method takes one operator file, one row here, and one oracle in `tests/references.py`.
"""

import dataclasses
import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any

from arlsort import checks
from arlsort.operators import base
from arlsort.operators.amortized import AmortizedSort
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

DEFAULT = "amortized"
"""The name of the operator that every public function uses when told nothing."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts for choosing a method: of its defaults, for lists of n at temperature t.

    Time and memory are of one list, forward, up to a constant factor. Memory is the peak, results
    included. Where s samples are drawn, both grow with s. Logarithms are natural.

    Attributes:
      time: Of the values, then of the permutation if there is one.
      memory: The same.
      monotone: Whether no soft value ever falls when a score rises, that is whether all
        derivatives of the values are >= 0; None if it is not known.
      error: A bound on the distance of the values from the exact ones, in the unit of the scores;
        empty if none is known.
      temperature: What one temperature means.
      choose_when: When to take this method.
    """

    time: tuple[str, ...]
    memory: tuple[str, ...]
    monotone: bool | None
    error: str
    temperature: str
    choose_when: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """One method.

    Attributes:
      operator: The class.
      summary: What it is, in one line.
      paper: Where it comes from.
      fixed: Fields that define this row, which a string cannot change.
      supervision: Hyperparameters for use as the loss on a network's own scores, in the experiment
        on four-digit numbers.
      variants: Hyperparameters as `parse` reads them, for other code paths that conformance tests
        must cover.
      random: The same for code paths that draw random numbers and need a key.
      facts: What to know when choosing it.
    """

    operator: type[base.Operator]
    summary: str
    paper: str
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    supervision: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    variants: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    facts: Facts | None = None

    def build(self, **hyperparameters: Any) -> base.Operator:
        """Makes the operator, with its defaults where nothing is given."""
        return self.operator(**{**self.fixed, **hyperparameters})

    def hyperparameters(self) -> dict[str, Any]:
        """Names the fields that a string can set, with their defaults."""
        return {
            field.name: field.default
            for field in dataclasses.fields(self.operator)
            if field.name not in self.fixed
            and (isinstance(field.default, (str, bool, int, float)) or field.type == str | None)
        }


_NETWORKS = "Petersen et al., ICML 2021 and ICLR 2022"
_SWAP = "of two scores this far apart, each takes over a quarter of the other"

REGISTRY: Mapping[str, Entry] = types.MappingProxyType(
    {
        "amortized": Entry(
            AmortizedSort,
            "the mean sort of noisy scores, as a small graph network predicts it",
            "this library, on Berthet et al., NeurIPS 2020",
            # The CNN learns the scale; for noise and temperature see docs/research/hypotheses.md.
            supervision={"normalize": False, "noise": "cauchy", "temperature": 0.1},
            variants=("normalize=false,temperature=0.5",),
            facts=Facts(
                time=("n^2", "n^2"),
                memory=("n^2", "n^2"),
                monotone=False,
                error="",
                temperature="standard deviation of the noise that is averaged over, as a fraction "
                "of the range of the scores",
                choose_when="you want the mean over noise, or the order supervises, and lists have "
                "up to 128 scores",
            ),
        ),
        "learned": Entry(
            LearnedSort,
            "a graph network that executes a sort, averaged over noise",
            "this library, on Ibarz et al., LoG 2022",
            # The CNN learns the scale; for noise and temperature see docs/research/hypotheses.md.
            supervision={"normalize": False, "noise": "cauchy", "temperature": 0.3},
            variants=("normalize=false,temperature=0.5",),
            facts=Facts(
                time=("n^4", "n^4"),
                memory=("n^2", "n^2"),
                monotone=False,
                error="",
                temperature="standard deviation of the noise that the sort is averaged over, as a "
                "fraction of the range of the scores",
                choose_when="an order supervises, by `log_likelihood`; or to see a network execute "
                "a sort",
            ),
        ),
        "hard": Entry(
            Hard,
            "the exact sort, for reference",
            "Knuth, The Art of Computer Programming, vol. 3",
            facts=Facts(
                time=("n log n", "n^2"),
                memory=("n", "n^2"),
                monotone=True,
                error="0",
                temperature="it has none",
                choose_when="for evaluation, or if the derivatives of the exact values are enough",
            ),
        ),
        "odd_even": Entry(
            SortingNetwork,
            "odd-even sorting network with soft swaps, n layers",
            _NETWORKS,
            fixed={"network": "odd_even"},
            supervision={"temperature": 0.1},  # steepness 10, as published
            variants=("distribution=logistic_art",),
            facts=Facts(
                time=("n^2", "n^3"),
                memory=("n", "n^2"),
                monotone=True,
                error="n t / π",
                temperature=_SWAP,
                choose_when="the order supervises, as in the experiment here, and lists are short",
            ),
        ),
        "bitonic": Entry(
            SortingNetwork,
            "bitonic sorting network with soft swaps, about log2(n)^2 / 2 layers",
            _NETWORKS,
            fixed={"network": "bitonic"},
            supervision={"temperature": 0.1},  # steepness 10, as published
            variants=("error_free=true",),
            facts=Facts(
                time=("n log(n)^2", "n^2.5"),
                memory=("n", "n^2"),
                monotone=True,
                error="k (k + 1) t / 2π, 2^k >= n",
                temperature=_SWAP,
                choose_when="the same, and lists are long: far fewer layers",
            ),
        ),
        "odd_even_merge": Entry(
            SortingNetwork,
            "odd-even mergesort network with soft swaps, as many layers with fewer swaps",
            f"Batcher, AFIPS 1968, with the swaps of {_NETWORKS}",
            fixed={"network": "odd_even_merge"},
            supervision={"temperature": 0.1},  # steepness 10, as published
            facts=Facts(
                time=("n log(n)^2", "n^3"),
                memory=("n", "n^2"),
                monotone=True,
                error="k (k + 1) t / 2π, 2^k >= n",
                temperature=_SWAP,
                choose_when="as bitonic; each score is mixed fewer times",
            ),
        ),
        "bubble_sort": Entry(
            RelaxedProgram,
            "bubble sort whose if and while are soft",
            "Petersen et al., NeurIPS 2021",
            fixed={"program": "bubble_sort"},
            supervision={"temperature": 0.125},  # beta 8, as published
            facts=Facts(
                time=("n^2", "n^3"),
                memory=("n", "n^2"),
                monotone=False,
                error="",
                temperature=_SWAP,
                choose_when="you compare with AlgoVision; the number of its swaps, a loss, is in "
                "`programs.algorithms`",
            ),
        ),
        "neuralsort": Entry(
            NeuralSort,
            "softmax around the exact formula for the i-th order statistic",
            "Grover et al., ICLR 2019",
            supervision={"temperature": 5.0},  # the default of its reference experiment
            random=("stochastic=true,num_samples=3",),
            facts=Facts(
                time=("n^2", "n^2"),
                memory=("n", "n^2"),
                monotone=False,
                error="t log n",
                temperature="an input this far from the one at a position has at most 1/e of its "
                "weight",
                choose_when="the largest weights of P should form a permutation",
            ),
        ),
        "softsort": Entry(
            SoftSort,
            "softmax around each sorted value",
            "Prillo and Eisenschlos, ICML 2020",
            supervision={"temperature": 1.0},
            variants=("power=2",),
            random=("stochastic=true,num_samples=3",),
            facts=Facts(
                time=("n log n", "n^2"),
                memory=("n", "n^2"),
                monotone=False,
                error="t log n",
                temperature="an input this far from the one at a position has 1/e of its weight",
                choose_when="P should be simple and cheap, and need not be doubly stochastic",
            ),
        ),
        "perturbed": Entry(
            Perturbed,
            "the mean exact sort of noisy scores, with a score-function gradient",
            "Berthet et al., NeurIPS 2020",
            supervision={"temperature": 1.0},
            random=("noise=gaussian,num_samples=7",),
            facts=Facts(
                time=("s n log n", "s n^2"),
                memory=("s n", "s n^2"),
                monotone=False,
                error="",
                temperature="scale of the noise",
                choose_when="the mean order of noisy scores is wanted, around any operator, and "
                "gradients may be random",
            ),
        ),
        "lapsum": Entry(
            LapSum,
            "mass of a Laplace distribution around each score between quantiles of their sum",
            "Struski et al., ICML 2025",
            supervision={"temperature": 1.0},  # α of its soft-permutation experiment
            facts=Facts(
                time=("n log n", "n^2"),
                memory=("n", "n^2"),
                monotone=False,
                error="",
                temperature="scale of the Laplace distribution that each score is smoothed into",
                choose_when="lists are long, or P should be doubly stochastic without iterations",
            ),
        ),
        "sinkhorn": Entry(
            Sinkhorn,
            "entropic transport to a sorted grid, differentiated at its solution",
            "Cuturi et al., NeurIPS 2019",
            supervision={"temperature": 0.01},  # the default of its authors' code
            variants=("squash=range,temperature=0.1",),
            facts=Facts(
                time=("n^2 for each step of the solver",) * 2,
                memory=("n^2", "n^2"),
                monotone=False,
                error="",
                temperature="a squared distance of this much, in units of the range, costs a "
                "factor of e",
                choose_when="P must be doubly stochastic and equivariant, and scale and offset of "
                "the scores mean nothing",
            ),
        ),
        "gumbel_sinkhorn": Entry(
            GumbelSinkhorn,
            "a doubly stochastic sample: Gumbel noise on every entry",
            "Mena et al., ICLR 2018",
            supervision={"temperature": 1.0},
            random=("temperature=0.3,num_samples=3",),
            facts=Facts(
                time=("s n^2 for each step of the solver",) * 2,
                memory=("s n^2", "s n^2"),
                monotone=False,
                error="",
                temperature="a noise of this much counts as a factor of e",
                choose_when="single relaxed permutations are to be drawn, doubly stochastic",
            ),
        ),
        "permutahedron": Entry(
            Permutahedron,
            "projection onto the hull of all permutations, values and ranks in O(n log n)",
            "Blondel et al., ICML 2020",
            variants=("regularization=entropic",),
            facts=Facts(
                time=("n log n",),
                memory=("n",),
                monotone=True,
                error="s_j - s_i - (j - i) / t, i <= j",
                temperature="values are exact if no gap exceeds 1 / t, ranks if none is below t",
                choose_when="values or ranks of long lists are wanted, exact where scores are far "
                "enough apart or near enough",
            ),
        ),
    }
)


def names() -> tuple[str, ...]:
    """Returns the registered names, in the order of the table."""
    return tuple(REGISTRY)


def get(operator: str | base.Operator) -> base.Operator:
    """Returns an operator as it is, or the one registered under a name, with its defaults.

    Args:
      operator: An operator object or a registered name.

    Raises:
      TypeError: If it is neither a string nor an operator object.
      ValueError: If no operator has this name.

    Example:
      >>> get("softsort")
      SoftSort(hard=False, stochastic=False, num_samples=1, key=None, temperature=1.0, power=1)
    """
    if isinstance(operator, base.Operator):
        return operator
    if not isinstance(operator, str):
        received = operator if isinstance(operator, type) else type(operator)
        allowed = "an operator object such as SoftSort(), or one of " + ", ".join(names())
        raise TypeError(checks.error_message("operator", received, allowed))
    return entry(operator).build()


def entry(name: str) -> Entry:
    """Returns the row of a name; raises ValueError naming the known ones."""
    if name not in REGISTRY:
        raise ValueError(unknown("operator", name, REGISTRY))
    return REGISTRY[name]


def unknown(argument: str, received: str, known: Iterable[str]) -> str:
    """Words the error about an unknown name, with the nearest known one."""
    message = checks.error_message(argument, repr(received), checks.one_of(known))
    close = difflib.get_close_matches(received, list(known), n=1)
    return f"{message}; did you mean {close[0]!r}?" if close else message
