# SPDX-License-Identifier: Apache-2.0
"""The study of seeds: each is trained once, measured, and told from others."""

import dataclasses

import pytest

from experiments.common import storage
from experiments.research import training_seeds
from tests.experiments.flags import kept, refusal


def run(*arguments):
    with kept(training_seeds.FLAGS):
        training_seeds.SCRIPT.run(["training_seeds.py", *arguments])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--noises=none"], "--noises: received 'none'"),
        (["--seeds=-1"], "--seeds: received -1"),
        (["--out=here.txt"], "--out: received here.txt"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


def test_the_table_has_medians_and_extremes():
    def record(seed, kl):
        rows = [
            {"n": 5, "kl": kl, "values": 0.1, "worst_value": 0.2, "gradient": 0.9 + seed / 100},
            {"n": 5, "kl": kl / 2, "values": 0.0, "worst_value": 0.3, "gradient": 1.0},
        ]
        return {"noise": "cauchy", "seed": seed, "measured": rows, "exact_order": {"5": 0.995}}

    records = [record(seed, kl) for seed, kl in enumerate((0.3, 0.1, 0.2))]
    line = training_seeds.table({"config": {"lengths": [5]}, "records": records}).splitlines()[-1]
    assert "| cauchy | 5 | 0.2000 (0.1000 to 0.3000) | 0.100 (0.100 to 0.100) |" in line
    assert "| 0.300 (0.300 to 0.300) | 0.910 (0.900 to 0.920) | 99.5 % |" in line


@pytest.mark.slow
def test_a_seed_is_trained_once(tmp_path, monkeypatch, capsys):
    schedule_of = training_seeds.schedule_of
    monkeypatch.setattr(
        training_seeds,
        "schedule_of",
        lambda *which: dataclasses.replace(schedule_of(*which), lengths=(3,)),
    )
    out, folder = tmp_path / "found.json", tmp_path / "left"
    arguments = ("--lengths=3", "--steps=2", f"--folder={folder}", f"--out={out}")
    run("--noises=cauchy", "--seeds=1", *arguments)
    left = (folder / "cauchy_1.safetensors").read_bytes()
    run("--noises=cauchy", "--seeds=1,2", *arguments)
    assert [record["seed"] for record in storage.read_json(out)["records"]] == [1, 2]
    assert (folder / "cauchy_1.safetensors").read_bytes() == left
    (folder / "gaussian_1.safetensors").write_bytes(left)
    card = (folder / "cauchy_1.json").read_text()
    (folder / "gaussian_1.json").write_text(card)
    assert "with noise cauchy, allowed: noise gaussian" in refusal(
        lambda: run("--noises=gaussian", "--seeds=1", *arguments), capsys
    )
    other = [argument for argument in arguments if not argument.startswith(("--steps", "--out"))]
    assert "with steps 2, allowed: steps 3" in refusal(
        lambda: run(
            "--noises=cauchy", "--seeds=1", "--steps=3", *other, f"--out={tmp_path}/other.json"
        ),
        capsys,
    )
