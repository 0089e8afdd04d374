# SPDX-License-Identifier: Apache-2.0
"""`python -m arlsort sort`: where numbers come from, and what is printed of them."""

import io
import json
import re
import sys

import numpy as np
import pytest

import arlsort
from arlsort.operators import parse
from tests.command_line import document, numbers, refusal, run


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


def test_no_permutation_is_refused_where_there_is_none(capsys):
    with pytest.raises(SystemExit) as ended:
        run("sort", "3", "1", "--operator", "permutahedron", "--no-permutation")
    assert ended.value.code == 2 and "--no-permutation" in capsys.readouterr().err


def test_the_permutation_of_a_long_list_is_not_printed(tmp_path, capsys):
    path = tmp_path / "many.txt"
    path.write_text("\n".join(map(str, range(100, 0, -1))), encoding="utf-8")
    run("sort", "--file", str(path), "--operator=hard")
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["sorted", "ranks"]
    assert "100 x 100 weights are not printed" in said.err
    run("sort", "--file", str(path), "--operator=hard", "--no-permutation", "--json")
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["permutation"] is None and len(found["values"]) == 100 and not said.err


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
        ("1\n\n2,,3", "line 3: received a comma without a number"),
        (",1", "line 1: received a comma without a number"),
        ("1 2\n1e39", "line 2: received 1e+39, allowed: at most"),
        (b"\xff\xfe1", "numbers.txt: received bytes, allowed: text in UTF-8"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(text, message, tmp_path, capsys):
    path = tmp_path / "numbers.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in refusal(capsys, "sort", "--file", str(path))


@pytest.mark.parametrize("words", ["3,1,-2", "3, 1, -2,", "-2,1 3", "-.2e1,3 1e0", "-2 1 3"])
def test_numbers_may_have_commas_between_them(words, capsys):
    run("sort", *words.split(), "--operator=hard")
    assert numbers(capsys.readouterr().out.splitlines()[0]) == [-2, 1, 3]


@pytest.mark.parametrize("text", ["1e38 -1e38 0", "inf 1 2", "1 2\n3 -inf"])
def test_numbers_that_a_soft_operator_clips_are_warned_of(text, monkeypatch, capsys):
    def said(text, operator):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        run("sort", "-", "--lines", "--json", f"--operator={operator}")
        return capsys.readouterr()

    bound = float(np.finfo(np.float32).max) / 2**16  # docs/conventions.md
    found = said(text, "softsort")
    told = f"warning: softsort clips numbers to {bound:.4g} in size, such as "
    assert found.err.count("\n") == 1 and found.err.startswith(told)
    assert max(np.abs(json.loads(found.out)["lists"][-1]["values"])) <= np.float32(bound)
    for operator in ("hard", "softsort:hard=true"):
        assert said(text, operator).err == ""
    for harmless in ("5.19e33 -5.19e33", "nan inf"):
        assert said(harmless, "softsort").err == ""


def test_the_help_says_what_the_warning_does(capsys):
    with pytest.raises(SystemExit):
        run("sort", "--help")
    help_text = " ".join(capsys.readouterr().out.split())
    run(*["sort", "inf", "1", "--operator", "softsort"])
    (bound,) = re.findall("clips numbers to ([^,]+)", capsys.readouterr().err)
    assert f"clip numbers, infinities too, to {bound}." in help_text


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
    said = refusal(capsys, "sort", *map(str, range(129)), "--operator", spec)
    limit = 16 if ":" in spec else 128
    assert f"sort: numbers: received lists of 129, allowed: at most {limit}" in said
    assert "True" not in said and "LapSum" not in said
    offered = re.findall(r"--operator ([^\s,;]+(?:,\w+=\w+)?)", said)
    longer = f"{spec}{',' if ':' in spec else ':'}allow_extrapolation=true"
    assert offered == [spec, "lapsum", longer]
    assert parse(longer).allow_extrapolation
    run("sort", *map(str, range(129)), "--operator=lapsum")


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


@pytest.mark.parametrize("temperature", ["1e-60", "1e-45", "1e60"])
def test_temperatures_beyond_float32_give_their_limit(temperature, capsys):
    run("sort", "3", "1", "--operator", "softsort", "--temperature", temperature)
    sorted_line = capsys.readouterr().out.splitlines()[0]
    expected = [2.0, 2.0] if temperature == "1e60" else [1.0, 3.0]
    np.testing.assert_allclose([float(v) for v in sorted_line.split()[1:]], expected)


def test_numbers_may_be_written_as_programs_print_them(capsys):
    run(*["sort", "3", "-1e-3", "-2.5E+2", "-.5", "--operator", "hard"])
    assert numbers(capsys.readouterr().out.splitlines()[0]) == [-250, -0.5, -0.001, 3]
    run(*["sort", "inf", "1", "-inf", "--operator", "hard"])
    assert "inf" in capsys.readouterr().out


def test_an_operator_that_draws_gets_its_seed(capsys):
    run(*["sort", "3", "1", "2", "--operator", "perturbed", "--temperature", "0.01", "--seed", "3"])
    assert numbers(capsys.readouterr().out.splitlines()[0]) == pytest.approx([1, 2, 3], abs=0.01)
