# SPDX-License-Identifier: Apache-2.0
"""Numbers drawn from single digits, inside a jitted step."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from experiments.common.datasets import Split

DIGITS = 4
"""Digits of a number."""

RESOLUTIONS = {"full": 1, "half": 2}
"""How many pixels are averaged into one, along each side."""


def picture_shape(split: Split, resolution: str) -> tuple[int, int, int]:
    """Gives height, width and channels of the picture of a number."""
    height, width, channels = split.images.shape[1:]
    block = RESOLUTIONS[resolution]
    return height // block, DIGITS * (width // block), channels


def draw(
    key: jax.Array, split: Split, lists: int, n: int, resolution: str = "full"
) -> tuple[jax.Array, jax.Array]:
    """Draws lists of numbers, digit by digit and with replacement, so equal numbers can occur.

    Args:
      key: Randomness.
      split: The digits to draw from.
      lists: How many lists.
      n: Numbers in a list.
      resolution: One of `RESOLUTIONS`; "half" averages 2×2 pixels.

    Returns:
      Pictures `[lists, n, height, DIGITS * width, channels]` from 0 to 1 with the digits side by
      side, and the numbers `[lists, n]`, int32.
    """
    rows = jax.random.randint(key, (lists, n, DIGITS), 0, split.labels.shape[0])
    numbers = split.labels[rows] @ 10 ** jnp.arange(DIGITS - 1, -1, -1)
    pixels = split.images[rows].astype(jnp.float32)  # [lists, n, digit, height, width, channels]
    block = RESOLUTIONS[resolution]
    # Integers, so their sum is exact; XLA's mean over blocks takes seven times as long.
    members = [pixels[..., i::block, j::block, :] for i in range(block) for j in range(block)]
    digits = functools.reduce(jnp.add, members) / (255 * block**2)
    pictures = jnp.moveaxis(digits, 2, 3)  # [lists, n, height, digit, width, channels]
    pictures = pictures.reshape(lists, n, *picture_shape(split, resolution))
    # Else XLA draws each pixel again for every patch that it is part of.
    return lax.optimization_barrier(pictures), numbers
