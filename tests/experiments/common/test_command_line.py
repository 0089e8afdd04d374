# SPDX-License-Identifier: Apache-2.0
"""What a user sees of a script that cannot go on."""

import signal

import pytest
from absl import flags

from experiments.common.command_line import FlagError, Interrupted, Script, Stop, definers
from tests.experiments.flags import refusal


def script(main=lambda: None, errors=()):
    values = flags.FlagValues()
    definers(values).integer("lists", 3, "How many lists.")
    return Script("sorter", "Sorts.", values, main, errors)


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--no_such=1"], "no_such"),
        (["--lists=many"], "lists"),
        (["extra"], "unexpected argument 'extra'; settings are flags, --name=value"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(arguments, message, capsys):
    error = refusal(lambda: script().run(["sorter.py", *arguments]), capsys)
    assert error.startswith("sorter: ") and message in error


@pytest.mark.parametrize(
    "error", [FlagError("--lists: received\n0"), OSError("--lists: received 0")]
)
def test_what_the_user_can_mend_is_one_line(error, capsys):
    said = refusal(lambda: script(raising(error), (OSError,)).run(["sorter.py"]), capsys)
    assert said == "sorter: --lists: received 0\n"


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        script(raising(ZeroDivisionError()), (OSError,)).run(["sorter.py"])


@pytest.mark.parametrize("resumes, said", [(True, "; --resume continues"), (False, "")])
@pytest.mark.parametrize("error", [Interrupted(), KeyboardInterrupt()])
def test_an_interruption_says_how_to_go_on_if_it_can(error, resumes, said, capsys):
    one = script(raising(error))
    if resumes:
        definers(one.flags).boolean("resume", False, "Go on.")
    with pytest.raises(SystemExit) as ended:
        one.run(["sorter.py"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == f"sorter: interrupted{said}\n"


def test_help_begins_with_what_the_script_does(capsys):
    with pytest.raises(SystemExit) as ended:
        script().run(["sorter.py", "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("Sorts.") and "--lists" in out


def test_flags_reach_the_script():
    one = script()
    one.run(["sorter.py", "--lists=7"])
    assert one.flags.lists == 7


def test_the_first_signal_asks_and_the_second_ends_as_usual():
    before = signal.getsignal(signal.SIGINT)
    with Stop().on_signals() as stop:
        assert not stop.requested
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == before
