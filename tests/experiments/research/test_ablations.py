# SPDX-License-Identifier: Apache-2.0
"""The study of variants: each is trained as it says and leaves a checkpoint that sorts."""

import dataclasses

import pytest

from arlsort.reasoner import checkpoint
from arlsort.reasoner.config import CLRS_FIELDS, ReasonerConfig, TrainingConfig
from experiments.common import storage
from experiments.research import ablations, mean_distances, reasoner_studies
from tests.experiments.flags import kept, refusal


def run(*arguments):
    with kept(ablations.FLAGS):
        ablations.SCRIPT.run(["ablations.py", *arguments])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--ablations=none"], "--ablations: received 'none'"),
        (["--steps=0"], "--steps: received 0"),
        (["--hidden_size=0"], "--hidden_size: received 0"),
        (["--out=here.txt"], "--out: received here.txt"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


@pytest.mark.parametrize("name", ablations.ABLATIONS)
def test_a_variant_differs_from_the_default_in_one_setting_or_is_that_of_clrs(name):
    network, training = ablations.ABLATIONS[name]
    changed = {"default": 0, "clrs": len(CLRS_FIELDS)}.get(name, 1)
    assert len(network) + len(training) == changed
    for cls, changes in ((ReasonerConfig, network), (TrainingConfig, training)):
        default = dataclasses.asdict(cls())
        assert all(default[field] != value for field, value in changes.items())
        cls(**changes)


@pytest.mark.slow
def test_it_trains_measures_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(mean_distances, "LISTS", 2)
    monkeypatch.setattr(mean_distances, "COPIES", 20)
    monkeypatch.setattr(reasoner_studies, "SPREADS", (10.0,))
    out, folder = tmp_path / "found.json", tmp_path / "left"
    arguments = ("--lengths=2", "--steps=2", f"--folder={folder}", f"--out={out}")
    run("--ablations=hidden_32", *arguments)
    (record,) = storage.read_json(out)["records"]
    run("--ablations=hidden_32", *arguments)
    assert storage.read_json(out)["records"] == [record], "it is not trained again"
    left = checkpoint.load(folder / "hidden_32.safetensors")
    assert left.config.hidden_size == 32 and left.noise == "cauchy"
    assert "hidden_size" not in storage.read_json(out)["config"]
    (row,) = record["distances"]
    assert row["pointers"] >= -1e-6 and row["permutation"] > 0


@pytest.mark.slow
def test_the_width_of_all_is_asked_for_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(mean_distances, "LISTS", 2)
    monkeypatch.setattr(mean_distances, "COPIES", 20)
    monkeypatch.setattr(reasoner_studies, "SPREADS", (10.0,))
    out, folder = tmp_path / "found.json", tmp_path / "left"
    arguments = ("--lengths=2", "--steps=1", f"--folder={folder}", f"--out={out}")
    run("--ablations=clrs", "--hidden_size=4", *arguments)
    assert storage.read_json(out)["config"]["hidden_size"] == 4
    left = checkpoint.load(folder / "clrs.safetensors").config
    assert left == ReasonerConfig(hidden_size=4, **CLRS_FIELDS)
