# SPDX-License-Identifier: Apache-2.0
"""The only table of methods: name -> operator.

The conformance tests, the choices of the command lines, the benchmarks and the table in the
documentation are made from it. Adding a method is one operator file, one row here, and one oracle
in `tests/references.py`.
"""

import dataclasses
import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any

from arlsort.operators import base
from arlsort.operators.hard import Hard
from arlsort.operators.learned import LearnedSort
from arlsort.operators.neuralsort import NeuralSort
from arlsort.operators.perturbed import Perturbed
from arlsort.operators.softsort import SoftSort
from arlsort.operators.sorting_network import SortingNetwork

DEFAULT = "learned"
"""The name of the operator that every public function uses when told nothing."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One method.

    Attributes:
      operator: The class.
      summary: What it is, in one line.
      paper: Where it comes from.
      fixed: Fields that make this row what it is, and that a string cannot change.
      supervision: Hyperparameters for use as the loss on a network's own scores, in the experiment
        on four-digit numbers.
      variants: Hyperparameters as `parse` reads them, for other ways of computing that the
        conformance tests must see beside the defaults.
      random: The same for ways of computing that draw random numbers and need a key.
    """

    operator: type[base.Operator]
    summary: str
    paper: str
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    supervision: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    variants: tuple[str, ...] = ()
    random: tuple[str, ...] = ()

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

REGISTRY: Mapping[str, Entry] = types.MappingProxyType(
    {
        "learned": Entry(
            LearnedSort,
            "a graph network that executes a sort, averaged over noise",
            "this library, on Ibarz et al., LoG 2022",
            supervision={"normalize": False, "temperature": 1.0},  # the CNN learns the scale
            variants=("normalize=false,temperature=0.5",),
        ),
        "hard": Entry(
            Hard,
            "the exact sort, for reference",
            "Knuth, The Art of Computer Programming, vol. 3",
        ),
        "odd_even": Entry(
            SortingNetwork,
            "odd-even sorting network with soft swaps, n layers",
            _NETWORKS,
            fixed={"network": "odd_even"},
            supervision={"temperature": 0.1},  # steepness 10, as published
            variants=("distribution=logistic_art",),
        ),
        "bitonic": Entry(
            SortingNetwork,
            "bitonic sorting network with soft swaps, about log2(n)^2 / 2 layers",
            _NETWORKS,
            fixed={"network": "bitonic"},
            supervision={"temperature": 0.1},  # steepness 10, as published
        ),
        "neuralsort": Entry(
            NeuralSort,
            "softmax around the exact formula for the i-th order statistic",
            "Grover et al., ICLR 2019",
            supervision={"temperature": 5.0},  # the default of its reference experiment
            random=("stochastic=true,num_samples=3",),
        ),
        "softsort": Entry(
            SoftSort,
            "softmax around each sorted value",
            "Prillo and Eisenschlos, ICML 2020",
            supervision={"temperature": 1.0},
            variants=("power=2",),
            random=("stochastic=true,num_samples=3",),
        ),
        "perturbed": Entry(
            Perturbed,
            "the mean exact sort of noisy scores, with a score-function gradient",
            "Berthet et al., NeurIPS 2020",
            supervision={"temperature": 1.0},
            random=("noise=gaussian,num_samples=7",),
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
        raise TypeError(base.complaint("operator", received, allowed))
    return _entry(operator).build()


def parse(spec: str, *, supervision: bool = False) -> base.Operator:
    """Makes an operator from a string such as `odd_even:distribution=logistic,temperature=0.1`.

    Args:
      spec: A registered name, optionally followed by a colon and hyperparameters.
      supervision: Whether to start from the row's settings for the experiment on four-digit
        numbers; what the string says comes on top.

    Raises:
      TypeError: If `spec` is not a string.
      ValueError: If the name, a hyperparameter or a value is not known, not allowed or said twice.

    Example:
      >>> parse("softsort:temperature=0.5")
      SoftSort(hard=False, stochastic=False, num_samples=1, key=None, temperature=0.5, power=1)
    """
    if not isinstance(spec, str):
        raise TypeError(base.complaint("spec", repr(spec), "a string such as 'softsort:power=2'"))
    name, _, settings = spec.partition(":")
    entry = _entry(name.strip())
    known = entry.hyperparameters()
    given: dict[str, Any] = dict(entry.supervision) if supervision else {}
    stated: set[str] = set()
    for setting in filter(None, (s.strip() for s in settings.split(","))):
        key, equals, text = (part.strip() for part in setting.partition("="))
        if key not in known:
            raise ValueError(_unknown(f"operator {name!r}, hyperparameter", key, known))
        if key in stated:
            raise ValueError(base.complaint(f"operator {name!r}, {key}", "two values", "one"))
        stated.add(key)
        if not equals:
            raise ValueError(base.complaint(f"operator {name!r}, {key}", "no value", f"{key}=..."))
        given[key] = _read(f"operator {name!r}, {key}", text, known[key])
    return entry.build(**given)


def _entry(name: str) -> Entry:
    if name not in REGISTRY:
        raise ValueError(_unknown("operator", name, REGISTRY))
    return REGISTRY[name]


def _unknown(argument: str, received: str, known: Iterable[str]) -> str:
    message = base.complaint(argument, repr(received), ", ".join(known))
    close = difflib.get_close_matches(received, list(known), n=1)
    return f"{message}; did you mean {close[0]!r}?" if close else message


def _read(argument: str, text: str, default: Any) -> Any:
    """Reads a value of the type of the default; one that may be left out is a string."""
    kind = str if default is None else type(default)
    if kind is bool:
        values = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in values:
            raise ValueError(base.complaint(argument, repr(text), "true or false"))
        return values[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise ValueError(base.complaint(argument, repr(text), f"a {kind.__name__}")) from None
