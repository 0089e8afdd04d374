# SPDX-License-Identifier: Apache-2.0
"""The methods that a script compares: operators, as the command line writes them."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax

from arlsort import operators
from arlsort.operators import base
from experiments.common import identities
from experiments.common.command_line import FlagError, refused


@dataclasses.dataclass(frozen=True)
class Method:
    """What a network is trained by.

    Attributes:
      spec: How the command line writes it.
      operator: What makes it soft; None for a network without one.
    """

    spec: str
    operator: base.Operator | None

    @classmethod
    def of(cls, spec: str) -> "Method":
        """Reads a method; raises FlagError if there is no such operator."""
        try:
            return cls(spec, operators.parse(spec))
        except (TypeError, ValueError) as error:
            raise FlagError(f"--operators: {error}") from None

    def heated(self, temperature: float) -> "Method":
        """The same at another temperature."""
        assert self.operator is not None
        name, _, kept = without_temperature(self.spec).partition(":")
        spec = f"{name}:{','.join(filter(None, [f'temperature={temperature:g}', kept]))}"
        return Method(spec, dataclasses.replace(self.operator, temperature=temperature))  # type: ignore[call-arg]

    @property
    def has_temperature(self) -> bool:
        """Whether there is one to search for."""
        return self.operator is not None and hasattr(self.operator, "temperature")

    @property
    def essence(self) -> Any:
        """What it is, however it is written."""
        return self.spec if self.operator is None else identities.fields(self.spec, self.operator)

    @property
    def weights(self) -> str | None:
        """The SHA-256 of the trained weights of an operator that has any."""
        return identities.weights(self.operator)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that tells it from others, as JSON can hold it."""
        return {
            "method": self.spec,
            "operator": identities.fields(self.spec, self.operator),
            "weights": self.weights,
        }


def without_temperature(spec: str) -> str:
    """Leaves the temperature out of a method's text.

    Example:
      >>> without_temperature("neuralsort:temperature=1,stochastic=true")
      'neuralsort:stochastic=true'
    """
    name, _, settings = spec.partition(":")
    kept = [s for s in settings.split(",") if s and not s.startswith("temperature=")]
    return ":".join(filter(None, [name, ",".join(kept)]))


def of_earlier_weights(records: Iterable[Mapping[str, Any]]) -> str:
    """Says which methods of a report had other weights than those that are shipped now.

    Args:
      records: Each has its `method`, and its `weights` if they were noted.

    Returns:
      A sentence; empty if there are none.
    """
    return identities.of_earlier_weights(
        (record["method"], record.get("weights"), Method.of(record["method"]).weights)
        for record in records
        if record["method"].partition(":")[0] in operators.names()  # else a baseline
    )


def read_specs(given: Iterable[str]) -> list[str]:
    """Splits lists of methods at semicolons, spaces and commas.

    A comma also separates the hyperparameters of one operator: what follows it belongs to the
    operator before if it is of the form `name=value`. Spaces beside a comma do not count.

    Args:
      given: E.g. `["learned,odd_even:distribution=logistic, temperature=0.1", "softsort"]`.

    Returns:
      One string a method.

    Example:
      >>> read_specs(["learned, odd_even:distribution=logistic,temperature=0.1; softsort@rows"])
      ['learned', 'odd_even:distribution=logistic,temperature=0.1', 'softsort@rows']
    """
    specs: list[str] = []
    for text in given:
        for group in re.split(r"[;\s]+", re.sub(r"\s*,\s*", ",", text)):
            start = len(specs)
            for part in filter(None, group.split(",")):
                if len(specs) > start and re.match(r"[^:=]+=", part):
                    specs[-1] += f",{part}"
                else:
                    specs.append(part)
    return specs


def check_distinct(flag: str, methods: Iterable[tuple[str, Any]]) -> None:
    """Refuses methods of which two are the same, however they are written, with a FlagError.

    Args:
      flag: Where they come from.
      methods: Of each how it is written, and everything that tells it from others.
    """
    for (one, this), (other, that) in itertools.combinations(methods, 2):
        if this == that:
            received = f"{one} twice" if one == other else f"{one} and {other}, which are the same"
            raise refused(flag, received, "each once")


def check_methods(methods: Sequence[Method], use: Callable[[Any], Any]) -> None:
    """Refuses methods before anything is trained, by tracing a use of their operators alone.

    Args:
      methods: What is compared.
      use: What is done with an operator, a function of it.

    Raises:
      FlagError: If one is there twice, or its operator refuses such a use.
    """
    check_distinct("operators", ((each.spec, each.essence) for each in methods))
    for method in methods:
        operator = method.operator
        if operator is None:
            continue
        if operator.needs_key:
            operator = dataclasses.replace(operator, key=jax.random.key(0))  # type: ignore[call-arg]
        try:
            jax.eval_shape(functools.partial(use, operator))
        except (TypeError, ValueError) as error:
            raise FlagError(f"--operators: {method.spec}: {error}") from None
