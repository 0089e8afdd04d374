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

import functools

import jax
import jax.numpy as jnp
from jax import lax

from experiments.four_digits import narrow

PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
"""What the factors of a convolution may be rounded to; the products are added in float32."""

# Bits of the mantissa, forward and backward, of factors in tensorfloat32; of what comes out, the
# other way around.
_TENSORFLOAT32 = (10, 23)

_LAYOUT = ("NHWC", "HWIO", "NHWC")

# Input channels from which on a convolution beats patches on a CPU.
_MANY = 8

# Images in one slice of the kernel's gradient: the fastest of 25, 50, 100, 250 and 500 at the sizes
# of the experiment.
_SLICE = 50


def conv_pool(
    images: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    padded: bool = True,
    precision: str | None = None,
) -> jax.Array:
    """Computes `max_pool(relu(convolution + bias))`, stride 1 and 2×2 windows.

    Args:
      images: `[batch, height, width, channels]`.
      kernel: `[size, size, channels, features]`, of odd size.
      bias: `[features]`.
      padded: Whether zeros around the images keep their size; else they lose `size - 1` pixels.
      precision: One of `PRECISIONS`, in both directions; None for what JAX does by default on the
        device. A CPU, which has no tensorfloat32, rounds factors to it instead.

    Returns:
      `[batch, height // 2, width // 2, features]` of the height and width after the convolution; an
      odd last row or column is dropped. Where a window has several equal maxima, they share the
      gradient.
    """
    on_cpu = jax.default_backend() == "cpu"
    if on_cpu and precision == "bfloat16":
        return narrow.conv_pool(images, kernel, bias, padded)
    if on_cpu:
        corners = _corners_on_cpu(images, kernel, padded, precision)
    else:
        corners = _corners(_convolve_narrow(images, kernel, padded, precision))
    largest = jnp.maximum(jnp.maximum(*corners[:2]), jnp.maximum(*corners[2:]))
    return jax.nn.relu(largest + bias[None, None, None])


def _corners_on_cpu(
    images: jax.Array, kernel: jax.Array, padded: bool, precision: str | None
) -> list[jax.Array]:
    narrow_factors = precision == "tensorfloat32"
    if narrow_factors:
        images, kernel = (_rounded(factor, *_TENSORFLOAT32) for factor in (images, kernel))
    if images.shape[-1] < _MANY:
        corners = _corners_by_patches(images, kernel, padded)
    else:
        corners = _corners(_convolve_sliced(images, kernel, padded))
    if narrow_factors:
        corners = [_rounded(corner, *reversed(_TENSORFLOAT32)) for corner in corners]
    return corners


def _convolve_narrow(
    images: jax.Array, kernel: jax.Array, padded: bool, precision: str | None
) -> jax.Array:
    if precision == "bfloat16":
        rounded = _convolve(images.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16), padded)
        return rounded.astype(images.dtype)
    with jax.default_matmul_precision(precision):
        return _convolve(images, kernel, padded)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _rounded(x: jax.Array, forward: int, backward: int) -> jax.Array:
    """Rounds the mantissa of `x` to so many bits, and that of its gradient to others."""
    return lax.reduce_precision(x, 8, forward)


_rounded.defvjp(
    lambda x, forward, backward: (_rounded(x, forward, backward), None),
    lambda forward, backward, _, cotangent: (lax.reduce_precision(cotangent, 8, backward),),
)


def _corners(features: jax.Array) -> list[jax.Array]:
    """Gives the four members of every 2×2 window, each `[batch, height // 2, width // 2, f]`."""
    height, width = features.shape[1] // 2 * 2, features.shape[2] // 2 * 2
    return [features[:, a:height:2, b:width:2] for a in (0, 1) for b in (0, 1)]


def _corners_by_patches(images: jax.Array, kernel: jax.Array, padded: bool) -> list[jax.Array]:
    """Gives the same of the convolution of `images`, as four products of matrices."""
    size, features = kernel.shape[0], kernel.shape[-1]
    if padded:
        margin = (size // 2, size // 2)
        images = jnp.pad(images, ((0, 0), margin, margin, (0, 0)))
    batch, height, width, channels = images.shape
    height, width = height - size + 1, width - size + 1  # after the convolution
    weights = kernel.reshape(size * size * channels, features)

    def corner(a: int, b: int) -> jax.Array:
        patches = [
            images[:, i : i + height // 2 * 2 : 2, j : j + width // 2 * 2 : 2]
            for i in range(a, a + size)
            for j in range(b, b + size)
        ]
        rows = jnp.concatenate(patches, axis=-1).reshape(-1, size * size * channels)
        return (rows @ weights).reshape(batch, height // 2, width // 2, features)

    return [corner(a, b) for a in (0, 1) for b in (0, 1)]


def _convolve(images: jax.Array, kernel: jax.Array, padded: bool) -> jax.Array:
    margin = "SAME" if padded else "VALID"
    return lax.conv_general_dilated(images, kernel, (1, 1), margin, dimension_numbers=_LAYOUT)


_convolve_sliced = jax.custom_vjp(_convolve, nondiff_argnums=(2,))


def _forward(
    images: jax.Array, kernel: jax.Array, padded: bool
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolve(images, kernel, padded), (images, kernel)


def _backward(
    padded: bool, residuals: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    images, kernel = residuals
    (to_images,) = jax.linear_transpose(lambda x: _convolve(x, kernel, padded), images)(cotangent)
    to_kernel = jnp.zeros_like(kernel)
    for start in range(0, images.shape[0], _SLICE):
        part = images[start : start + _SLICE]
        convolve = functools.partial(_convolve, part, padded=padded)
        transpose = jax.linear_transpose(convolve, kernel)
        to_kernel += transpose(cotangent[start : start + _SLICE])[0]
    return to_images, to_kernel


_convolve_sliced.defvjp(_forward, _backward)
