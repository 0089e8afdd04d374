# SPDX-License-Identifier: Apache-2.0
"""The settings of a run, and the methods that are compared."""

import dataclasses
import math
from typing import Any

from experiments.common import rates, search
from experiments.common.command_line import refused
from experiments.common.methods import Method
from experiments.neighbours import augmentation, networks

HEAD = Method("linear_head", None)
"""The network with a trained linear layer, by cross-entropy: a baseline and no sort."""

SEARCH_K = (1, 3, 5, 9)
"""As published, Grover et al., ICLR 2019."""

SEARCH = {
    search.TEMPERATURES: (0.3, 1.0, 4.0),
    search.RATES: (0.03, 0.1),
    search.NUMBERS: SEARCH_K,
}
"""For some hundred steps of SGD; published are temperatures of 1, 16 and 64, and rates of 1e-3 to
1e-5 for hundreds of epochs."""

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
      schedule: One of `rates.SCHEDULES`; by "cosine" the rate falls to zero over the steps.
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
    schedule: str = rates.COSINE
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


def identity(config: Config, method: Method, seed: int) -> dict[str, Any]:
    """All that the numbers of a run depend on, as JSON has it."""
    return {**dataclasses.asdict(config), **method.identity, "seed": seed}
