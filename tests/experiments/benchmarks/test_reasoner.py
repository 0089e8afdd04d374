# SPDX-License-Identifier: Apache-2.0
import json

import jax
import pytest

from experiments.benchmarks import reasoner as benchmark
from experiments.benchmarks.tables import speed_table
from tests.experiments.flags import kept, refusal


def run(*arguments):
    with kept(benchmark.FLAGS):
        benchmark.SCRIPT.run(["reasoner.py", *arguments])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--cases=bogosort:3"], "--cases: received 'bogosort:3', allowed: algorithm:length"),
        (["--cases=quicksort:1"], "--cases: received 'quicksort:1'"),
        (["--learned_lengths=x"], "--learned_lengths: received 'x'"),
        (["--learned_lengths=99"], "--learned_lengths: received '99', allowed: integers from 2"),
        (["--growth=8,4"], "--growth: received [8, 4], allowed: each length once, ascending"),
        (["--learning=x"], "--learning: received 'x', allowed: integers of at least 2"),
        (["--long=heapsort"], "--long: received 'heapsort', allowed: algorithm:length"),
        (["--samplers=bogosort"], "--samplers: received 'bogosort', allowed: insertion_sort"),
        (["--sampler_length=1"], "--sampler_length: received 1, allowed: an integer >= 2"),
        (["--out=speed.png"], "--out: received speed.png, allowed: a file that ends in .json"),
        (["--repeats=0"], "--repeats: received 0, allowed: an integer >= 1"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


def test_samplers_are_measured():
    case = benchmark.sampler_case("insertion_sort", 4, 2, 1)
    assert case["our_samples_per_second"] > case["their_samples_per_second"] > 0


def test_the_table_has_ratios_of_what_was_measured():
    seconds = {"their_step": 3.0, "our_step": 1.0, "their_prediction": 4.0, "our_prediction": 2.0}
    sizes = {"their_bytes": 100, "our_bytes": 25}
    case = {"algorithm": "quicksort", "n": 8}
    growing = [{"n": n, "seconds": n**3, "bytes": n**2} for n in (2, 4, 8, 16)]
    remat = {"none": 9e9, "elementwise": 8e9, "all": 1e9}
    table = speed_table(
        {
            "config": {"batch_size": 2, "hidden_size": 4, "repeats": 1, "learned_batch": 7},
            "machine": {"device": "cpu", "cpus": 2},
            "rival": "odd_even",
            "reasoner": [{**case, "seconds": {**seconds, "products": 0.5}, **sizes}],
            "sampler": [{**case, "their_samples_per_second": 1, "our_samples_per_second": 60.4}],
            "learned": [
                {"n": 5, "seconds": {"learned": 2.0, "dense": 1.0, "cnn": 8.0, "rival": 4}}
            ],
            "growth": {"forward": growing, "backward": [], "training": []},
            "bfloat16": [{**case, "loss": 0.001, "gradient": 0.02}],
            "long": [{**case, **remat, "hints": 2017, "lists": 1}],
        }
    )
    for line in (
        "| quicksort | 8 | 3.0 times as fast | 0.25 of theirs | 2.0 times as fast | 8.0 |",
        "| quicksort | 8 | 60 |",
        "| 5 | 2.00 | 0.25 | 0.50 |",
        "| learned sort, P | 8 to 16 | n^3.00 | n^3 to n^4 | n^2.00 | n^2 |",
        "errs by 0.1 % in the loss and 2 % in the gradient",
        "(2,017 hints, lists in a step: 1) works in 9.00 GB with remat=none",
    ):
        assert line in table, line


@pytest.mark.slow
@pytest.mark.peers
def test_everything_is_measured_and_written(tmp_path, capsys):
    out = tmp_path / "speed.json"
    with jax.numpy_rank_promotion("allow"):  # CLRS relies on it
        run(
            *("--cases=insertion_sort:3,quicksort:3", "--hidden_size=8", "--batch_size=2"),
            *("--samplers=insertion_sort,heapsort", "--sampler_length=3"),
            *("--learned_lengths=3", "--learned_batch=2", "--repeats=1", f"--out={out}"),
            *("--growth=3,4", "--learning=3,4", "--long=heapsort:3"),
        )
    report = json.loads(out.read_text())
    assert [case["algorithm"] for case in report["reasoner"]] == ["insertion_sort", "quicksort"]
    assert report["config"]["hidden_size"] == 8
    assert [point["n"] for point in report["growth"]["training"]] == [3, 4]
    printed = capsys.readouterr().out
    assert speed_table(report) in printed
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
