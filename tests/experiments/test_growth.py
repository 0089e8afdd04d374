# SPDX-License-Identifier: Apache-2.0
"""Growth is measured, fitted and drawn."""

import jax
import jax.numpy as jnp
import pytest

from experiments import growth, plots


def points(time, memory, lengths=(2, 4, 8, 16, 32)):
    return [{"n": n, "seconds": 3e-3 * n**time, "bytes": 7 * n**memory} for n in lengths]


def test_exponents_are_those_of_the_longer_half():
    bent = [{"n": 2, "seconds": 9.0, "bytes": 9}, {"n": 4, "seconds": 9.0, "bytes": 9}]
    report = {"forward": bent + points(3, 2, (8, 16, 32)), "backward": points(4, 3)[:1]}
    assert growth.exponents(report) == {
        "forward": {"seconds": pytest.approx(3), "bytes": pytest.approx(2)}
    }


def test_theory_has_the_terms_of_pairs_and_triplets():
    one, other = growth.terms(10, "seconds").values()
    assert (one, other) == (100 * 64 * 64 * 9, 1000 * 8 * 9)
    one, other = growth.terms(10, "bytes").values()
    assert (one, other) == (100 * 64 * 9, 1000 * 8 * 9)


def test_time_and_memory_of_a_function_are_measured():
    calls = []

    def sort(x):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.sort(x @ x)

    measured = growth._measured(jax.jit(sort), (jnp.ones((64, 64)),), repeats=3)
    jax.effects_barrier()
    assert len(calls) == 4, "once for its memory to be new, then three times"
    assert measured["seconds"] > 0 and measured["bytes"] > 0


def test_a_figure_is_drawn(tmp_path):
    report = {"forward": points(3, 2), "backward": points(4, 3), "training": points(3, 3)[:3]}
    path = plots.growth(report, tmp_path / "growth.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_what_the_learned_sort_takes_is_a_number_for_each_length():
    found = growth.sorting([3, 4], repeats=1)
    assert set(found) == {"forward", "backward"}
    for measured in found.values():
        assert [point["n"] for point in measured] == [3, 4]
        assert all(point["seconds"] > 0 for point in measured)
