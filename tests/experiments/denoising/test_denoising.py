# SPDX-License-Identifier: Apache-2.0
"""Denoising: series by their recipe, the script from the command line, resumed and refused."""

import dataclasses
import itertools

import numpy as np
import pytest

from experiments import denoise_signals
from experiments.common import storage
from experiments.denoising import data, results, training
from experiments.denoising.config import DATASETS, DEFAULTS, METHODS, Config, resolve
from experiments.denoising.models import MODELS
from tests.experiments.flags import kept, refusal

TINY = ("--length=8", "--train=8", "--validation=4", "--test=4", "--batch_size=4", "--epochs=1")


@kept(denoise_signals.FLAGS)
def run(*arguments):
    denoise_signals.SCRIPT.run(["denoise_signals.py", *arguments])


def test_series_are_those_of_the_recipes():
    rng = np.random.default_rng(0)
    made = [data.steps(rng, 100) for _ in range(300)]
    pieces = {1 + int((np.diff(series) != 0).sum()) for series in made}
    assert pieces == set(range(1, 10))
    heights = np.concatenate(made)
    assert heights.min() == 10 and heights.max() == 99
    assert np.abs(data.waves(rng, 100)).max() < 120


@pytest.mark.parametrize("dataset", DATASETS)
def test_noise_has_its_deviation_and_no_series_is_in_two_parts(dataset):
    splits = data.load(Config(dataset=dataset, train=300), seed=0)
    for part in splits:
        assert part.noisy.shape == part.clean.shape and part.noisy.shape[1] == 50
        assert np.std(part.noisy - part.clean) == pytest.approx(data.NOISE, rel=0.05)
    if dataset == "eeg":  # two steps may be alike
        values = [set(np.unique(part.clean)) for part in splits]
        assert all(len(a & b) < 20 for a, b in itertools.combinations(values, 2))


def test_the_published_protocol_is_stated_and_flags_go_over_it():
    published = DEFAULTS["published"]
    assert (published.length, published.train + published.validation, published.test) == (
        100,
        9000,
        1000,
    )
    assert (published.batch_size, published.epochs) == (150, 50)
    assert resolve("published", {"epochs": 3, "length": None}) == dataclasses.replace(
        published, epochs=3
    )
    assert resolve("quick", {"dataset": "eeg"}).epochs == 40
    assert resolve("quick", {"dataset": "eeg", "epochs": 3}).epochs == 3
    assert set(METHODS) == {"none", "total_variation", *MODELS}


def test_the_script_writes_its_files_and_goes_on(tmp_path, capsys):
    folder = tmp_path / "run"
    methods = "--denoisers=none,total_variation,dense"
    run(methods, "--seeds=1", f"--out_dir={folder}", *TINY)
    out = capsys.readouterr().out
    assert "| total variation |" in out and "test MSE" in out
    report = storage.read_json(folder / "results.json")
    assert [record["method"] for record in report["records"]] == [
        "none",
        "total_variation",
        "dense",
    ]
    assert report["records"][1]["weight"] in training.WEIGHTS
    for name in ("series.png", "matrices.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    run(methods, "--seeds=2", f"--out_dir={folder}", "--resume", *TINY)
    assert capsys.readouterr().out.count("done before") == 3
    assert storage.read_json(folder / "results.json")["records"][:3] == report["records"]
    assert "add --resume" in refusal(lambda: run(f"--out_dir={folder}", *TINY), capsys)
    other = lambda: run(f"--out_dir={folder}", "--resume", *TINY, "--epochs=2")  # noqa: E731
    assert "--resume: " in (error := refusal(other, capsys))
    assert "was started with epochs 1, received 2" in error


def test_published_errors_stand_beside_those_of_the_published_series_alone():
    for protocol, stands in (("quick", False), ("published", True)):
        config = dataclasses.asdict(DEFAULTS[protocol])
        record = {"method": "dense_norm", "mse": {"train": 20.0, "test": 30.0}}
        found = results.section({"config": config, "records": [record]})
        assert ("18.5 / 29.8" in found) == stands


def test_a_run_that_diverges_ends_in_one_line(tmp_path, monkeypatch, capsys):
    model = MODELS["dense"]
    broken = dataclasses.replace(model, apply=lambda parameters, y: y * np.nan)
    monkeypatch.setitem(MODELS, "dense", broken)
    flags = ["--denoisers=dense", f"--out_dir={tmp_path / 'run'}", *TINY]
    text = refusal(lambda: run(*flags), capsys)
    assert (
        "dense seed 0: the loss was not finite before step 2; try a smaller --network_rate" in text
    )


@pytest.mark.slow
def test_optnet_learns_and_keeps_its_matrix():
    config = Config(length=10, train=64, validation=32, test=32, batch_size=32, epochs=3)
    record = training.run(config, "optnet_tv", 0)
    tv = training.run(config, "total_variation", 0)
    assert np.array(record["matrix"]).shape == (9, 10)
    assert record["mse"]["validation"] < 1.1 * tv["mse"]["validation"]
    scratch = training.run(config, "optnet", 1)
    assert "matrix" not in scratch and np.isfinite(scratch["mse"]["test"])


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--denoisers=magic", "--denoisers: received 'magic'"),
        ("--epochs=0", "--epochs: received 0"),
        ("--optnet_rate=0", "--optnet_rate: received 0"),
        ("--dataset=noise", "dataset"),
        ("--batch_size=4001", "--batch_size: received 4001, allowed: 1 to 4000, the series"),
    ],
)
def test_what_is_not_allowed_is_one_line(flag, words, tmp_path, capsys):
    assert words in refusal(lambda: run(flag, f"--out_dir={tmp_path / 'run'}"), capsys)
    unused = ["--denoisers=dense,none", "--optnet_rate=0.1", f"--out_dir={tmp_path / 'run'}"]
    message = "--optnet_rate: received 0.1, allowed: nothing without --denoisers=optnet"
    assert message in refusal(lambda: run(*unused), capsys)
    assert "allowed" in refusal(
        lambda: run("--dataset=eeg", "--train=5", f"--out_dir={tmp_path / 'run'}"), capsys
    )
