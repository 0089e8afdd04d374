# SPDX-License-Identifier: Apache-2.0
"""The methods that a script compares: operators, as the command line writes them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from arlsort import operators
from arlsort.operators import base
from experiments.common import identities
from experiments.common.command_line import FlagError, check_once


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
        name, _, settings = self.spec.partition(":")
        kept = [s for s in settings.split(",") if s and not s.startswith("temperature=")]
        spec = f"{name}:{','.join([f'temperature={temperature:g}', *kept])}"
        return Method(spec, dataclasses.replace(self.operator, temperature=temperature))  # type: ignore[call-arg]

    @property
    def has_temperature(self) -> bool:
        """Whether there is one to search for."""
        return self.operator is not None and hasattr(self.operator, "temperature")

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that tells it from others, as JSON can hold it."""
        return {
            "method": self.spec,
            "operator": identities.fields(self.spec, self.operator),
            "weights": identities.weights(self.operator),
        }


def read_specs(given: Sequence[str]) -> list[str]:
    """Splits lists of operators at the commas that are between two of them.

    Example:
      >>> read_specs(["lapsum,neuralsort:temperature=2,stochastic=true"])
      ['lapsum', 'neuralsort:temperature=2,stochastic=true']
    """
    specs: list[str] = []
    for text in given:
        for part in filter(None, text.split(",")):
            if specs and "=" in part and ":" not in part:
                specs[-1] += f",{part}"
            else:
                specs.append(part)
    return specs


def check_methods(methods: Sequence[Method], use: Callable[[Any], Any]) -> None:
    """Refuses methods before anything is trained, by tracing a use of their operators alone.

    Args:
      methods: What is compared.
      use: What is done with an operator, a function of it.

    Raises:
      FlagError: If one is there twice, or its operator refuses such a use.
    """
    check_once("operators", (method.spec for method in methods))
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
