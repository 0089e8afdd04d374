# SPDX-License-Identifier: Apache-2.0
"""What TFDS has read once needs no TensorFlow again, and is right or not taken."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from experiments.common import datasets, picture_cache

ROOT = Path(__file__).resolve().parents[3]
ROWS = {"train": 22, "validation": 2, "test": 6}


def splits_of(seed: int, size: int = 28) -> datasets.Splits:
    draw = np.random.default_rng(seed)
    parts = {
        part: datasets.Split(
            draw.integers(0, 256, (rows, size, size, 1), dtype=np.uint8),
            draw.integers(0, 10, rows).astype(np.int32),
        )
        for part, rows in ROWS.items()
    }
    return datasets.Splits(**parts)


def arrays_of(splits: datasets.Splits) -> dict[str, np.ndarray]:
    return {
        f"{part}.{name}": array
        for part, split in splits._asdict().items()
        for name, array in split._asdict().items()
    }


def assert_same(found: datasets.Splits, expected: datasets.Splits) -> None:
    for one, other in zip(found, expected, strict=True):
        for array, known in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, known)
            assert array.dtype == known.dtype


@pytest.fixture
def tfds(monkeypatch, tmp_path):
    """Stands in for TFDS: what it has, and how often it was asked."""
    folder = tmp_path / "tfds"
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    state = {"folder": folder, "seed": 0, "asked": 0}

    def prepare(seed: int) -> None:
        version = folder / "mnist" / "3.0.1"
        version.mkdir(parents=True, exist_ok=True)
        (version / "dataset_info.json").write_text(f'{{"name": "mnist", "seed": {seed}}}')
        state["seed"] = seed

    class Module:
        @staticmethod
        def load(name, data_dir, download, batch_size):
            state["asked"] += 1
            splits = splits_of(state["seed"])
            whole = [
                np.concatenate(pair) for pair in zip(splits.train, splits.validation, strict=True)
            ]
            return {
                split: {"image": images, "label": labels, "id": np.arange(len(labels))}
                for split, (images, labels) in {"train": whole, "test": splits.test}.items()
            }

    monkeypatch.setattr(datasets, "_import_tfds", lambda: Module)
    monkeypatch.setattr(datasets, "_VALIDATION_SHARE", 12)
    state["prepare"] = prepare
    return state


def test_tfds_is_asked_once_and_then_no_more(tfds):
    tfds["prepare"](0)
    first = datasets.load("mnist")
    assert_same(first, splits_of(0))
    assert_same(datasets.load("mnist"), first)
    (tfds["folder"] / "mnist" / "3.0.1" / "dataset_info.json").unlink()  # another machine
    assert_same(datasets.load("mnist"), first)
    assert_same(datasets.load("mnist", download=True), first)  # it is there
    assert tfds["asked"] == 1
    assert os.listdir(picture_cache.path_of("mnist").parent) == ["mnist.safetensors"]


@pytest.mark.parametrize("changed", ["information", "records"])
def test_another_folder_of_tfds_is_read_itself(tfds, changed):
    tfds["prepare"](0)
    datasets.load("mnist")
    if changed == "information":
        tfds["prepare"](1)
    else:
        tfds["seed"] = 1
        (tfds["folder"] / "mnist" / "3.0.1" / "mnist-train.tfrecord").write_bytes(b"12")
    assert_same(datasets.load("mnist"), splits_of(1))
    assert_same(datasets.load("mnist"), splits_of(1))
    assert tfds["asked"] == 2


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _pixel(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(bytes(data))


def _label_moved(path: Path) -> None:
    # As long as before and in order as safetensors: the header alone says otherwise.
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"test.labels"', b'"test.lapels"'))


def _foreign(path: Path) -> None:
    path.write_bytes(safetensors.numpy.save({"train.images": np.zeros((2, 2), np.uint8)}))


def _of_another_set(path: Path) -> None:
    picture_cache.write("fashion_mnist", "", arrays_of(splits_of(5)))
    os.replace(picture_cache.path_of("fashion_mnist"), path)


def _said_otherwise(path: Path) -> None:
    data = path.read_bytes()
    assert data.count(b'"source":"of') == 1
    path.write_bytes(data.replace(b'"source":"of', b'"source":"if'))


DAMAGES = (_cut, _emptied, _pixel, _label_moved, _foreign, _of_another_set, _said_otherwise)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_wrong_file_is_said_in_one_line_or_made_again(damage, tfds):
    path = picture_cache.path_of("mnist")
    picture_cache.write("mnist", "of a test", arrays_of(splits_of(3)))
    assert_same(datasets.load("mnist"), splits_of(3))
    damage(path)
    with pytest.raises(datasets.DataError) as raised:  # of a machine without TFDS
        datasets.load("mnist")
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    tfds["prepare"](4)
    assert_same(datasets.load("mnist"), splits_of(4))
    tfds["prepare"](4)
    assert_same(datasets.load("mnist"), splits_of(4))
    assert tfds["asked"] == 1


def test_files_are_where_the_variables_say(monkeypatch, tmp_path):
    monkeypatch.setenv(picture_cache.VARIABLE, str(tmp_path / "a"))
    assert picture_cache.path_of("emnist/mnist") == tmp_path / "a/pictures/emnist-mnist.safetensors"
    monkeypatch.delenv(picture_cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert picture_cache.path_of("mnist") == tmp_path / "b/arlsort/pictures/mnist.safetensors"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    home = tmp_path / "c/.cache/arlsort"
    assert picture_cache.path_of("mnist") == home / "pictures/mnist.safetensors"


def test_a_folder_that_cannot_be_written_is_warned_of(monkeypatch, tfds, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(picture_cache.VARIABLE, str(tmp_path / "file"))
    tfds["prepare"](0)
    with pytest.warns(UserWarning, match=picture_cache.VARIABLE):
        assert_same(datasets.load("mnist"), splits_of(0))


def test_of_two_writers_at_once_one_has_its_whole_file():
    known = [splits_of(seed) for seed in range(4)]
    failures = []

    def write(seed):
        for _ in range(10):
            picture_cache.write("mnist", str(seed), arrays_of(known[seed]))

    def read():
        for _ in range(30):
            try:
                found = picture_cache.read("mnist")
                if found is not None:
                    images = found["train.images"]
                    assert any((images == each.train.images).all() for each in known)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(os.listdir(picture_cache.path_of("mnist").parent)) == 1


# As where neither is installed: nothing finds them.
BLOCKED = """
import sys
class Without:
    def __init__(self, finder):
        self._finder = finder
    def __getattr__(self, name):
        return getattr(self._finder, name)
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tensorflow_datasets", "clrs"):
            return None
        return self._finder.find_spec(name, path, target)
sys.meta_path[:] = map(Without, sys.meta_path)
"""
LOADING = """
from experiments.common import datasets
try:
    print(datasets.load(sys.argv[1]).train.images.sum())
except datasets.DataError as error:
    print(error)
"""
RUNNING = """
import importlib.util, runpy
assert not any(map(importlib.util.find_spec, ("tensorflow", "tensorflow_datasets", "clrs")))
sys.argv[0] = "experiments/sort_numbers.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_blocked(program: str, *arguments: str, tfds: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + program, *arguments],
        cwd=ROOT,
        env={**os.environ, "TFDS_DATA_DIR": str(tfds), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_pictures_are_loaded_where_there_is_no_tensorflow(tmp_path):
    splits = splits_of(0)
    picture_cache.write("mnist", "", arrays_of(splits))
    found = run_blocked(LOADING, "mnist", tfds=tmp_path)
    assert int(found) == int(splits.train.images.sum(dtype=np.int64))


@pytest.fixture
def no_tensorflow(tfds, monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'tensorflow'")

    monkeypatch.setattr(datasets, "_import_tfds", missing)


def test_without_tensorflow_and_file_one_line_says_what_to_do(tfds, no_tensorflow, monkeypatch):
    tfds["prepare"](0)
    monkeypatch.setenv(picture_cache.VARIABLE, str(tfds["folder"] / "none"))
    with pytest.raises(datasets.DataError, match=r"without TensorFlow.*copy .*mnist.safetensors"):
        datasets.load("mnist")


def test_a_file_made_of_another_folder_is_named_and_how_to_take_it(tfds, no_tensorflow):
    tfds["prepare"](0)
    picture_cache.write("mnist", "of another folder", arrays_of(splits_of(3)))
    with pytest.raises(datasets.DataError, match=r"made of other files.*TFDS_DATA_DIR") as raised:
        datasets.load("mnist")
    assert "\n" not in str(raised.value)
    assert f"{picture_cache.path_of('mnist')} is there" in str(raised.value)


def test_a_download_that_was_cut_off_is_no_data_set(tfds, no_tensorflow):
    tfds["prepare"](0)
    whole = tfds["folder"] / "mnist" / "3.0.1"
    whole.rename(whole.with_name("3.0.1.incompleteABC_3.0.1"))
    picture_cache.write("mnist", "of another machine", arrays_of(splits_of(3)))
    assert_same(datasets.load("mnist"), splits_of(3))


def test_a_folder_that_cannot_be_read_is_said_in_one_line(tfds, monkeypatch):
    tfds["prepare"](0)

    def closed(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", closed)
    with pytest.raises(datasets.DataError, match=r"Permission denied.*TFDS_DATA_DIR"):
        datasets.load("mnist")


@pytest.mark.slow
def test_the_main_script_runs_where_there_is_no_tensorflow(tmp_path):
    picture_cache.write("mnist", "", arrays_of(splits_of(0)))
    tiny = ("--operators=odd_even", "--seeds=1", "--n=2", "--steps=1", "--batch_size=2")
    sizes = ("--channels=2,2", "--validation_lists=2", "--test_lists=2", "--dataset=mnist")
    arguments = (*tiny, *sizes, f"--out_dir={tmp_path / 'out'}")
    assert "EM %" in run_blocked(RUNNING, *arguments, tfds=tmp_path)
    assert (tmp_path / "out" / "results.json").exists()
