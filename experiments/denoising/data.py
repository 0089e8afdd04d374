# SPDX-License-Identifier: Apache-2.0
"""Series with noise and without: steps, waves, and windows of a real EEG record.

The noise has a standard deviation of 10 throughout, so its mean squared error is 100.
"""

from typing import NamedTuple

import numpy as np

from experiments.denoising.config import Config

NOISE = 10.0
_EEG_SCALE = 20.0  # deviation of the record, in the unit of the noise
_EEG_CHANNELS = 4
_SHARES = (0.6, 0.2)  # of the record in time, to train and to validate
_STRIDE = 2


class Series(NamedTuple):
    """Series `[rows, length]` in float32, as they are observed and as they are."""

    noisy: np.ndarray
    clean: np.ndarray


class Splits(NamedTuple):
    """The three parts of a data set."""

    train: Series
    validation: Series
    test: Series


def load(config: Config, seed: int) -> Splits:
    """Makes a data set; the noise, and what is synthetic, follows from the seed."""
    rng = np.random.default_rng(seed)
    if config.dataset == "eeg":
        parts = _eeg(config)
    else:
        make = {"steps": steps, "waves": waves}[config.dataset]
        counts = (config.train, config.validation, config.test)
        clean = np.stack([make(rng, config.length) for _ in range(sum(counts))])
        parts = np.split(clean, np.cumsum(counts)[:-1])
    return Splits(*(_with_noise(rng, part) for part in parts))


def _with_noise(rng: np.random.Generator, clean: np.ndarray) -> Series:
    noisy = clean + rng.normal(0.0, NOISE, clean.shape)
    return Series(noisy.astype(np.float32), clean.astype(np.float32))


def steps(rng: np.random.Generator, length: int) -> np.ndarray:
    """A series of one to nine constant pieces with heights of 10 to 99, as OptNet's authors."""
    pieces = min(int(rng.integers(1, 10)), length - 1)
    inner = np.sort(rng.choice(length - 2, pieces - 1, replace=False) + 1)
    heights = rng.integers(10, 100, pieces).astype(float)
    return np.repeat(heights, np.diff([0, *inner, length]))


def waves(rng: np.random.Generator, length: int) -> np.ndarray:
    """A series of one to three sinusoids of one to five periods, each of amplitude 10 to 40."""
    time = np.arange(length) / length
    count = rng.integers(1, 4)
    amplitude = rng.uniform(10, 40, (count, 1))
    periods, phase = rng.uniform(1, 5, (count, 1)), rng.uniform(0, 1, (count, 1))
    return (amplitude * np.sin(2 * np.pi * (periods * time + phase))).sum(axis=0)


def _eeg(config: Config) -> list[np.ndarray]:
    """Windows of the four channels that matplotlib ships; none is in two parts."""
    from matplotlib import cbook

    path = cbook.get_sample_data("eeg.dat", asfileobj=False)
    record = np.fromfile(str(path), float).reshape(-1, _EEG_CHANNELS)
    record = _EEG_SCALE * (record - record.mean(axis=0)) / record.std(axis=0)
    ends = np.cumsum([round(share * len(record)) for share in _SHARES])
    return [_windows(part, config.length) for part in np.split(record, ends)]


def _windows(record: np.ndarray, length: int) -> np.ndarray:
    found = np.lib.stride_tricks.sliding_window_view(record, length, axis=0)[::_STRIDE]
    return found.reshape(-1, length)
