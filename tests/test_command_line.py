# SPDX-License-Identifier: Apache-2.0
"""`python -m arlsort`: every command does its work, and says in one line what is not allowed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arlsort.amortized import checkpoint as amortized
from arlsort.commands import listing, output
from arlsort.operators import names
from arlsort.reasoner import checkpoint, training
from tests.command_line import document, refusal, run

ROOT = Path(__file__).resolve().parent.parent
SHORT = ("--steps=3", "--lengths", "2", "3", "--lists=10", "--batch-size=4")
TINY = ("--network=executed", "--hidden-size=8", *SHORT)


def test_operators_lists_all(capsys):
    run("operators")
    text = capsys.readouterr().out
    assert all(f"{name} " in text for name in names()) and "temperature=0.1" in text


def test_json_keeps_every_number_that_it_has():
    value = {"a": np.array([[0.1, np.inf]], np.float32), 2: (np.float64(0.1), np.int32(3), None)}
    assert output.json_text(value) == '{"a": [[0.1, null]], "2": [0.1, 3, null]}'
    assert output.json_text([float("nan"), True, np.bool_(False)]) == "[null, true, false]"


def test_operators_are_listed_as_json(capsys):
    run("operators", "--json")
    said = document(capsys)
    assert [row["name"] for row in said["operators"]] == list(names())
    assert said["default"] in names()
    assert said["operators"][0]["hyperparameters"]["temperature"] == 0.1


def test_experiments_are_those_that_their_readme_has(capsys):
    run("experiments")
    said = capsys.readouterr().out
    readme = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    found = dict(listing.scripts(ROOT))
    assert len(found) > 20 and all(about.endswith((".", "?")) for about in found.values())
    for command, about in found.items():
        assert f"{command}\n    {about}\n" in said
        assert command in readme, command
    run("experiments", "--json")
    assert {row["command"]: row["summary"] for row in document(capsys)["scripts"]} == found


def test_an_installed_package_says_where_its_experiments_are(tmp_path, monkeypatch, capsys):
    (tmp_path / "experiments").mkdir()  # somebody else's
    monkeypatch.setattr(listing, "CHECKOUT", tmp_path)
    assert "the scripts are not in the installed package; git clone" in refusal(
        capsys, "experiments"
    )


@pytest.mark.parametrize(
    "line, message",
    [
        ("", "required: COMMAND"),
        ("sort", "numbers: received none, allowed: numbers, - for standard input, or --file"),
        ("sort a", "numbers: received 'a', allowed: numbers"),
        ("sort 1 --file x.txt", "numbers: received 1 and --file x.txt, allowed: one of them"),
        ("sort 1 2 --lines", "--lines: needs --file"),
        ("sort --file none.txt", "--file: none.txt: No such file"),
        ("sort --file /proc", "--file: /proc: Is a directory"),
        ("sort 1 2 --operator bogosort", "operator: received 'bogosort', allowed: amortized"),
        ("sort 1 2 --operator hard --temperature 1", "--temperature: hard has none"),
        ("sort 1 2 --temperature -1", "temperature: received -1"),
        ("train --out x.npz", "--out: received x.npz"),
        ("train --out x.safetensors --steps 0", "--steps: received 0"),
        ("train --out x.safetensors --algorithm quicksort", "add --network executed"),
        ("train --out x.safetensors --noise gumbel", "allowed: gaussian, cauchy"),
        ("train --out x.safetensors --lengths 1", "lengths"),
        ("train --out x.safetensors --learning-rate nan", "--learning-rate: received nan"),
        ("train --out /proc/x.safetensors", "/proc"),
        ("sort 1 2 --operator odd_even --seed 1", "--seed: odd_even has none; those that have: ne"),
        ("sort 1e39 1", "numbers: received 1e+39"),
        (
            "sort 1 2 --operator gumbel_sinkhorn",
            "--operator: gumbel_sinkhorn draws random numbers; a",
        ),
        ("sort 1 2 --operator softsort:stochastic=true", "add --seed 0"),
        ("sort 1 2 --operator softsort:a=1", "sort: --operator: 'softsort', hyperparameter: recei"),
        ("sort 1 2 --operator softsort:power=0", "sort: --operator: power: received 0"),
        ("sort 1 2 --temperature -1", "sort: --temperature: received -1"),
        (
            "evaluate --checkpoint x",
            "evaluate: --checkpoint: received x, allowed: a file that ends",
        ),
        ("sort 1,,2", "numbers: received a comma without a number"),
        ("sort 1,-x", "numbers: received '-x', allowed: numbers"),
        (
            "sort 3 1 --operator odd_even:temperature=0.3 --temperature 0.1",
            "--temperature: received 0.1 and --operator odd_even:temperature=0.3, allowed: one of",
        ),
        ("evaluate --lengths 5 8 5", "--lengths: received 5 twice, allowed: each once"),
        ("evaluate --checkpoint none.safetensors", "--checkpoint: none.safetensors: no such file"),
        (
            "evaluate --checkpoint x.safetensors --noise cauchy",
            "--checkpoint: leave out --algorithm",
        ),
        ("evaluate --algorithm bubble_sort --noise cauchy", "allowed: gaussian"),
        ("evaluate --lengths 1", "--lengths: received 1"),
        ("sort 1 2 --operator perturbed --seed 99999999999999999999", "--seed: received 99999"),
        ("sort 1 2 --operator perturbed --seed -1", "--seed: received -1, allowed: an integer"),
        ("sort 1 2 --operator softsort --temperature nan", "temperature: received nan"),
        ("sort 1 2 --operator softsort --temperature inf", "temperature: received inf"),
        ("train --out x.safetensors --seed 99999999999999999999", "--seed: received 99999"),
        ("train --out x.safetensors --steps 99999999999999999999", "--steps: received 99999"),
        ("train --out x.safetensors --batch-size -5", "--batch-size: received -5"),
        ("train --out x.safetensors --hidden-size 9999999999", "--hidden-size: received 99999"),
        ("train --out x.safetensors --lengths 9999999999", "--lengths: received 9999999999"),
        ("train --out x.safetensors --learning-rate inf", "--learning-rate: received inf"),
        ("train --out x.safetensors --lists 99999999999999999999", "--lists: received 99999"),
        ("evaluate --lengths 99999999999", "--lengths: received 99999999999"),
        ("evaluate --lists 99999999999999999999", "--lists: received 99999"),
    ],
)
def test_what_is_not_allowed_is_said_in_one_line(line, message, capsys):
    assert message in refusal(capsys, *line.split())


@pytest.mark.parametrize("command", ["", "sort", "operators", "experiments", "train", "evaluate"])
def test_help_is_everywhere(command, capsys):
    with pytest.raises(SystemExit) as ended:
        run(*command.split(), "--help")
    assert ended.value.code == 0 and "usage: python -m arlsort" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_trained_is_evaluated(tmp_path, capsys):
    out = tmp_path / "new" / "mine.safetensors"
    run("train", f"--out={out}", *TINY)
    said = capsys.readouterr()
    assert "3/3" in said.err and "3 steps, validated to" in said.out
    assert checkpoint.load(out).training.lengths == (2, 3)
    run("evaluate", f"--checkpoint={out}", "--lists=5", "--lengths", "2")
    assert "exact_order  n=2: " in capsys.readouterr().out
    run("evaluate", f"--checkpoint={out}", "--lists=5", "--lengths", "2", "--json")
    said = document(capsys)
    assert said["algorithm"] == "insertion_sort" and set(said["scores"]["exact_order"]) == {"2"}


@pytest.mark.slow
def test_an_amortised_sort_is_trained_and_evaluated(tmp_path, capsys, monkeypatch):
    out = tmp_path / "mine.safetensors"
    monkeypatch.setattr("arlsort.commands.training.NEAR", 1e-9)
    run("train", f"--out={out}", *SHORT, "--noise=cauchy")
    said = capsys.readouterr()
    assert "3/3" in said.err and "3 steps, validated to n = " in said.out
    assert "for them take more --steps" in said.out
    card = amortized.load_card(out)
    assert card["training"]["noise"] == "cauchy" and card["measured"][0]["n"] == 3
    run("evaluate", f"--checkpoint={out}", "--lists=2", "--lengths", "3")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "amortised sort, noise cauchy"
    assert sum(line.startswith("zeros and ones") for line in lines) == 5
    assert lines[-1].startswith("exact order at temperature 0, n = 3: ")
    run("evaluate", f"--checkpoint={out}", "--lists=2", "--lengths", "3", "--json")
    said = document(capsys)
    assert said["network"] == "amortized" and said["noise"] == "cauchy"
    assert [row["n"] for row in said["distances"]].count(3) == len(said["distances"])
    assert 0 <= said["exact_order"]["3"] <= 1


def test_nothing_of_the_users_is_overwritten(tmp_path, capsys):
    card = tmp_path / "package.json"
    card.write_text("mine")
    arguments = ("train", f"--out={tmp_path / 'package.safetensors'}", *TINY)
    assert "package.json exists" in refusal(capsys, *arguments)
    assert card.read_text() == "mine"


@pytest.mark.slow
def test_what_is_to_be_overwritten_is(tmp_path):
    card = tmp_path / "package.json"
    card.write_text("mine")
    run("train", f"--out={tmp_path / 'package.safetensors'}", *TINY, "--overwrite")
    assert checkpoint.load_card(card.with_suffix(".safetensors"))["steps"] == 3


@pytest.mark.slow
def test_training_that_diverges_writes_nothing(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run("train", f"--out={tmp_path / 'mine.safetensors'}", *TINY, "--learning-rate=1e30")
    assert ended.value.code == 2 and "diverged at step" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_interrupted_training_keeps_what_it_has_learned(tmp_path, monkeypatch, capsys):
    out, whole = tmp_path / "mine.safetensors", training.train

    def interrupted(config, settings, watch):
        def at_two(state, metrics):
            if int(state.step) == 2:
                signal.raise_signal(signal.SIGINT)
            watch(state, metrics)

        return whole(config, settings, watch=at_two)

    monkeypatch.setattr(training, "train", interrupted)
    with pytest.raises(SystemExit) as ended:
        run("train", f"--out={out}", *TINY)
    assert ended.value.code == 130
    assert checkpoint.load_card(out)["steps"] == 2 and "2 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, line, message",
    [
        ("stdout", "operators", "operators: standard output: is closed"),
        ("stdin", "sort -", "sort: standard input: is closed"),
    ],
)
def test_streams_that_are_closed_are_said_in_one_line(name, line, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, name, None)  # as Python has it after `>&-` or `<&-`
    with pytest.raises(SystemExit) as ended:
        run(*line.split())
    assert ended.value.code == 2 and capsys.readouterr().err.endswith(f" {message}\n")


def test_it_is_a_module_and_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m arlsort operators | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=os.environ)
    assert done.stdout.startswith("amortized") and done.stderr == ""
