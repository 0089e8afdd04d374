# SPDX-License-Identifier: Apache-2.0
"""Settings of the denoising comparison, and the two protocols that give their defaults."""

import dataclasses
from typing import Any

DATASETS = ("steps", "waves", "eeg")
METHODS = ("none", "total_variation", "optnet", "optnet_tv", "dense", "dense_norm", "convolution")
PROTOCOLS = ("quick", "published")


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on, beside its method and seed.

    Attributes:
      dataset: Of `DATASETS`.
      length: Elements of a series.
      train: Series to learn from. The EEG record has as many windows as it has.
      validation: Series to choose weights and epochs by.
      test: Series to report on.
      batch_size: Series in a step.
      epochs: Passes over the series to learn from.
      optnet_rate: Adam's, of a difference matrix that starts at random.
      optnet_tv_rate: Of one that starts as total variation.
      network_rate: Of the two networks.
    """

    dataset: str = "steps"
    length: int = 50
    train: int = 4000
    validation: int = 500
    test: int = 1000
    batch_size: int = 100
    epochs: int = 10
    optnet_rate: float = 1e-2
    optnet_tv_rate: float = 3e-4
    network_rate: float = 1e-3


# The record has a fifth of the series.
EEG_EPOCHS = 40

DEFAULTS = {
    "quick": Config(),
    # Amos and Kolter, OptNet, ICML 2017, and its authors' code: of 10,000 series the first 9,000 to
    # train; here the last 1,000 of these choose the weight, for which the authors took test series.
    "published": Config(
        length=100,
        train=8000,
        validation=1000,
        test=1000,
        batch_size=150,
        epochs=50,
        optnet_tv_rate=1e-4,
    ),
}


def resolve(protocol: str, given: dict[str, Any]) -> Config:
    """Puts what was asked for over the defaults of a protocol."""
    stated = {name: value for name, value in given.items() if value is not None}
    if (protocol, stated.get("dataset")) == ("quick", "eeg"):
        stated.setdefault("epochs", EEG_EPOCHS)
    return dataclasses.replace(DEFAULTS[protocol], **stated)
