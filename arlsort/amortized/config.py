# SPDX-License-Identifier: Apache-2.0
"""The frozen configurations of an amortised sort: its network and its training."""

import dataclasses
from typing import Final

from arlsort.checks import check_not_negative, check_training, error_message, one_of

NOISES: Final = ("gaussian", "cauchy")
LARGEST: Final = {"levels": 4096, "width": 4096, "balancing_rounds": 100}


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """The network: for each element a few bumps over places, one at each level of its noise.

    Attributes:
      levels: Number of levels above zero; there are as many below.
      width: Width of the small network that shapes the bumps.
      balancing_rounds: Rounds of column and row normalisation of the weights.
    """

    levels: int = 8
    width: int = 16
    balancing_rounds: int = 6

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            most = LARGEST[field.name]
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(error_message(field.name, value, f"an int from 1 to {most}"))


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How an amortised sort is trained.

    The target of each list is the mean permutation of its noisy scores, by integration, so targets
    have no sampling noise.

    Attributes:
      noise: Law of the noise, `"gaussian"` or `"cauchy"`.
      lengths: List lengths, visited in turn.
      batch_size: Most lists per step.
      pairs_per_batch: A step takes fewer lists where `lists * n * n` would exceed this, but at
        least 8.
      steps: Optimiser steps.
      learning_rate: Peak of the cosine schedule.
      warmup_steps: Linear warm-up before it.
      grad_clip: Clip of the gradient's global norm.
      ema_decay: Decay of the averaged weights, which are the ones kept.
      value_weight: Weight of the squared error of the soft values, as a share of the range of the
        list and summed over its places, beside the Kullback-Leibler distance.
      change_weight: Weight of the squared error of the derivative in a random direction, as a share
        of its square.
      longest_change: Lists longer than this leave out that error, which costs most of the time.
      nodes: Points of the integrals; None for those of `arlsort.numerics.mean_permutation`.
      min_spread, max_spread: Lists have a size drawn log-uniformly between these.
      scaled_share: Share of the lists with a noise scale for each score.
      noise_scale_spread: The largest standard deviation, within a list, of their logarithms.
      seed: Of parameters and data.
    """

    noise: str = "gaussian"
    lengths: tuple[int, ...] = (2, 3, 5, 8, 12, 16, 24, 40, 64)
    batch_size: int = 64
    pairs_per_batch: int = 8192
    steps: int = 16000
    learning_rate: float = 3e-3
    warmup_steps: int = 200
    grad_clip: float = 1.0
    ema_decay: float = 0.998
    value_weight: float = 3.0
    change_weight: float = 0.5
    longest_change: int = 24
    nodes: int | None = None
    min_spread: float = 0.5
    max_spread: float = 20000.0
    scaled_share: float = 0.4
    noise_scale_spread: float = 1.2
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", tuple(self.lengths))  # a list could not be hashed
        if self.noise not in NOISES:
            raise ValueError(error_message("noise", repr(self.noise), one_of(NOISES)))
        check_training(self)
        for field in ("batch_size", "pairs_per_batch", "steps", "longest_change", "nodes"):
            if field == "nodes" and self.nodes is None:
                continue
            value = getattr(self, field)
            if type(value) is not int or value < 1:
                raise ValueError(error_message(field, value, "an int >= 1"))
        for field in ("value_weight", "change_weight"):
            check_not_negative(field, getattr(self, field))
        if not 0 <= self.scaled_share <= 1:
            raise ValueError(error_message("scaled_share", self.scaled_share, "in [0, 1]"))

    def length(self, step: int) -> int:
        """Length of the lists of a step, counted from 0."""
        return self.lengths[step % len(self.lengths)]

    def lists(self, n: int) -> int:
        """Number of lists of length `n` in a step."""
        return min(self.batch_size, max(8, self.pairs_per_batch // (n * n)))
