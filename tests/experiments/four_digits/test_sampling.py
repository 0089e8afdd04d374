# SPDX-License-Identifier: Apache-2.0
"""Numbers are what their pictures show, drawn with replacement."""

import jax
import numpy as np
import pytest

from experiments.common.datasets import Split
from experiments.four_digits import sampling


@pytest.fixture(scope="module")
def split() -> Split:
    """Twenty pictures of 4×6 pixels that differ everywhere; the digit shown is the row mod 10."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 4, 6, 1)).astype(np.uint8)
    return Split(images, (np.arange(20) % 10).astype(np.int32))


@pytest.mark.parametrize("resolution", sampling.RESOLUTIONS)
def test_pictures_show_the_numbers(split, resolution):
    pictures, numbers = sampling.draw(jax.random.key(0), split, 5, 3, resolution)
    block = sampling.RESOLUTIONS[resolution]
    height, width = 4 // block, 6 // block
    shape = sampling.picture_shape(split, resolution)
    assert shape == (height, 4 * width, 1)
    assert pictures.shape == (5, 3, *shape)
    small = split.images.reshape(20, height, block, width, block, 1).mean((2, 4)) / 255
    for i in range(5):
        for k in range(3):
            read = 0
            for digit in range(4):
                seen = pictures[i, k, :, digit * width : (digit + 1) * width]
                distance = np.abs(small - np.asarray(seen)).max((1, 2, 3))
                assert distance.min() < 1e-6
                read = 10 * read + int(split.labels[distance.argmin()])
            assert read == int(numbers[i, k])


def test_digits_are_drawn_with_replacement(split):
    _, numbers = sampling.draw(jax.random.key(1), split, 200, 5)
    digits = np.asarray(numbers)[..., None] // 10 ** np.arange(4) % 10
    same = (digits[..., :1] == digits[..., 1:2]).mean()
    assert 0.05 < same < 0.15  # a tenth, as for independent draws


def test_equal_numbers_can_occur(split):
    one = Split(split.images[:1], split.labels[:1])
    _, numbers = sampling.draw(jax.random.key(0), one, 2, 3)
    np.testing.assert_array_equal(numbers, np.zeros((2, 3)))


def test_same_key_draws_the_same(split):
    first, second = (sampling.draw(jax.random.key(3), split, 2, 3) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    other = sampling.draw(jax.random.key(4), split, 2, 3)
    assert (np.asarray(first[1]) != np.asarray(other[1])).any()
