# SPDX-License-Identifier: Apache-2.0
"""The layer of `convolution` in bfloat16 on a CPU, forward and backward as products of matrices.

XLA's CPU backend multiplies matrices of bfloat16 by the matrix units that some CPUs have, but not
in convolutions. Hence one row of a matrix is what the four members of a 2×2 window see together,
`size + 1` pixels a side, and the kernel stands in its other factor once for each member. Such a row
is a fifth shorter than four rows of patches are, and the members come out side by side.

Factors and results are bfloat16 and sums float32, as on an accelerator.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

# Most images whose patches are made at a time. More would need much memory; fewer are not faster.
_SLICE = 200

_MEMBERS = ((0, 0), (0, 1), (1, 0), (1, 1))

_Padding = tuple[tuple[int, int, int], ...]


class _Sizes(NamedTuple):
    """Height and width of the images and of what is pooled, and sizes of the kernel.

    `blocks` is how many 2×2 blocks a row of the matrix spans along each side.
    """

    height: int
    width: int
    rows: int
    columns: int
    size: int
    channels: int
    features: int
    margin: int

    @classmethod
    def of(cls, images: tuple[int, ...], kernel: tuple[int, ...], padded: bool) -> "_Sizes":
        _, height, width, channels = images
        size, features = kernel[0], kernel[-1]
        lost = 0 if padded else size - 1
        margin = size // 2 if padded else 0
        pooled = (height - lost) // 2, (width - lost) // 2
        return cls(height, width, *pooled, size, channels, features, margin)

    @property
    def blocks(self) -> int:
        return self.size // 2 + 1

    @property
    def padding(self) -> _Padding:
        """What makes images out of whole blocks, those that the pooled windows see."""
        rows, columns = self.rows + self.blocks - 1, self.columns + self.blocks - 1
        below = 2 * rows - self.height - self.margin
        right = 2 * columns - self.width - self.margin
        return (0, 0, 0), (self.margin, below, 0), (self.margin, right, 0), (0, 0, 0)


def conv_pool(images: jax.Array, kernel: jax.Array, bias: jax.Array, padded: bool) -> jax.Array:
    """Computes what `convolution.conv_pool` does with precision "bfloat16"."""
    sizes = _Sizes.of(images.shape, kernel.shape, padded)
    pooled = images.shape[0], max(sizes.rows, 0), max(sizes.columns, 0), sizes.features
    if 0 in pooled:
        return jnp.zeros(pooled, jnp.result_type(images, kernel, bias))
    return _conv_pool(images, kernel, bias, padded)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _conv_pool(images: jax.Array, kernel: jax.Array, bias: jax.Array, padded: bool) -> jax.Array:
    return _forward(images, kernel, bias, padded)[0]


def _forward(
    images: jax.Array, kernel: jax.Array, bias: jax.Array, padded: bool
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    sizes = _Sizes.of(images.shape, kernel.shape, padded)
    weights = _for_members(kernel.astype(jnp.bfloat16)).reshape(-1, 4 * sizes.features)

    def forward(images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        patches = _patches(images, sizes)
        members = patches @ weights
        _, upper, lower = _compared(members)
        pooled = jax.nn.relu(jnp.maximum(upper, lower) + bias[None])
        pooled = pooled.reshape(images.shape[0], sizes.rows, sizes.columns, sizes.features)
        return pooled, patches, members

    pooled, patches, members = _in_slices(forward, _sliced(images.astype(jnp.bfloat16)))
    image = jnp.zeros((0, *images.shape[1:]), images.dtype)  # for its shape and dtype
    found = _joined(pooled, images.shape[0]).astype(jnp.result_type(images, kernel, bias))
    return found, (patches, members, kernel, bias, image)


def _backward(
    padded: bool, residuals: tuple[jax.Array, ...], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    patches, members, kernel, bias, image = residuals
    sizes = _Sizes.of(image.shape, kernel.shape, padded)

    def backward(
        patches: jax.Array, members: jax.Array, cotangent: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        to_pooled = cotangent.reshape(-1, sizes.features)
        (a, b, c, d), upper, lower = _compared(members)
        to_pooled = jnp.where(jnp.maximum(upper, lower) + bias[None] > 0, to_pooled, 0.0)
        to_upper, to_lower = to_pooled * _share(upper, lower), to_pooled * _share(lower, upper)
        shares = (
            *(to_upper * _share(a, b), to_upper * _share(b, a)),
            *(to_lower * _share(c, d), to_lower * _share(d, c)),
        )
        to_members = jnp.concatenate([share.astype(jnp.bfloat16) for share in shares], axis=1)
        to_kernel = _to_kernel(patches, to_members, sizes)
        return _to_images(to_members, kernel, sizes), to_kernel, to_pooled.sum(0)

    parts = _in_slices(backward, patches, members, _sliced(cotangent))
    to_images = _joined(parts[0], cotangent.shape[0]).astype(image.dtype)
    # An accelerator, too, gives the gradient in the precision of the factor.
    to_kernel = parts[1].sum(0).astype(jnp.bfloat16).astype(kernel.dtype)
    return to_images, to_kernel, parts[2].sum(0).astype(bias.dtype)


_conv_pool.defvjp(_forward, _backward)


def _patches(images: jax.Array, sizes: _Sizes) -> jax.Array:
    """What each window's members see, a row each: `[windows, size + 1, size + 1, channels]`."""
    images = lax.pad(images, jnp.zeros((), images.dtype), sizes.padding)
    batch, height, width, channels = images.shape
    pairs = images.reshape(batch, height, width // 2, 2 * channels)  # a memory copy for each
    parts = [
        pairs[:, i : i + 2 * sizes.rows : 2, j : j + sizes.columns]
        for i in range(2 * sizes.blocks)
        for j in range(sizes.blocks)
    ]
    rows = batch * sizes.rows * sizes.columns
    return jnp.concatenate(parts, axis=-1).reshape(rows, -1)


def _for_members(kernel: jax.Array) -> jax.Array:
    """The kernel where each member has it: `[size + 1, size + 1, channels, 4, features]`."""
    moved = [jnp.pad(kernel, ((a, 1 - a), (b, 1 - b), (0, 0), (0, 0))) for a, b in _MEMBERS]
    return jnp.stack(moved, axis=3)


def _compared(members: jax.Array) -> tuple[list[jax.Array], jax.Array, jax.Array]:
    """The members apart, and the larger of each pair, `[windows, features]`, in float32."""
    each = [member.astype(jnp.float32) for member in jnp.split(members, 4, axis=1)]
    return each, jnp.maximum(*each[:2]), jnp.maximum(*each[2:])


def _share(one: jax.Array, other: jax.Array) -> jax.Array:
    """Which part of the gradient of their maximum `one` gets."""
    return jnp.where(one > other, 1.0, jnp.where(one == other, 0.5, 0.0))


def _to_kernel(patches: jax.Array, to_members: jax.Array, sizes: _Sizes) -> jax.Array:
    """The gradient of the kernel, in float32, with the smaller of the two factors transposed."""
    span, size = sizes.size + 1, sizes.size
    if patches.shape[1] < to_members.shape[1]:
        product = _product(_transposed(patches), to_members)
        parts = product.reshape(span, span, sizes.channels, 4, sizes.features)
        each = [parts[a : a + size, b : b + size, :, 2 * a + b] for a, b in _MEMBERS]
        return functools.reduce(jnp.add, each)
    product = _product(_transposed(to_members), patches)
    parts = product.reshape(4, sizes.features, span, span, sizes.channels)
    each = [parts[2 * a + b, :, a : a + size, b : b + size] for a, b in _MEMBERS]
    return functools.reduce(jnp.add, each).transpose(1, 2, 3, 0)


def _to_images(to_members: jax.Array, kernel: jax.Array, sizes: _Sizes) -> jax.Array:
    """The gradient of the images, in bfloat16: added up over the rows that a block is part of."""
    blocks, channels = sizes.blocks, sizes.channels
    weights = _for_members(kernel.astype(jnp.bfloat16))
    weights = weights.reshape(blocks, 2, blocks, 2, channels, 4 * sizes.features)
    weights = weights.transpose(0, 2, 1, 3, 4, 5).reshape(-1, 4 * sizes.features)
    # Not `weights.T`, for which XLA would make both factors float32.
    product = lax.dot_general(
        to_members, weights, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
    )
    parts = product.reshape(-1, sizes.rows, sizes.columns, blocks**2, 4 * channels)
    total: jax.Array | float = 0.0
    for i in range(blocks):
        for j in range(blocks):
            padding = (0, 0, 0), (i, blocks - 1 - i, 0), (j, blocks - 1 - j, 0), (0, 0, 0)
            total += lax.pad(parts[..., i * blocks + j, :], jnp.zeros(()), padding)
    narrow = jnp.asarray(total).astype(jnp.bfloat16)
    batch, rows, columns, _ = narrow.shape
    pixels = narrow.reshape(batch, rows, columns, 2, 2, channels).swapaxes(2, 3)
    pixels = pixels.reshape(batch, 2 * rows, 2 * columns, channels)
    back = tuple((-low, -high, 0) for low, high, _ in sizes.padding)
    return lax.pad(pixels, jnp.zeros((), pixels.dtype), back)


def _product(one: jax.Array, other: jax.Array) -> jax.Array:
    return jnp.matmul(one, other, preferred_element_type=jnp.float32)


def _transposed(matrix: jax.Array) -> jax.Array:
    """Transposes through a third axis: what XLA sees as transposed it does not multiply fast."""
    rows, columns = matrix.shape
    parts = next((d for d in range(2, 65) if rows % d == 0), 1)
    return matrix.reshape(parts, rows // parts, columns).transpose(2, 0, 1).reshape(columns, rows)


def _sliced(batch: jax.Array) -> jax.Array:
    """Cuts a batch into slices of equal length, `[slices, length, ...]`, filled up with zeros."""
    count = max(1, -(-batch.shape[0] // _SLICE))
    length = -(-batch.shape[0] // count)
    fill = (0, count * length - batch.shape[0], 0)
    batch = lax.pad(batch, jnp.zeros((), batch.dtype), (fill, *((0, 0, 0),) * (batch.ndim - 1)))
    return batch.reshape(count, length, *batch.shape[1:])


def _joined(slices: jax.Array, batch: int) -> jax.Array:
    return slices.reshape(-1, *slices.shape[2:])[:batch]


def _in_slices(
    function: Callable[..., tuple[jax.Array, ...]], *slices: jax.Array
) -> tuple[jax.Array, ...]:
    """Applies a function to one slice after another."""
    if slices[0].shape[0] == 1:
        return tuple(part[None] for part in function(*(each[0] for each in slices)))
    return lax.map(lambda each: function(*each), slices)
