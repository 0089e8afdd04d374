# SPDX-License-Identifier: Apache-2.0
"""Programs are timed in turn, each as often as there is time for."""

from experiments.benchmarks import timing


def programs(calls, names="ab"):
    return {name: lambda name=name: calls.append(name) for name in names}


def test_programs_take_turns_after_one_run_each():
    calls = []
    seconds = timing.medians(programs(calls), repeats=2)
    assert "".join(calls) == "ababba"
    assert set(seconds) == {"a", "b"} and min(seconds.values()) >= 0


def test_how_often_may_depend_on_the_first_run():
    calls, answers = [], iter((3, 0))
    seconds = timing.in_turn(programs(calls), lambda first: next(answers))
    assert "".join(calls) == "abaaa"
    assert len(seconds["a"]) == 3
    assert len(seconds["b"]) == 1  # the first run is all there is


def test_ratios_are_of_rounds_and_have_quartiles_where_there_are_enough():
    theirs, ours = [2.0, 4.0, 9.0, 8.0, 1.0], [1.0, 2.0, 3.0, 2.0]
    assert timing.ratios(theirs, ours) == {"ratio": 2.5, "ratio_low": 2.0, "ratio_high": 3.25}
    assert timing.ratios(theirs[:3], ours) == {"ratio": 2.0}
