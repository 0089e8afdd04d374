# SPDX-License-Identifier: Apache-2.0
"""The layer written for speed is Haiku's convolution, ReLU and max-pooling."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.four_digits import convolution, narrow

# Sums of up to 5 * 5 * 16 products of order one, in float32, in another order.
ATOL = 1e-5


def reference(images, kernel, bias):
    def forward(images):
        hidden = hk.Conv2D(kernel.shape[-1], kernel.shape[0], name="conv")(images)
        return hk.max_pool(jax.nn.relu(hidden), (2, 2, 1), (2, 2, 1), "VALID")

    module = hk.without_apply_rng(hk.transform(forward))
    with jax.numpy_rank_promotion("allow"):
        return jax.jit(module.apply)({"conv": {"w": kernel, "b": bias}}, images)


def arguments(batch, height, width, channels, features):
    keys = jax.random.split(jax.random.key(0), 3)
    return (
        jax.random.normal(keys[0], (batch, height, width, channels)),
        jax.random.normal(keys[1], (5, 5, channels, features)) / 5 / channels**0.5,
        jax.random.normal(keys[2], (features,)),
    )


# Few channels are convolved by patches, 16 in slices: below, at and above one slice of the batch.
# Of odd sizes pooling drops the last row and column.
SIZES = [
    (3, 8, 12, 1, 4),
    (2, 7, 5, 3, 4),
    (3, 8, 12, 16, 4),
    (50, 4, 6, 16, 3),
    (121, 5, 7, 16, 3),
]


@pytest.mark.parametrize("size", SIZES)
def test_layer_is_haikus(size):
    images, kernel, bias = arguments(*size)
    ours = jax.jit(convolution.conv_pool)(images, kernel, bias)
    np.testing.assert_allclose(ours, reference(images, kernel, bias), atol=ATOL)


@pytest.mark.parametrize("size", SIZES)
def test_gradient_is_haikus(size):
    args = arguments(*size)
    weights = jax.random.normal(jax.random.key(1), jax.eval_shape(reference, *args).shape)

    def gradients(layer):
        return jax.jit(jax.grad(lambda *a: (weights * layer(*a)).sum() / 10, (0, 1, 2)))(*args)

    for ours, theirs in zip(gradients(convolution.conv_pool), gradients(reference), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=ATOL * max(1, float(jnp.abs(theirs).max())))


@pytest.mark.parametrize("size", SIZES)
def test_layer_of_other_devices_is_the_same(size, monkeypatch):
    args = arguments(*size)
    ours = jax.jit(convolution.conv_pool)(*args)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    np.testing.assert_allclose(
        jax.jit(lambda *a: convolution.conv_pool(*a))(*args), ours, atol=ATOL
    )


def test_equal_maxima_share_the_gradient():
    images, kernel, bias = jnp.zeros((1, 2, 2, 1)), jnp.zeros((5, 5, 1, 1)), jnp.ones(1)
    gradient = jax.grad(lambda b: convolution.conv_pool(images, kernel, b).sum())(bias)
    np.testing.assert_allclose(gradient, [1.0])


@pytest.mark.parametrize(("precision", "bits"), [("tensorfloat32", 10), ("bfloat16", 7)])
@pytest.mark.parametrize("channels", [1, 16])
def test_narrow_factors_are_those_rounded_before(precision, bits, channels):
    images, kernel, bias = arguments(2, 6, 6, channels, 3)
    narrow = convolution.conv_pool(images, kernel, bias * 0, precision=precision)
    rounded = (jax.lax.reduce_precision(x, 8, bits) for x in (images, kernel))
    wide = convolution.conv_pool(*rounded, bias * 0)
    exact = convolution.conv_pool(images, kernel, bias * 0)
    if precision == "bfloat16":
        wide = jax.lax.reduce_precision(wide, 8, bits)
    np.testing.assert_allclose(narrow, wide, atol=ATOL)
    assert 10 * ATOL < float(jnp.abs(narrow - exact).max()) < 2.0 ** (2 - bits)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("size", [(1, 6, 6, 1, 1), (5, 7, 10, 3, 2), (5, 8, 7, 8, 2)])
def test_bfloat16_differs_from_float32_by_rounding_alone(size, padded, monkeypatch):
    # Slices of two of the five images; more rows than columns and fewer in the kernel's gradient.
    monkeypatch.setattr(narrow, "_SLICE", 2)
    images, kernel, bias = (_short(x) for x in arguments(*size))

    def of(precision):
        def layer(images, kernel, bias):
            out = convolution.conv_pool(images, kernel, bias, padded, precision)
            return (out**2).sum(), out

        return jax.jit(jax.grad(layer, (0, 1, 2), has_aux=True))(images, kernel, bias)

    for found, expected in zip(
        *(jax.tree.leaves(of(name)) for name in ("bfloat16", "float32")), strict=True
    ):
        scale = float(jnp.abs(expected).max())
        # Two roundings to 8 bits, and what they make of near ties of the maximum.
        assert float(jnp.abs(found - expected).mean()) < 0.01 * scale
        assert float(jnp.abs(found - expected).max()) < 0.2 * scale


# The last three leave no pixel after pooling: no row, no column, neither.
@pytest.mark.parametrize("size", [(2, 6, 6), (0, 6, 6), (2, 5, 7), (2, 6, 5), (2, 5, 4)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_bfloat16_has_the_shapes_and_dtypes_of_float32(size, dtype):
    args = [x.astype(dtype) for x in arguments(*size, 1, 2)]

    def of(precision):
        def layer(*args):
            out = convolution.conv_pool(*args, padded=False, precision=precision)
            return out.sum(), out

        return jax.eval_shape(jax.grad(layer, (0, 1, 2), has_aux=True), *args)

    found, expected = jax.tree.leaves(of("bfloat16")), jax.tree.leaves(of("float32"))
    assert [(x.shape, x.dtype) for x in found] == [(x.shape, x.dtype) for x in expected]
    assert [x.dtype for x in found] == [dtype] * 4


def test_equal_members_share_the_gradient_of_bfloat16():
    images, kernel, bias = jnp.ones((1, 2, 2, 1)), jnp.zeros((5, 5, 1, 1)), jnp.ones(1)

    def layer(kernel):
        return convolution.conv_pool(images, kernel, bias, precision="bfloat16").sum()

    # Each member sees the four pixels through other taps, and gets a quarter.
    expected = np.zeros((5, 5))
    for a in (0, 1):
        for b in (0, 1):
            expected[2 - a : 4 - a, 2 - b : 4 - b] += 0.25
    gradient = jax.grad(layer)(kernel)[..., 0, 0]
    np.testing.assert_allclose(gradient, expected)


def _short(x):
    return jax.lax.reduce_precision(x, 8, 7)


def test_narrow_gradient_is_that_of_bfloat16():
    images, kernel, bias = arguments(2, 6, 6, 1, 3)

    def outcome(precision):
        def loss(kernel):
            return (convolution.conv_pool(images, kernel, bias, precision=precision) ** 2).sum()

        return jax.grad(loss)(kernel)

    exact, narrow = outcome("float32"), outcome("bfloat16")
    scale = float(jnp.abs(exact).max())
    assert 1e-4 * scale < float(jnp.abs(narrow - exact).max()) < 0.03 * scale
    np.testing.assert_array_equal(narrow, jax.lax.reduce_precision(narrow, 8, 7))
    tensor = outcome("tensorfloat32")
    error = float(jnp.abs(tensor - exact).max())
    assert 1e-6 * scale < error < 0.004 * scale


@pytest.mark.parametrize("precision", convolution.PRECISIONS)
def test_an_accelerator_is_told_the_precision(precision, monkeypatch):
    args = arguments(2, 6, 6, 1, 3)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    program = str(jax.make_jaxpr(lambda *a: convolution.conv_pool(*a, precision=precision))(*args))
    (line,) = (line for line in program.splitlines() if "= conv_general_dilated" in line)
    word = {"float32": "HIGHEST", "tensorfloat32": "HIGH", "bfloat16": ""}[precision]
    assert ("bf16" in line) == (precision == "bfloat16")
    assert word in program
    assert ("HIGHEST" in program) == (precision == "float32")
