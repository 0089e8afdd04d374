# SPDX-License-Identifier: Apache-2.0
"""`python -m arlsort`: every command does its work, and says in one line what is not allowed."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import arlsort
from arlsort import __main__ as command_line
from arlsort.amortized import checkpoint as amortized
from arlsort.commands import listing, output
from arlsort.operators import names, parse
from arlsort.reasoner import checkpoint, training

ROOT = Path(__file__).resolve().parent.parent
SHORT = ("--steps=3", "--lengths", "2", "3", "--lists=10", "--batch-size=4")
TINY = ("--network=executed", "--hidden-size=8", *SHORT)


def run(*arguments):
    command_line.main(list(arguments))


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.count("\n") == 1
    return error


def document(capsys):
    """The one JSON document that was printed, without the tokens that JSON does not have."""

    def refuse(token):
        raise AssertionError(token)

    return json.loads(capsys.readouterr().out, parse_constant=refuse)


def numbers(line):
    return [float(word) for word in line.split() if not word.isalpha()]


def test_sort_prints_values_ranks_and_the_permutation(capsys):
    run(*["sort", "3", "1", "-2", "--operator", "softsort", "--temperature", "0.5"])
    lines = capsys.readouterr().out.splitlines()
    x, operator = np.array([3.0, 1.0, -2.0], np.float32), arlsort.SoftSort(temperature=0.5)
    expected = [arlsort.sort(x, operator), arlsort.rank(x, operator)]
    expected += list(arlsort.permutation(x, operator))
    assert len(lines) == len(expected)
    for line, values in zip(lines, expected, strict=True):
        np.testing.assert_allclose(numbers(line), values, rtol=1e-3, atol=1e-6)


def test_sort_without_a_permutation_prints_none(capsys):
    run(*["sort", "3", "1", "2", "--operator", "permutahedron:temperature=0.1", "--descending"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["sorted", "ranks"]
    assert numbers(lines[1]) == [0, 2, 1]


def test_operators_lists_all(capsys):
    run("operators")
    text = capsys.readouterr().out
    assert all(f"{name} " in text for name in names()) and "temperature=0.1" in text


@pytest.mark.parametrize("text", ["3,1,-2\n", "3 1\n\n-2", "\ufeff3\r\n1\r\n-2e0,\r\n", "3,\n1 -2"])
def test_numbers_come_from_a_file_too(text, tmp_path, monkeypatch, capsys):
    path = tmp_path / "numbers.txt"
    path.write_text(text, encoding="utf-8")
    run("sort", "--file", str(path), "--operator=hard")
    said = capsys.readouterr().out
    assert numbers(said.splitlines()[0]) == [-2, 1, 3]
    monkeypatch.setattr(sys, "stdin", io.StringIO(text.removeprefix("\ufeff")))
    run("sort", "-", "--operator=hard")
    assert capsys.readouterr().out == said


def test_each_line_may_be_a_list(monkeypatch, capsys):
    lists = {1: [3.0, 1.0], 2: [5.0, 0.1, 2.0], 4: [1.0, 2.0]}
    text = "3 1\n5, 0.1, 2\n\n1 2\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    run("sort", "-", "--lines", "--json", "--operator=softsort", "--descending")
    said = document(capsys)
    assert [each["line"] for each in said["lists"]] == list(lists)
    for each, x in zip(said["lists"], lists.values(), strict=True):
        expected = arlsort.sort(np.array(x, np.float32), "softsort", descending=True)
        np.testing.assert_allclose(each["values"], expected, rtol=1e-6)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    run("sort", "--file=-", "--lines", "--operator=softsort")
    parts = capsys.readouterr().out.split("\n\n")
    assert [len(numbers(part.splitlines()[0])) for part in parts] == [2, 3, 2]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "holds no numbers"),
        (" \n\n", "holds no numbers"),
        ("1 2\n3 x\n", "line 2: received 'x', allowed: numbers"),
        ("1\n\n2,,3", "line 3: received a comma too many"),
        (",1", "line 1: received a comma too many"),
        ("1 2\n1e39", "line 2: received 1e+39, allowed: at most"),
        (b"\xff\xfe1", "numbers.txt: received bytes, allowed: text in UTF-8"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(text, message, tmp_path, capsys):
    path = tmp_path / "numbers.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in refusal(capsys, "sort", "--file", str(path))


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_bytes_that_are_no_text_are_those_of_standard_input(errors, monkeypatch, capsys):
    stdin = io.TextIOWrapper(io.BytesIO(b"1\n\xff\xfe1"), encoding="utf-8", errors=errors)
    monkeypatch.setattr(sys, "stdin", stdin)
    said = refusal(capsys, "sort", "-")
    assert "sort: standard input: received bytes, allowed: text in UTF-8" in said
    text = "\ufeff3\r1,2\r"  # as a file of the same bytes
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    run("sort", "-", "--lines", "--operator=hard", "--json")
    assert [each["values"] for each in document(capsys)["lists"]] == [[3], [1, 2]]


@pytest.mark.parametrize("spec", ["amortized", "learned:temperature=0.3"])
def test_lists_that_are_too_long_are_answered_by_flags(spec, capsys):
    said = refusal(capsys, "sort", *map(str, range(65)), "--operator", spec)
    assert (
        f"sort: numbers: received lists of 65, allowed: at most {16 if ':' in spec else 64}" in said
    )
    assert "True" not in said and "LapSum" not in said
    offered = re.findall(r"--operator ([^\s,;]+(?:,\w+=\w+)?)", said)
    longer = f"{spec}{',' if ':' in spec else ':'}allow_extrapolation=true"
    assert offered == [spec, "lapsum", longer]
    assert parse(longer).allow_extrapolation
    run("sort", *map(str, range(65)), "--operator=lapsum")


def test_sort_prints_json_that_every_parser_reads(capsys):
    run(*["sort", "3", "1", "0.1", "--operator", "softsort", "--temperature", "0.2", "--json"])
    said = document(capsys)
    x, operator = np.array([3, 1, 0.1], np.float32), arlsort.SoftSort(temperature=0.2)
    for name, function in (("values", arlsort.sort), ("ranks", arlsort.rank)):
        np.testing.assert_array_equal(np.float32(said[name]), function(x, operator))
    np.testing.assert_array_equal(np.float32(said["permutation"]), arlsort.permutation(x, operator))
    assert said["operator"] == "softsort" and said["temperature"] == 0.2
    run(*["sort", "nan", "inf", "--operator", "permutahedron", "--json"])
    said = document(capsys)
    assert said["permutation"] is None and said["values"] == [None, None]


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
    assert "no part of the installed package; get them: git clone" in refusal(capsys, "experiments")


@pytest.mark.parametrize("temperature", ["1e-60", "1e-45", "1e60"])
def test_temperatures_beyond_float32_give_their_limit(temperature, capsys):
    run("sort", "3", "1", "--operator", "softsort", "--temperature", temperature)
    sorted_line = capsys.readouterr().out.splitlines()[0]
    expected = [2.0, 2.0] if temperature == "1e60" else [1.0, 3.0]
    np.testing.assert_allclose([float(v) for v in sorted_line.split()[1:]], expected)


@pytest.mark.parametrize(
    "line, message",
    [
        ("", "required: COMMAND"),
        ("sort", "numbers: received none, allowed: numbers, - for standard input, or --file"),
        ("sort a", "numbers: received 'a', allowed: numbers"),
        ("sort 1 --file x.txt", "numbers: received 1 and --file x.txt, allowed: one of them"),
        ("sort 1 2 --lines", "--lines: is of a file"),
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
        ("evaluate --checkpoint none.safetensors", "none.json: cannot be read"),
        ("evaluate --checkpoint x.safetensors --noise cauchy", "--checkpoint: says the sort"),
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
def test_an_amortised_sort_is_trained_and_evaluated(tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    run("train", f"--out={out}", *SHORT, "--noise=cauchy")
    said = capsys.readouterr()
    assert "3/3" in said.err and "3 steps, validated to n = " in said.out
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


def test_numbers_may_be_written_as_programs_print_them(capsys):
    run(*["sort", "3", "-1e-3", "-2.5E+2", "-.5", "--operator", "hard"])
    assert numbers(capsys.readouterr().out.splitlines()[0]) == [-250, -0.5, -0.001, 3]
    run(*["sort", "inf", "1", "-inf", "--operator", "hard"])
    assert "inf" in capsys.readouterr().out


def test_an_operator_that_draws_gets_its_seed(capsys):
    run(*["sort", "3", "1", "2", "--operator", "perturbed", "--temperature", "0.01", "--seed", "3"])
    assert numbers(capsys.readouterr().out.splitlines()[0]) == pytest.approx([1, 2, 3], abs=0.01)


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


def test_it_is_a_module_and_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m arlsort operators | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=os.environ)
    assert done.stdout.startswith("amortized") and done.stderr == ""
