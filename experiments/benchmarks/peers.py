# SPDX-License-Identifier: Apache-2.0
"""Other implementations that the operators are compared with: which, and how each is called.

A peer's function takes scores `[batch, n]` and gives ascending values, or P in our convention,
`P[..., i, j]` the weight of input j at position i. What a peer is compared with has the peer's own
swap function and temperature, so that both compute the same thing where they can; where they
cannot, `alike` is False and the comparison is of two ways to the same end.
"""

import contextlib
import dataclasses
import importlib.util
import io
import os
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.benchmarks.selections import PICKED, QUANTILE

Function = Callable[[Any], Any]
Make = Callable[[int, float], Function]


@dataclasses.dataclass(frozen=True)
class Peer:
    """One method of another implementation.

    Attributes:
      package: What is imported, and the name in the results.
      method: What of it is compared.
      framework: `jax`, `torch` or `numpy`: what its functions take and give.
      values: Makes the function of the values for lists of n and a temperature; None if it has
        none.
      permutation: The same for P.
      selections: The same for what picks of a sorted list, by its name in `selections`.
      alike: Whether it computes the same function as the operator it stands beside.
      tolerance: How near to it then: rounding, or what its iterations stop at.
    """

    package: str
    method: str
    framework: str
    values: Make | None = None
    permutation: Make | None = None
    selections: Mapping[str, Make] = dataclasses.field(default_factory=dict)
    alike: bool = True
    tolerance: float = 1e-5

    @property
    def name(self) -> str:
        """The name in tables and figures."""
        return f"{self.package} {self.method}"

    def installed(self) -> bool:
        """Whether it can be imported."""
        return importlib.util.find_spec(self.package) is not None

    def make(self, what: str) -> Make | None:
        """How to make its function of `values`, of the `permutation`, or of a selection."""
        known = {"values": self.values, "permutation": self.permutation, **self.selections}
        return known.get(what)


@dataclasses.dataclass(frozen=True)
class Row:
    """What an operator is compared with.

    Attributes:
      settings: Hyperparameters of the operator, as `operators.parse` reads them after the colon.
      peers: The peers.
    """

    settings: str = ""
    peers: tuple[Peer, ...] = ()


def softjax(
    method: str,
    *,
    permutation: bool = True,
    mode: str = "smooth",
    softness: Callable[[int, float], float] = lambda n, temperature: temperature,
    standardize: bool = False,
    alike: bool = True,
    tolerance: float = 1e-5,
) -> Peer:
    """A method of softjax; with its standardisation of the scores only where ours has that too."""

    def call(name: str, *more: Any) -> Make:
        def make(n: int, temperature: float) -> Function:
            import softjax as package

            function, soft = getattr(package, name), softness(n, temperature)
            return lambda x: function(
                x, *more, axis=-1, softness=soft, mode=mode, method=method, standardize=standardize
            )

        return make

    values, weights = call("sort"), call("argsort") if permutation else None
    picking = {"quantile": call("quantile", QUANTILE)}
    if permutation:
        picking["top_k"] = call("top_k", PICKED)
    return Peer("softjax", method, "jax", values, weights, picking, alike, tolerance)


def diffsort(network: str, distribution: str = "logistic", *, alike: bool = True) -> Peer:
    """A network of diffsort, which computes the values and P in one call."""

    def part(index: int) -> Make:
        def make(n: int, temperature: float) -> Function:
            import diffsort as package
            import torch

            torch.set_num_threads(os.cpu_count() or 1)
            sorter = package.DiffSortNet(
                network, n, steepness=1.0 / temperature, distribution=distribution
            )
            if index == 0:
                return lambda x: sorter(x)[0]
            return lambda x: sorter(x)[1].transpose(1, 2)  # its P is the transpose of ours

        return make

    return Peer("diffsort", network, "torch", part(0), part(1), alike=alike)


def _differentiable_sorting(n: int, temperature: float) -> Function:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints when imported without autoray
        import differentiable_sorting as package

    indices = package.bitonic_indices(n)

    def softmax(a: Any, b: Any) -> Any:
        return package.softmax(a, b, alpha=1.0 / temperature)

    return lambda x: np.stack([package.diff_sort_indexed(indices, row, softmax) for row in x])


def _ott(n: int, temperature: float) -> Function:
    from ott.tools import soft_sort

    return lambda x: soft_sort.sort(x, axis=-1, epsilon=temperature)


DIFFERENTIABLE_SORTING = Peer(
    "differentiable_sorting", "bitonic", "numpy", _differentiable_sorting, alike=False
)
OTT = Peer("ott", "soft_sort", "jax", _ott, tolerance=1e-2)

ROWS: Mapping[str, Row] = types.MappingProxyType(
    {
        "odd_even": Row("distribution=logistic", (diffsort("odd_even"),)),
        "bitonic": Row(
            "distribution=logistic",
            (diffsort("bitonic"), softjax("sorting_network"), DIFFERENTIABLE_SORTING),
        ),
        "odd_even_merge": Row(
            "distribution=logistic",
            (
                diffsort("bitonic", alike=False),
                softjax("sorting_network", alike=False),
                DIFFERENTIABLE_SORTING,
            ),
        ),
        # softjax puts a smooth function in place of the absolute values.
        "neuralsort": Row("", (softjax("neuralsort", alike=False),)),
        "softsort": Row("", (softjax("softsort"),)),
        # softjax's anchors are 1 / (n - 1) apart, the paper's are 1 apart.
        "permutahedron": Row(
            "",
            (
                softjax(
                    "fast_soft_sort",
                    permutation=False,
                    mode="c0",
                    softness=lambda n, temperature: temperature / (n - 1),
                ),
            ),
        ),
        "sinkhorn": Row("", (softjax("ot", standardize=True, tolerance=1e-4), OTT)),
    }
)
"""Operators by registered name; one that is not here has no peer."""
