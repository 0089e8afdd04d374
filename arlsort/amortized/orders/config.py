# SPDX-License-Identifier: Apache-2.0
"""The frozen configurations of the network of orders and its training."""

import dataclasses
import math
from typing import Final

from arlsort.checks import check_count, check_not_negative, check_training, error_message

LARGEST: Final = 4096


@dataclasses.dataclass(frozen=True)
class OrderConfig:
    """The network: a recurrent state along the order, and a reading of it at each score.

    Attributes:
      state: Width of the recurrent state.
      width: Width of the hidden layer that reads it.
    """

    state: int = 64
    width: int = 64

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_count(field.name, value := getattr(self, field.name))
            if value > LARGEST:
                raise ValueError(error_message(field.name, value, f"an int from 1 to {LARGEST}"))


@dataclasses.dataclass(frozen=True)
class OrderTraining:
    """How a network of orders is trained.

    The targets are the log-probabilities of `arlsort.numerics.cauchy_orders`, on a grid three times
    as dense as that of `cauchy_log_likelihood`, and their gradients. They take longer to compute
    than a step. So lists are drawn once, and each step takes some of them.

    Attributes:
      lengths: List lengths, visited in turn.
      lists: How many lists are drawn of each length.
      batch_size: Lists in a step.
      steps: Optimiser steps.
      learning_rate: Peak of the cosine schedule.
      warmup_steps: Linear warm-up before it.
      grad_clip: Clip of the gradient's global norm.
      ema_decay: Decay of the averaged weights, which are the ones kept.
      gradient_weight: Weight of the squared error of the gradients by scores and by the logarithms
        of noise scales, each as a share of its square, beside the squared error of the values.
      wide_share: Share of the orders that come from more noise than the network is told, and so are
        unlikely.
      widest: Largest factor of their noise, drawn log-uniformly.
      min_spread, max_spread: Lists have a size drawn log-uniformly between these.
      scaled_share: Share of the lists with a noise scale for each score.
      noise_scale_spread: The largest standard deviation, within a list, of their logarithms.
      seed: Of parameters and data.
    """

    lengths: tuple[int, ...] = (3, 4, 6, 9, 12, 16, 24, 32)
    lists: int = 16_000
    batch_size: int = 128
    steps: int = 20_000
    learning_rate: float = 4e-3
    warmup_steps: int = 200
    grad_clip: float = 1.0
    ema_decay: float = 0.998
    gradient_weight: float = 0.2
    wide_share: float = 0.4
    widest: float = 300.0
    min_spread: float = 0.5
    max_spread: float = 3000.0
    scaled_share: float = 0.6
    noise_scale_spread: float = 1.5
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", tuple(self.lengths))  # a list could not be hashed
        check_training(self)
        for field in ("lists", "batch_size", "steps"):
            check_count(field, getattr(self, field))
        check_not_negative("gradient_weight", self.gradient_weight)
        for field in ("wide_share", "scaled_share"):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(error_message(field, getattr(self, field), "in [0, 1]"))
        if not 1 <= self.widest < math.inf:
            raise ValueError(error_message("widest", self.widest, "a finite number >= 1"))

    def length(self, step: int) -> int:
        """Length of the lists of a step, counted from 0."""
        return self.lengths[step % len(self.lengths)]
