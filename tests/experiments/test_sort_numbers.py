# SPDX-License-Identifier: Apache-2.0
"""The script as it is used: from the command line, stopped and resumed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import sort_numbers
from experiments.common import storage
from experiments.common.command_line import Interrupted
from experiments.common.metrics_log import MetricsLog
from experiments.four_digits import training
from tests.experiments.flags import kept

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "--operators=odd_even,neuralsort:temperature=2",
    "--n=2",
    "--steps=4",
    "--batch_size=4",
    "--channels=2,2",
    "--eval_every=2",
    "--validation_lists=4",
    "--test_lists=4",
)


@kept(sort_numbers.FLAGS)
def run(*arguments: str) -> None:
    sort_numbers.SCRIPT.run(["sort_numbers.py", *TINY, *arguments])


@kept(sort_numbers.FLAGS)
def run_one(*arguments: str) -> None:
    sort_numbers.SCRIPT.run(["sort_numbers.py", "--operators=odd_even", *TINY[1:], *arguments])


def test_all_files_are_written_and_the_table_printed(tmp_path, capsys):
    run("--seeds=2", f"--out_dir={tmp_path}")
    out = capsys.readouterr().out
    for text in ("learning_rate      0.001", "NeuralSort(", "EM %", "EW %", "EM5 %", "±"):
        assert text in out
    report = storage.read_json(tmp_path / "results.json")
    assert report["config"]["n"] == 2
    assert report["seeds"] == [0, 1]
    assert report["picture"] == [8, 32, 1]
    assert {"device", "jax", "python"} <= set(report["machine"])
    assert len(report["runs"]) == 4
    assert [row["operator"] for row in report["summary"]] == [
        "odd_even",
        "neuralsort:temperature=2",
    ]
    for name in ("curves.png", "permutations.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.glob("runs/*/*/metrics.jsonl"))) == 4
    assert not list(tmp_path.rglob(".*"))  # no temporary file is left

    # Resumed, nothing is repeated; a further seed is added to what is there.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*/result.json")}
    run("--seeds=3", f"--out_dir={tmp_path}", "--resume")
    assert capsys.readouterr().out.count("done before") == 4
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert len(storage.read_json(tmp_path / "results.json")["runs"]) == 6

    # Without --resume, or with other settings, what is there is left alone.
    for arguments in (["--seeds=2"], ["--seeds=2", "--resume", "--learning_rate=0.1"]):
        with pytest.raises(SystemExit) as ended:
            run(f"--out_dir={tmp_path}", *arguments)
        assert ended.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_a_dry_run_forecasts_each_method_and_writes_no_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run("--seeds=2", "--dry_run=4")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["n", "method", "lists/s"]
    assert [line.split()[:2] for line in lines[1:3]] == [
        ["2", "odd_even"],
        ["2", "neuralsort:temperature=2"],
    ]
    assert lines[3].split()[0] == "all"
    assert not list(tmp_path.iterdir())
    for flag in ("--resume", "--out_dir=x"):
        with pytest.raises(SystemExit):
            run_one("--dry_run=4", flag)
        assert "writes no results" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_one(f"--out_dir={tmp_path / ('x' * 300)}")  # longer than any name may be
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "sort_numbers: " in error


@pytest.mark.slow
def test_several_n_are_compared_one_after_the_other(tmp_path, capsys):
    out = f"--out_dir={tmp_path}"
    run_one("--n=2,3", "--seeds=1", out)
    for n in (2, 3):
        assert storage.read_json(tmp_path / f"n_{n}" / "results.json")["config"]["n"] == n
    with pytest.raises(SystemExit):
        run_one("--n=2,3", "--seeds=1", out)
    assert "--resume" in capsys.readouterr().err
    run_one("--n=3", "--seeds=1", out, "--resume")  # finds its part
    assert capsys.readouterr().out.count("done before") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_interrupted_comparison_resumes_to_the_same_report(tmp_path, monkeypatch, capsys):
    run("--seeds=1", f"--out_dir={tmp_path / 'straight'}")
    train, count = training.train, [0]

    def interrupted(*args):
        count[0] += 1
        if count[0] == 3:  # in the second run
            os.kill(os.getpid(), signal.SIGINT)
        return train(*args)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train", interrupted)
        with pytest.raises(SystemExit) as ended:
            run("--seeds=1", f"--out_dir={tmp_path / 'cut'}")
    assert ended.value.code == 130
    assert "--resume continues" in capsys.readouterr().err
    partial = storage.read_json(tmp_path / "cut" / "results.json")
    assert [run["operator"] for run in partial["runs"]] == ["odd_even"]
    (stopped,) = partial["stopped"]
    assert stopped["operator"] == "neuralsort:temperature=2"
    assert stopped["curve"]["step"] == [2]
    run("--seeds=1", f"--out_dir={tmp_path / 'cut'}", "--resume")
    straight, cut = (storage.read_json(tmp_path / n / "results.json") for n in ("straight", "cut"))
    for report in (straight, cut):
        for row in report["runs"] + report["summary"]:
            del row["seconds"]
    assert straight == cut
    (whole,) = (run for run in cut["runs"] if run["operator"] == stopped["operator"])
    assert {name: values[:1] for name, values in whole["curve"].items()} == stopped["curve"]


@pytest.mark.parametrize("ended", [0, 1])
def test_an_interrupted_comparison_keeps_what_ended_and_the_curve_of_what_did_not(
    ended, tmp_path, monkeypatch
):
    metrics = {"em": 0.25, "ew": 0.5, "em5": 0.75}
    executed = []

    def execute(run, splits, stop):
        log = MetricsLog(run.folder / "metrics.jsonl", 0)
        log.add(step=2, loss=0.123456, **metrics)
        executed.append(run)
        if len(executed) > ended:
            raise Interrupted
        result = {"operator": run.method.spec, "seed": run.seed, "test": metrics, "seconds": 1.0}
        storage.write_json(run.folder / "result.json", result)

    monkeypatch.setattr(sort_numbers.Run, "execute", execute)
    with pytest.raises(SystemExit) as code:
        run("--seeds=2", f"--out_dir={tmp_path}")
    assert code.value.code == 130
    path = tmp_path / "results.json"
    assert path.exists() == bool(ended)
    if ended:
        report = storage.read_json(path)
        assert [row["seeds"] for row in report["summary"]] == [1]
        (stopped,) = report["stopped"]
        assert (stopped["operator"], stopped["seed"]) == ("neuralsort:temperature=2", 0)
        assert stopped["curve"] == {"step": [2], "loss": [0.12346], **_listed(metrics)}


def _listed(metrics):
    return {name: [value] for name, value in metrics.items()}


def test_default_folder_is_new_and_the_newest_is_resumed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run("--resume")
    assert "nothing in runs/sort_numbers" in capsys.readouterr().err
    first = sort_numbers.choose_out_dir(None, False)
    (first / "runs").mkdir(parents=True)
    assert sort_numbers.choose_out_dir(None, True) == first


@pytest.mark.slow
def test_missing_data_set_is_one_line_without_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "experiments/sort_numbers.py", "--dataset=mnist", "--operators=odd_even"],
        cwd=ROOT,
        env={**os.environ, "TFDS_DATA_DIR": str(tmp_path / "none"), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "TFDS_DATA_DIR" in done.stderr


@pytest.mark.slow
def test_script_is_a_module_too():
    done = subprocess.run(
        [sys.executable, "-m", "experiments.sort_numbers", "--operators=nothing"],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "--operators nothing" in done.stderr
