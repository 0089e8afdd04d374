# SPDX-License-Identifier: Apache-2.0
"""The convolutional network that reads single digits: picture in, some numbers out."""

from collections.abc import Sequence

import haiku as hk
import jax

from experiments.four_digits.reader import HIDDEN, ConvPool, linear


def digit_reader(channels: Sequence[int], outputs: int) -> hk.Transformed:
    """Two 5×5 convolutions with ReLU and 2×2 max-pooling, a layer of 64 units, and the outputs.

    Args:
      channels: Of the two convolutions.
      outputs: How many numbers to say of a picture.

    Returns:
      `init(key, pictures)` and `apply(params, pictures)`, for `[..., height, width, channels]` to
      `[..., outputs]`.
    """

    def forward(pictures: jax.Array) -> jax.Array:
        hidden = pictures.reshape(-1, *pictures.shape[-3:])
        for features in channels:
            hidden = ConvPool(features)(hidden)
        hidden = hidden.reshape(hidden.shape[0], -1)
        hidden = jax.nn.relu(linear(HIDDEN, hidden.shape[-1], "hidden")(hidden))
        found = linear(outputs, HIDDEN, "outputs")(hidden)
        return found.reshape(*pictures.shape[:-3], outputs)

    return hk.without_apply_rng(hk.transform(forward))
