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


def _prepared(name, rows, folder):
    """Writes a small data set as TFDS keeps it; gives pictures and labels of each split."""
    tfds = datasets._import_tfds()
    import tensorflow as tf

    builder = tfds.builder(name, data_dir=folder)
    features, draw = builder.info.features, np.random.default_rng(0)
    written, parts = {}, {}
    for split, count in rows.items():
        images = draw.integers(0, 256, (count, *features["image"].shape), dtype=np.uint8)
        labels = np.arange(count) % features["label"].num_classes
        columns = {"image": images, "label": labels}
        if "id" in features:
            columns["id"] = np.array([f"{split}_{row:05d}" for row in range(count)])
        if "coarse_label" in features:
            columns["coarse_label"] = np.zeros(count, np.int64)
        written[split] = images, labels
        parts[split] = tf.data.Dataset.from_tensor_slices(columns)
    base, _, config = name.partition("/")
    tfds.dataset_builders.store_as_tfds_dataset(
        name=base,
        version=str(builder.version),
        features=features,
        split_datasets=parts,
        config=config or None,
        data_dir=folder,
    )
    return written


@pytest.mark.slow
@pytest.mark.parametrize("dataset", [n for n in datasets.PICTURES if n != datasets.EMBEDDED])
def test_a_folder_of_tfds_is_read_in_the_order_of_its_rows(dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    written = _prepared(dataset, {"train": 26, "test": 7}, tmp_path)
    splits = datasets.load(dataset)
    assert [len(split.labels) for split in splits] == [24, 2, 7]  # of no fixed number of rows
    kept = [np.concatenate(parts) for parts in zip(*splits[:2], strict=True)]
    known = (*written["train"], *written["test"])
    for found, expected in zip((*kept, *splits.test), known, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert splits.train.images.dtype == np.uint8
    assert splits.train.images.shape[-1] == (3 if dataset.startswith("cifar") else 1)


EVERY_NAME = sorted({*datasets.TFDS_NAMES, *datasets.PICTURES} - {datasets.EMBEDDED})


@pytest.mark.parametrize("dataset", EVERY_NAME)
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
