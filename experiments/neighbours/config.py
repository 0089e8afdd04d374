# SPDX-License-Identifier: Apache-2.0
"""The settings of a run, and the methods that are compared."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax

from arlsort import operators
from arlsort.operators import base
from experiments.common import identities
from experiments.common.command_line import FlagError, refused
from experiments.neighbours import augmentation, networks

CONSTANT, COSINE = "constant", "cosine"
SCHEDULES = (CONSTANT, COSINE)

HEAD = "linear_head"
"""The network with a trained linear layer, by cross-entropy: a baseline and no sort."""

SEARCH_K = (1, 3, 5, 9)
"""As published, Grover et al., ICLR 2019."""

SEARCH_TEMPERATURES = (0.3, 1.0, 4.0)
SEARCH_RATES = (0.03, 0.1)
"""For some hundred steps; published are 1, 16 and 64, and 1e-3 to 1e-5 for hundreds of epochs."""

DEFAULT_OPERATORS = (  # as the search on digits found them
    "amortized:temperature=0.3,normalize=false",
    "neuralsort:temperature=1",
    "neuralsort:temperature=0.3,stochastic=true,num_samples=5",
    "bitonic:temperature=1",
    "lapsum:temperature=1",
)


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run's numbers depend on, beside its method and seed.

    Attributes:
      dataset: One of `datasets.DATASETS`.
      network: One of `networks.NETWORKS`.
      features: Width of the embedding.
      augmentation: Of training pictures, one of `augmentation.AUGMENTATIONS`.
      k: Neighbours that a query is judged by, in training and at the end.
      learning_rate: Of SGD.
      schedule: One of `SCHEDULES`; by "cosine" the rate falls to zero over the steps.
      momentum: Of SGD, Nesterov's off.
      weight_decay: What is added of a weight to its gradient.
      steps: Training steps.
      queries, candidates: Pictures in a step; no picture is both.
      eval_every: Steps between validations; the best weights on them are kept.
    """

    dataset: str = "digits"
    network: str = networks.CNN
    features: int = 100
    augmentation: str = augmentation.NONE
    k: int = 3
    learning_rate: float = 0.03
    schedule: str = COSINE
    momentum: float = 0.9
    weight_decay: float = 5e-4
    steps: int = 400
    queries: int = 50
    candidates: int = 40
    eval_every: int = 100

    def check(self) -> None:
        """Raises FlagError, naming the flag, if a setting is not allowed."""
        for name in ("k", "steps", "queries", "candidates", "features", "eval_every"):
            if getattr(self, name) < 1:
                raise refused(name, getattr(self, name), "an integer >= 1")
        if self.k > self.candidates:
            raise refused("k", self.k, f"1 to {self.candidates}, the candidates")
        if self.network == networks.RESNET18 and self.features % networks.NARROWEST:
            allowed = f"a multiple of {networks.NARROWEST}, for {self.network}"
            raise refused("features", self.features, allowed)
        if not 0 < self.learning_rate < math.inf:
            raise refused("learning_rate", self.learning_rate, "a finite number > 0")
        for name in ("momentum", "weight_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise refused(name, getattr(self, name), "a number in [0, 1)")


@dataclasses.dataclass(frozen=True)
class Method:
    """What a network is trained by.

    Attributes:
      spec: How the command line writes it.
      operator: How neighbours are made soft; None for the linear head.
    """

    spec: str
    operator: base.Operator | None

    @classmethod
    def of(cls, spec: str) -> "Method":
        """Reads a method; raises FlagError if there is no such operator."""
        if spec == HEAD:
            return cls(spec, None)
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
    seen = set()
    for method in methods:
        if method.spec in seen:
            raise refused("operators", f"{method.spec} twice", "each once")
        seen.add(method.spec)
        operator = method.operator
        if operator is None:
            continue
        if operator.needs_key:
            operator = dataclasses.replace(operator, key=jax.random.key(0))  # type: ignore[call-arg]
        try:
            jax.eval_shape(functools.partial(use, operator))
        except (TypeError, ValueError) as error:
            raise FlagError(f"--operators: {method.spec}: {error}") from None


def identity(config: Config, method: Method, seed: int) -> dict[str, Any]:
    """All that the numbers of a run depend on, as JSON has it."""
    return {**dataclasses.asdict(config), **method.identity, "seed": seed}
