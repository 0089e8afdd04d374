# SPDX-License-Identifier: Apache-2.0
"""Both scripts as they are used: flags, refusals, files, and going on after an interruption."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from experiments import cheapest_paths, compare_strings
from experiments.common import storage
from experiments.program_tasks import comparison, runs, tables
from tests.experiments.flags import defined, kept, refusal

RESULTS = Path(__file__).resolve().parents[3] / "experiments" / "results" / "program_tasks"
SHARED = {
    "dataset": "--dataset=mnist",
    "download": "--download",
    "seeds": "--seeds=2",
    "networks": "--networks=2",
    "steps": "--steps=300",
    "batch_size": "--batch_size=20",
    "learning_rate": "--learning_rate=0.02",
    "channels": "--channels=4,8",
    "temperature": "--temperature=0.5",
    "eval_every": "--eval_every=20",
    "checkpoint_every": "--checkpoint_every=10",
    "validation_examples": "--validation_examples=30",
    "test_examples": "--test_examples=40",
}
OWN = {
    compare_strings: {
        "classes": "--classes=3",
        "length": "--length=3",
        "pairs": "--pairs=independent",
    },
    cheapest_paths: {"side": "--side=3", "tconorms": "--tconorms=yager"},
}
SCRIPTS = pytest.mark.parametrize("script", OWN, ids=lambda script: script.SCRIPT.name)
TINY = {
    compare_strings: ("--classes=2", "--length=2"),
    cheapest_paths: ("--side=2", "--tconorms=probabilistic"),
}
FEW = (
    *("--steps=5", "--batch_size=4", "--channels=2,2", "--eval_every=2", "--checkpoint_every=3"),
    *("--validation_examples=4", "--test_examples=6", "--networks=2"),
)


def settings(script, *arguments):
    with kept(script.FLAGS):
        script.SCRIPT.parse([script.SCRIPT.name, *arguments])
        found = script.settings()
        return {**found, "tasks": script.tasks(found)}


def run(script, *arguments):
    with kept(script.FLAGS):
        script.SCRIPT.run([script.SCRIPT.name, *TINY[script], *FEW, *arguments])


@SCRIPTS
def test_every_flag_changes_the_configuration(script):
    changes = {**SHARED, **OWN[script]}
    assert defined(script.FLAGS) == {*changes, *comparison.NOT_SETTINGS}
    for name, change in changes.items():
        before = settings(script, "--dataset=mnist" if name == "download" else "--seeds=3")
        after = settings(script, "--dataset=mnist" if name == "download" else "--seeds=3", change)
        assert before[name] != after[name]
        if name in runs.Task.__dict__ or name in OWN[script]:
            assert before["tasks"] != after["tasks"], name


@SCRIPTS
def test_every_setting_of_a_task_is_in_the_identity_of_a_run(script, tmp_path):
    config = settings(script)
    pace = runs.Pace(*(config[name] for name in runs.Pace.__dataclass_fields__))
    name, task = next(iter(config["tasks"].items()))
    identity = runs.Run.at(name, task, config["dataset"], pace, 0, tmp_path).identity
    outside = {"seeds", "download", "checkpoint_every", "tasks"}
    renamed = {"tconorms": "tconorm"}
    assert {renamed.get(name, name) for name in set(config) - outside} | {"seed"} == set(identity)


@pytest.mark.parametrize(
    "script, argument, message",
    [
        *[
            pytest.param(script, *each, id=f"{script.SCRIPT.name}{each[0]}")
            for script in OWN
            for each in (
                ("--seeds=0", "--seeds: received 0, allowed: an integer >= 1"),
                ("--learning_rate=inf", "--learning_rate: received inf"),
                ("--temperature=-1", "--temperature: received -1.0"),
                ("--channels=4", "--channels: received 4, allowed: two integers"),
                ("--eval_every=6", "--eval_every: received 6, allowed: at most --steps, 5"),
                ("--download", "--download: received true"),
                ("--dataset=letters", "dataset"),
                ("--out_dir=setup.py", "--out_dir: received setup.py, a file"),
                ("extra", "unexpected argument 'extra'"),
            )
        ],
        (compare_strings, "--classes=1", "--classes: received 1, allowed: integers of at least 2"),
        (compare_strings, "--classes=11", "--classes: received 11, allowed: integers from 2 to"),
        (compare_strings, "--classes=", "--classes"),
        (compare_strings, "--length=0", "--length: received 0"),
        (cheapest_paths, "--side=1", "--side: received 1, allowed: an integer >= 2"),
        (cheapest_paths, "--tconorms=lukasiewicz", "--tconorms: received 'lukasiewicz'"),
        (cheapest_paths, "--tconorms=yager,yager", "--tconorms: received yager twice"),
        (cheapest_paths, "--tconorms=", "--tconorms: received none"),
    ],
)
def test_nonsense_is_refused_in_one_line(script, argument, message, capsys):
    assert message in refusal(lambda: run(script, argument), capsys)


@SCRIPTS
def test_a_missing_data_set_is_refused_in_one_line(script, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    error = refusal(lambda: run(script, "--dataset=mnist", f"--out_dir={tmp_path}"), capsys)
    assert "TFDS_DATA_DIR" in error


@pytest.mark.slow
@SCRIPTS
def test_an_interrupted_run_resumes_to_the_same_report(script, tmp_path, monkeypatch, capsys):
    run(script, "--seeds=2", f"--out_dir={tmp_path / 'straight'}")
    out = capsys.readouterr().out
    assert "±" in out and "untrained" in out
    straight = storage.read_json(tmp_path / "straight" / "results.json")
    assert straight["config"]["steps"] == 5 and len(straight["runs"]) == 2
    assert straight["runs"][0]["curve"]["step"] == [2, 4, 5]
    assert straight["runs"][0]["curve"] != straight["runs"][1]["curve"], "seeds differ"
    assert len(list((tmp_path / "straight").glob("*.png"))) == 1

    train, count = runs.train, [0]

    def interrupted(*args):
        count[0] += 1
        if count[0] == 9:  # in the second run, after an evaluation; each has 6 of two networks
            os.kill(os.getpid(), signal.SIGINT)
        return train(*args)

    cut = f"--out_dir={tmp_path / 'cut'}"
    with monkeypatch.context() as patch:
        patch.setattr(runs, "train", interrupted)
        with pytest.raises(SystemExit) as ended:
            run(script, "--seeds=2", cut)
    assert ended.value.code == 130
    assert "--resume continues" in capsys.readouterr().err
    assert "holds earlier runs; add --resume" in refusal(lambda: run(script, cut), capsys)
    other = refusal(lambda: run(script, cut, "--resume", "--temperature=1"), capsys)
    assert "started with temperature" in other and "received 1.0" in other
    run(script, "--seeds=2", cut, "--resume")
    assert "seed 0: done before" in capsys.readouterr().out
    resumed = storage.read_json(tmp_path / "cut" / "results.json")
    for report in (straight, resumed):
        for row in report["runs"] + report["summary"]:
            del row["seconds"]
    assert straight == resumed


@SCRIPTS
def test_without_a_folder_to_resume_it_says_so(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    error = refusal(lambda: run(script, "--resume"), capsys)
    assert f"nothing in runs/{script.SCRIPT.name}" in error


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(tmp_path, monkeypatch, capsys):
    def diverged(task, split, key, state, steps):
        return state._replace(step=state.step + steps, running=state.running + np.nan)

    monkeypatch.setattr(runs, "train", diverged)
    with pytest.raises(SystemExit) as ended:
        run(compare_strings, f"--out_dir={tmp_path}")
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]  # after those of the progress bar
    assert "compare_strings: 2_classes seed 0: the loss was not finite before step 2" in last


def test_a_summary_has_mean_and_deviation_of_each_metric():
    def one(seed, exact):
        test = {"exact": exact, "excess": 0.01, "costs": [[1]]}
        before = {"exact": 0.5, "excess": 0.1, "costs": [[1]]}
        return {"name": "a", "seed": seed, "before": before, "test": test, "seconds": 2.0}

    (row,) = comparison.summarise([one(0, 0.6), one(1, 0.8)])
    assert row["test"]["exact"]["mean"] == pytest.approx(0.7)
    assert row["test"]["exact"]["sd"] == pytest.approx(0.02**0.5)
    report = {"experiment": "cheapest_paths", "summary": [row]}
    assert (
        tables.table(report).splitlines()[-1] == "| a | 70.0 ± 14.1 | 1.0 ± 0.0 | 50.0 ± 0.0 | 2 |"
    )
    (alone,) = comparison.summarise([one(0, 0.6)])
    assert tables.percent(alone["test"]["exact"]) == "60.0"


def test_the_course_on_mnist_stands_beside_the_published_one():
    report = storage.read_json(RESULTS / "sort_numbers_digits.json")
    assert "published" not in tables.orders(report, "")
    report["config"]["dataset"] = "mnist"
    for run in report["runs"]:
        run["curve"] = {"step": [200], "em": [0.1]}
    other = tables.orders(report, "")  # of other settings
    assert "published" not in other and "Reduced" not in other and "validation EM" in other
    report["config"] |= tables.PUBLISHED_SETTINGS
    for run, em in zip(report["runs"], (0.2, 0.3, 0.0, 0.0, 0.0, 0.0), strict=True):
        run["operator"] = "bubble_sort@swaps" if em else "other"
        run["curve"] = {"step": [100, 200], "em": [0.1, em]}
    lines = tables.orders(report, "").splitlines()[-2:]
    assert lines == ["| 100 | 10.0 | 10.0 | - |", "| 200 | 25.0 | 0.0 | 24.1 |"]


def test_the_network_with_the_smallest_loss_is_kept():
    none = np.zeros(())
    states = [runs.TrainState(none, {"w": i}, (), none, loss) for i, loss in enumerate([5, 1, 3])]
    assert runs.best(states).params == {"w": 1}
