# SPDX-License-Identifier: Apache-2.0
"""The convolutional network that reads a number: picture in, one score out."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from experiments.four_digits.convolution import conv_pool

KERNEL = 5
HIDDEN = 64
NOISE_SCALE_BOUND = 6.0  # of its logarithm, either way


def uniform_fan_in(fan_in: int) -> hk.initializers.Initializer:
    """U(±1/sqrt(fan_in)) for weights and biases: PyTorch's default, so that of the reference."""
    limit = 1.0 / math.sqrt(fan_in)
    return hk.initializers.RandomUniform(-limit, limit)


class ConvPool(hk.Module):
    """A 5×5 convolution, 2×2 max-pooling and ReLU; parameters as in `hk.Conv2D`."""

    def __init__(self, features: int, precision: str | None = None, name: str | None = None):
        super().__init__(name=name)
        self.features, self.precision = features, precision

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[batch, height, width, channels]` to `[batch, height/2, width/2, features]`."""
        channels = images.shape[-1]
        init = uniform_fan_in(KERNEL * KERNEL * channels)
        kernel = hk.get_parameter("w", [KERNEL, KERNEL, channels, self.features], init=init)
        bias = hk.get_parameter("b", [self.features], init=init)
        return conv_pool(images, kernel, bias, precision=self.precision)


class Reading(NamedTuple):
    """The outputs of a network for pictures `[...]`.

    Attributes:
      scores: `[...]`.
      noise_scales: `[...]`, of the noise on each score; None where it does not say.
    """

    scores: jax.Array
    noise_scales: jax.Array | None


class NumberReader(hk.Module):
    """Two 5×5 convolutions with ReLU and 2×2 max-pooling, a layer of 64 units, one score.

    With noise scales there is a second output beside the score. The convolutions are of a precision
    of `convolution.PRECISIONS`, all else is float32.
    """

    def __init__(
        self,
        channels: Sequence[int],
        noise_scales: bool = False,
        precision: str = "float32",
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.channels, self.noise_scales = tuple(channels), noise_scales
        self.precision = precision

    def __call__(self, images: jax.Array) -> Reading:
        """Reads pictures `[..., height, width, channels]`."""
        hidden = images.reshape(-1, *images.shape[-3:])
        for features in self.channels:
            hidden = ConvPool(features, self.precision)(hidden)
        with jax.default_matmul_precision("float32"):
            read = dense_layers(hidden.reshape(hidden.shape[0], -1), self.noise_scales)
        return jax.tree.map(lambda each: each.reshape(images.shape[:-3]), read)


def dense_layers(features: jax.Array, noise_scales: bool = False) -> Reading:
    """Reads features `[batch, k]`; inside a Haiku function."""
    hidden = jax.nn.relu(linear(HIDDEN, features.shape[-1], "hidden")(features))
    scores = linear(1, HIDDEN, "score")(hidden)[..., 0]
    if not noise_scales:
        return Reading(scores, None)
    logs = linear(1, HIDDEN, "noise_scale")(hidden)[..., 0]
    return Reading(scores, jnp.exp(NOISE_SCALE_BOUND * jnp.tanh(logs / NOISE_SCALE_BOUND)))


def linear(features: int, fan_in: int, name: str) -> hk.Linear:
    """A dense layer with PyTorch's initial distribution."""
    init = uniform_fan_in(fan_in)
    return hk.Linear(features, w_init=init, b_init=init, name=name)


def number_reader(
    channels: Sequence[int], noise_scales: bool = False, precision: str = "float32"
) -> hk.Transformed:
    """Returns the pure functions `init(key, images)` and `apply(params, images) -> Reading`."""

    def forward(images: jax.Array) -> Reading:
        return NumberReader(channels, noise_scales, precision)(jnp.asarray(images))

    return hk.without_apply_rng(hk.transform(forward))
