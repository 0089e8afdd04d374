# SPDX-License-Identifier: Apache-2.0
"""Digits are split cleanly, come in the order of their files, and are missed in one line."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from experiments.common import datasets


def test_no_digit_image_is_in_two_splits():
    splits = datasets.load("digits")
    rows = [row.tobytes() for split in splits for row in split.images]
    assert len(rows) == len(set(rows)) == 1797
    for split in splits:
        assert len(split.labels) == len(split.images)
        assert set(split.labels) == set(range(10))


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    known = {
        np.rint(image * 255 / 16).astype(np.uint8).tobytes(): label
        for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    for split in datasets.load("digits"):
        assert split.images.dtype == np.uint8
        for image, label in zip(split.images, split.labels, strict=True):
            assert known[image.tobytes()] == label


def test_shuffle_of_tfds_is_undone():
    rows = np.arange(1000)
    written = sorted(rows, key=lambda row: int(hashlib.md5(f"train{row}".encode()).hexdigest(), 16))
    images = np.array(written)[:, None, None, None]
    split = datasets.in_file_order("train", images, np.array(written) % 10)
    np.testing.assert_array_equal(split.images.ravel(), rows)
    np.testing.assert_array_equal(split.labels, rows % 10)


@pytest.mark.slow
def test_mnist_has_the_published_rows():
    folder = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    if not (folder / "mnist").exists():
        pytest.skip("MNIST is not in TFDS_DATA_DIR")
    splits = datasets.load("mnist")
    assert [len(split.labels) for split in splits] == [55_000, 5_000, 10_000]
    assert splits.train.images.shape[1:] == (28, 28, 1)
    # The first labels of the original files.
    np.testing.assert_array_equal(splits.train.labels[:8], [5, 0, 4, 1, 9, 2, 1, 3])
    np.testing.assert_array_equal(splits.test.labels[:8], [7, 2, 1, 0, 4, 1, 4, 9])


@pytest.mark.parametrize("dataset", datasets.TFDS_NAMES)
def test_missing_data_set_says_what_to_do(dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(datasets.DataError) as raised:
        datasets.load(dataset)
    message = str(raised.value)
    assert "\n" not in message
    for part in (dataset, str(tmp_path), "TFDS_DATA_DIR", "--download"):
        assert part in message


def test_download_without_network_fails_at_once(monkeypatch, tmp_path):
    def unreachable(*args):
        raise OSError

    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(datasets.socket, "getaddrinfo", unreachable)
    with pytest.raises(datasets.DataError, match="no network"):
        datasets.load("mnist", download=True)
