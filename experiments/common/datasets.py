# SPDX-License-Identifier: Apache-2.0
"""Pictures of single digits and of things: loading and splitting. None is in two splits."""

import hashlib
import os
import socket
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from experiments.common import picture_cache

EMBEDDED = "digits"
TFDS_NAMES = ("mnist", "fashion_mnist", "svhn_cropped")
DATASETS = (EMBEDDED, *TFDS_NAMES)
"""Of which lists of numbers are made."""

PICTURES = (
    EMBEDDED,
    "mnist",
    "fashion_mnist",
    "emnist/mnist",
    "emnist/digits",
    "cifar10",
    "cifar100",
)
"""Of single pictures to classify, by TFDS's names."""

_CLASSES = {"cifar100": 100}

# Of scikit-learn's 1,797 digits.
_DIGITS_VALIDATION = 297
_DIGITS_TEST = 400
_DIGITS_SEED = 0

# The last rows of a training file that are kept for validation: of MNIST's 60,000 the last 5,000,
# as published.
_VALIDATION_SHARE = 12


class DataError(Exception):
    """The data cannot be had; the message is one line that says what to do."""


class Split(NamedTuple):
    """Pictures and what they show.

    Attributes:
      images: `[rows, height, width, channels]`, uint8 from 0 to 255.
      labels: `[rows]`, int32 from 0 to 9, or to 99.
    """

    images: np.ndarray
    labels: np.ndarray


class Splits(NamedTuple):
    """The three disjoint parts of a data set."""

    train: Split
    validation: Split
    test: Split


def classes(dataset: str) -> int:
    """How many classes a data set has."""
    return _CLASSES.get(dataset, 10)


def load(dataset: str, *, download: bool = False) -> Splits:
    """Loads a data set.

    What TFDS has read is kept by `picture_cache`, and read from there without TensorFlow from then
    on: as long as TFDS's folder has the same files, or none of the data set.

    Args:
      dataset: One of `DATASETS` or `PICTURES`.
      download: Whether to fetch a data set that is not there yet, through TFDS.

    Returns:
      Its splits, the same in every process.

    Raises:
      DataError: If the data set is not there, or the download fails.
    """
    return _load_digits() if dataset == EMBEDDED else _load_tfds(dataset, download)


def _load_digits() -> Splits:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images[..., None] * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.int32)
    rows = np.random.default_rng(_DIGITS_SEED).permutation(len(labels))
    test, validation, train = np.split(rows, [_DIGITS_TEST, _DIGITS_TEST + _DIGITS_VALIDATION])
    return Splits(*(Split(images[part], labels[part]) for part in (train, validation, test)))


def _load_tfds(dataset: str, download: bool) -> Splits:
    folder = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    source, damage, path = _source(folder, dataset), "", picture_cache.path_of(dataset)
    try:
        kept = picture_cache.read(dataset, source)
        if kept is None and path.exists():
            damage = (
                f"; {path} is there, but was made of other files than {folder} has: set "
                "TFDS_DATA_DIR to a folder without this data set to take it"
            )
    except picture_cache.CacheError as error:
        kept, damage = None, f"; {error}"
    if kept is None:
        splits = _read_tfds(dataset, folder, download, there=source is not None, damage=damage)
        arrays = {
            f"{part}.{name}": array
            for part, split in splits._asdict().items()
            for name, array in split._asdict().items()
        }
        picture_cache.write(dataset, _source(folder, dataset) or "", arrays)
        return splits
    return Splits(
        *(Split(kept[f"{part}.images"], kept[f"{part}.labels"]) for part in Splits._fields)
    )


def _source(folder: Path, dataset: str) -> str | None:
    """Tells apart what a folder of TFDS may hold of a data set; None if it holds nothing."""
    try:
        found = sorted(
            info
            for info in folder.glob(f"{dataset}/*/dataset_info.json")
            if ".incomplete" not in info.parent.name  # of a download that was cut off
        )
        if not found:
            return None
        digest = hashlib.sha256()
        for info in found:
            digest.update(info.read_bytes())
            for file in sorted(info.parent.iterdir()):
                digest.update(f"{info.parent.name}/{file.name} {file.stat().st_size}\n".encode())
    except OSError as error:
        raise DataError(
            f"{dataset} cannot be looked for in {folder} ({error.strerror}): set TFDS_DATA_DIR to "
            "another folder"
        ) from error
    return digest.hexdigest()


def _read_tfds(dataset: str, folder: Path, download: bool, *, there: bool, damage: str) -> Splits:
    if not download and not there:
        raise DataError(
            f"{dataset} is not in {folder}: set TFDS_DATA_DIR to the folder that has it, "
            f"or add --download on a machine with a network{damage}"
        )
    if download and not _has_network():
        raise DataError(
            f"{dataset} cannot be downloaded, because there is no network: run again with one, or "
            f"set TFDS_DATA_DIR to the folder that has it{damage}"
        )
    try:
        tfds = _import_tfds()
    except ImportError as error:
        raise DataError(
            f"{dataset} cannot be read without TensorFlow Datasets ({error}): pip install "
            f'"arlsort[experiments]", or copy {picture_cache.path_of(dataset)} from a machine that '
            f"has read the same files{damage}"
        ) from error
    try:
        parts = tfds.load(dataset, data_dir=folder, download=download, batch_size=-1)
    except Exception as error:  # TFDS has no common class for what can go wrong
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{dataset} cannot be read from or downloaded to {folder} ({reason}): set "
            "TFDS_DATA_DIR to a folder that has it, or add --download on a machine with a network"
        ) from error
    train, test = (_ordered(split, parts[split]) for split in ("train", "test"))
    kept = max(1, len(train.labels) // _VALIDATION_SHARE)
    return Splits(
        train=Split(train.images[:-kept], train.labels[:-kept]),
        validation=Split(train.images[-kept:], train.labels[-kept:]),
        test=test,
    )


def _has_network() -> bool:
    """Tells in no time what TFDS finds out by minutes of retries."""
    if any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
        return True  # names are resolved by the proxy
    try:
        socket.getaddrinfo("storage.googleapis.com", 443)
    except OSError:
        return False
    return True


def _import_tfds() -> ModuleType:
    """Imports TFDS, and with it TensorFlow: quietly, and off the devices, which are JAX's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    errors, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        import tensorflow as tf
        import tensorflow_datasets as tfds

        tf.config.set_visible_devices([], "GPU")
    finally:
        os.dup2(errors, 2)
        os.close(errors)
        os.close(null)
    return tfds


def _ordered(split: str, part: dict) -> Split:
    """The rows of a split in the order of the original files, however many of them there are."""
    images, labels = np.asarray(part["image"]), np.asarray(part["label"])
    if "id" not in part:
        return in_file_order(split, images, labels)
    place = np.argsort(np.asarray(part["id"]))  # of CIFAR: train_00000 and so on
    return Split(images[place], labels[place].astype(np.int32))


def in_file_order(split: str, images: np.ndarray, labels: np.ndarray) -> Split:
    """Undoes the shuffle with which TFDS writes a split, so that rows are those of the original.

    TFDS sorts examples by the MD5 hash of the split's name followed by their key, which is their
    row number in all the data sets used here that do not name their rows.

    Args:
      split: The name of the split in TFDS.
      images: `[rows, ...]` as TFDS gives them.
      labels: `[rows]`.

    Returns:
      The split in the order of the original files.
    """
    salted = hashlib.md5(split.encode())

    def hashed(row: int) -> bytes:
        digest = salted.copy()
        digest.update(str(row).encode())
        return digest.digest()

    rows = np.array(sorted(range(len(labels)), key=hashed))  # row of the file at each place
    place = np.argsort(rows)
    return Split(images[place], labels[place].astype(np.int32))
