# SPDX-License-Identifier: Apache-2.0
"""Growth is measured, fitted and drawn."""

from types import SimpleNamespace

import pytest

from experiments.benchmarks import growth, plots


def points(time, memory, lengths=(2, 4, 8, 16, 32)):
    return [{"n": n, "seconds": 3e-3 * n**time, "bytes": 7 * n**memory} for n in lengths]


def test_exponents_are_those_of_the_longer_half():
    bent = [{"n": 2, "seconds": 9.0, "bytes": 9}, {"n": 4, "seconds": 9.0, "bytes": 9}]
    report = {"forward": bent + points(3, 2, (8, 16, 32)), "backward": points(4, 3)[:1]}
    assert growth.exponents(report) == {
        "forward": {"seconds": pytest.approx(3), "bytes": pytest.approx(2)}
    }


def test_theory_has_the_terms_of_pairs_and_triplets():
    assert list(growth.terms(10, "seconds").values()) == [100 * 64 * 64 * 9, 1000 * 8 * 9]
    assert list(growth.terms(10, "bytes").values()) == [100 * 72, 100 * 72 * 9]


@pytest.mark.parametrize("long, calls", [(5.0, 4), (0.0, 1)])
def test_what_takes_long_is_not_repeated(long, calls, monkeypatch):
    monkeypatch.setattr(growth, "LONG", long)
    made = []

    class Compiled:
        def __call__(self, x):
            made.append(x)
            return x

        def memory_analysis(self):
            return SimpleNamespace(temp_size_in_bytes=12)

    lowered = SimpleNamespace(compile=Compiled)
    measured = growth._measured(SimpleNamespace(lower=lambda x: lowered), (3.0,), repeats=3)
    assert made == [3.0] * calls
    assert measured["seconds"] > 0 and measured["bytes"] == 12


def test_a_figure_is_drawn(tmp_path):
    report = {"forward": points(3, 2), "backward": points(4, 3), "training": points(3, 3)[:3]}
    path = plots.growth(report, tmp_path / "growth.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_the_learned_sort_takes_is_a_number_for_each_length():
    found = growth.sorting([3, 4], repeats=1)
    assert set(found) == {"forward", "backward"}
    for measured in found.values():
        assert [point["n"] for point in measured] == [3, 4]
        assert all(point["seconds"] > 0 for point in measured)
