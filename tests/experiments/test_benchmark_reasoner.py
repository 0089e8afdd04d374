# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from experiments import benchmark_reasoner as benchmark
from tests.experiments.flags import kept


def run(*arguments):
    with kept(benchmark.FLAGS):
        benchmark.SCRIPT.run(["benchmark_reasoner.py", *arguments])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--cases=bogosort:3"], "--cases: received 'bogosort:3', allowed: algorithm:length"),
        (["--cases=quicksort:1"], "--cases: received 'quicksort:1'"),
        (["--learned_lengths=x"], "--learned_lengths: received 'x'"),
        (["--learned_lengths=99"], "--learned_lengths: received '99', allowed: integers from 2"),
        (["--repeats=0"], "--repeats: received 0, allowed: an integer >= 1"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_info:
        run(*arguments)
    error = capsys.readouterr().err.strip()
    assert exit_info.value.code == 2
    assert message in error and "\n" not in error


def test_programs_take_turns_after_one_run_each():
    calls = []
    seconds = benchmark.in_turn({k: lambda k=k: calls.append(k) for k in "ab"}, repeats=2)
    assert "".join(calls) == "ababab"
    assert set(seconds) == {"a", "b"} and min(seconds.values()) >= 0


def test_samplers_are_measured():
    case = benchmark.sampler_case("insertion_sort", 4, 2, 1)
    assert case["our_samples_per_second"] > case["their_samples_per_second"] > 0


def test_the_table_has_ratios_of_what_was_measured():
    seconds = {"their_step": 3.0, "our_step": 1.0, "their_prediction": 4.0, "our_prediction": 2.0}
    sizes = {"their_bytes": 100, "our_bytes": 25}
    case = {"algorithm": "quicksort", "n": 8}
    table = benchmark.render(
        {
            "config": {"batch_size": 2, "hidden_size": 4, "repeats": 1, "learned_batch": 7},
            "machine": {"device": "cpu", "cpus": 2},
            "reasoner": [{**case, "seconds": seconds, **sizes}],
            "sampler": [{**case, "their_samples_per_second": 1, "our_samples_per_second": 60.4}],
            "learned": [
                {"n": 5, "seconds": {"learned": 2.0, "dense": 1.0, "cnn": 8.0, "rival": 4}}
            ],
        }
    )
    assert (
        "| quicksort | 8 | 3.0 times as fast | 2.0 times as fast | 0.25 of theirs "
        "| 60 times as many |" in table
    )
    assert "| 5 | 2.00 | 0.25 | 0.50 |" in table


@pytest.mark.peers
def test_everything_is_measured_and_written(tmp_path, capsys):
    out = tmp_path / "speed.json"
    run(
        *("--cases=insertion_sort:3,quicksort:3", "--hidden_size=8", "--batch_size=2"),
        *("--learned_lengths=3", "--learned_batch=2", "--repeats=1", f"--out={out}"),
    )
    report = json.loads(out.read_text())
    assert [case["algorithm"] for case in report["reasoner"]] == ["insertion_sort", "quicksort"]
    assert report["config"]["hidden_size"] == 8
    assert benchmark.render(report) in capsys.readouterr().out
