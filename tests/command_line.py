# SPDX-License-Identifier: Apache-2.0
"""Runs the command line in this process."""

import json

import pytest

from arlsort import __main__ as command_line


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
