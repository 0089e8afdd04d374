# SPDX-License-Identifier: Apache-2.0
"""Convolution, 2×2 max-pooling and ReLU as one layer: the cost of the four-digit experiment.

The layer equals `hk.Conv2D`, `jax.nn.relu` and `hk.max_pool` in a row, in values and gradient. It
is written differently because of XLA's CPU backend:

* its gradient of `reduce_window` is slow, so the maximum is taken over four arrays, and bias and
  ReLU, which commute with the maximum, come after it, on a quarter of the data;
* its convolution of few channels is slow, so there each of the four is a matrix of patches times
  the kernel;
* its gradient of a convolution for the kernel slows down as the batch outgrows the cache, so that
  gradient is summed over slices of the batch;
* it runs any convolution inside a loop at a fraction of its speed (see `training.train`).
"""

import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")

# Input channels from which on a convolution beats patches on a CPU.
_MANY = 8

# Images in one slice of the kernel's gradient: the fastest of 25, 50, 100, 250 and 500 at the sizes
# of the experiment.
_SLICE = 50


def conv_pool(images: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Computes `max_pool(relu(convolution + bias))` with zero padding, stride 1 and 2×2 windows.

    Args:
      images: `[batch, height, width, channels]`.
      kernel: `[size, size, channels, features]`, of odd size.
      bias: `[features]`.

    Returns:
      `[batch, height // 2, width // 2, features]`; an odd last row or column is dropped. Where a
      window has several equal maxima, they share the gradient.
    """
    on_cpu = jax.default_backend() == "cpu"
    if on_cpu and images.shape[-1] < _MANY:
        corners = _corners_by_patches(images, kernel)
    else:
        corners = _corners(
            _convolve_sliced(images, kernel) if on_cpu else _convolve(images, kernel)
        )
    largest = jnp.maximum(jnp.maximum(*corners[:2]), jnp.maximum(*corners[2:]))
    return jax.nn.relu(largest + bias[None, None, None])


def _corners(features: jax.Array) -> list[jax.Array]:
    """Gives the four members of every 2×2 window, each `[batch, height // 2, width // 2, f]`."""
    height, width = features.shape[1] // 2 * 2, features.shape[2] // 2 * 2
    return [features[:, a:height:2, b:width:2] for a in (0, 1) for b in (0, 1)]


def _corners_by_patches(images: jax.Array, kernel: jax.Array) -> list[jax.Array]:
    """Gives the same of the convolution of `images`, as four products of matrices."""
    batch, height, width, channels = images.shape
    size, features = kernel.shape[0], kernel.shape[-1]
    margin = (size // 2, size // 2)
    padded = jnp.pad(images, ((0, 0), margin, margin, (0, 0)))
    weights = kernel.reshape(size * size * channels, features)

    def corner(a: int, b: int) -> jax.Array:
        patches = [
            padded[:, i : i + height // 2 * 2 : 2, j : j + width // 2 * 2 : 2]
            for i in range(a, a + size)
            for j in range(b, b + size)
        ]
        rows = jnp.concatenate(patches, axis=-1).reshape(-1, size * size * channels)
        return (rows @ weights).reshape(batch, height // 2, width // 2, features)

    return [corner(a, b) for a in (0, 1) for b in (0, 1)]


def _convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=_LAYOUT)


_convolve_sliced = jax.custom_vjp(_convolve)


def _forward(images: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolve(images, kernel), (images, kernel)


def _backward(
    residuals: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    images, kernel = residuals
    (to_images,) = jax.linear_transpose(lambda x: _convolve(x, kernel), images)(cotangent)
    to_kernel = jnp.zeros_like(kernel)
    for start in range(0, images.shape[0], _SLICE):
        part = images[start : start + _SLICE]
        transpose = jax.linear_transpose(lambda k, part=part: _convolve(part, k), kernel)
        to_kernel += transpose(cotangent[start : start + _SLICE])[0]
    return to_images, to_kernel


_convolve_sliced.defvjp(_forward, _backward)
