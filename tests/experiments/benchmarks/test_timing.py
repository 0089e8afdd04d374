# SPDX-License-Identifier: Apache-2.0
"""Programs are timed in turn, each as often as there is time for."""

from experiments.benchmarks import timing


def programs(calls, names="ab"):
    return {name: lambda name=name: calls.append(name) for name in names}


def test_programs_take_turns_after_one_run_each():
    calls = []
    seconds = timing.medians(programs(calls), repeats=2)
    assert "".join(calls) == "ababab"
    assert set(seconds) == {"a", "b"} and min(seconds.values()) >= 0


def test_how_often_may_depend_on_the_first_run():
    calls, answers = [], iter((3, 0))
    seconds = timing.in_turn(programs(calls), lambda first: next(answers))
    assert "".join(calls) == "abaaa"
    assert len(seconds["a"]) == 3
    assert len(seconds["b"]) == 1  # the first run is all there is
