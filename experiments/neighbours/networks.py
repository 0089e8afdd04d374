# SPDX-License-Identifier: Apache-2.0
"""The networks that embed pictures: a small convolutional one, and a pre-activation ResNet-18."""

import haiku as hk
import jax
import jax.numpy as jnp

from experiments.four_digits.convolution import conv_pool
from experiments.four_digits.reader import KERNEL, linear, uniform_fan_in

CNN, RESNET18 = "cnn", "resnet18"
NETWORKS = (CNN, RESNET18)
CHANNELS = (20, 50)
"""Of the two convolutions of the small network, as published."""

GROUPS = 4
"""Of the ResNet; each is twice as wide as the one before, and the last as wide as the embedding."""

NARROWEST = 2 ** (GROUPS - 1)
"""What the width of a ResNet's embedding is a multiple of."""

_SMALL = 64  # pixels

_BATCH_NORM = {"create_scale": True, "create_offset": True, "decay_rate": 0.9}


def embedder(network: str, features: int, classes: int | None) -> hk.TransformedWithState:
    """Maps pictures to embeddings, or with classes to their logits by a linear head.

    Args:
      network: One of `NETWORKS`.
      features: Width of the embedding; for the ResNet a multiple of eight, 512 as published.
      classes: How many logits; None for the embedding itself.

    Returns:
      `init(key, pictures, training)` and `apply(params, state, None, pictures, training)`, for
      `[batch, height, width, channels]` to `[batch, features]` or `[batch, classes]`. Only the
      ResNet has a state and tells training from judging, for its batch normalisation.
    """

    def forward(pictures: jax.Array, training: bool) -> jax.Array:
        if network == RESNET18:
            found = _resnet(pictures, features, training)
        else:
            found = _cnn(pictures, features)
        if classes is None:
            return found
        return linear(classes, features, "head")(jax.nn.relu(found))

    return hk.transform_with_state(forward)


def _cnn(pictures: jax.Array, features: int) -> jax.Array:
    hidden = pictures
    small = pictures.shape[1] * pictures.shape[2] <= _SMALL
    for place, channels in enumerate(CHANNELS):
        before = hidden.shape[-1]
        init = uniform_fan_in(KERNEL * KERNEL * before)
        shape = [KERNEL, KERNEL, before, channels]
        kernel = hk.get_parameter(f"kernel_{place}", shape, init=init)
        bias = hk.get_parameter(f"bias_{place}", [channels], init=init)
        hidden = (_small_conv_pool if small else _large_conv_pool)(hidden, kernel, bias)
    hidden = hidden.reshape(hidden.shape[0], -1)
    return linear(features, hidden.shape[-1], "embedding")(hidden)


def _large_conv_pool(pictures: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """As published, without a margin."""
    return conv_pool(pictures, kernel, bias, padded=False)


def _small_conv_pool(pictures: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """With a margin of zeros, since little would be left without one; as one product of matrices.

    A CPU takes ten times as long for convolutions of such pictures.
    """
    batch, height, width, _ = pictures.shape
    rows, columns = (_bands(size, kernel.shape[0]) for size in (height, width))
    weights = jnp.einsum("yYa,xXb,abcf->yxcYXf", rows, columns, kernel)
    weights = weights.reshape(pictures[0].size, -1)
    found = (pictures.reshape(batch, -1) @ weights).reshape(batch, height, width, -1)
    windows = found.reshape(batch, height // 2, 2, width // 2, 2, -1)
    return jax.nn.relu(windows.max(axis=(2, 4)) + bias[None, None, None])


def _bands(size: int, kernel: int) -> jax.Array:
    """Which place of a kernel leads from an input to an output: `[input, output, place]`."""
    places = jnp.arange(size)
    steps = places[:, None] - places[None] + kernel // 2
    return jax.nn.one_hot(steps, kernel)


def _resnet(pictures: jax.Array, features: int, training: bool) -> jax.Array:
    """For small pictures: no pooling, and no stride before the second group."""
    widths = [features // 2**back for back in reversed(range(GROUPS))]
    hidden = hk.Conv2D(widths[0], 3, with_bias=False, name="first")(pictures)
    for place, width in enumerate(widths):
        group = hk.nets.ResNet.BlockGroup(
            channels=width,
            num_blocks=2,
            stride=1 if place == 0 else 2,
            bn_config=_BATCH_NORM,
            resnet_v2=True,
            bottleneck=False,
            use_projection=place > 0,
            name=f"group_{place}",
        )
        hidden = group(hidden, training, False)
    return jnp.mean(hidden, axis=(1, 2))
