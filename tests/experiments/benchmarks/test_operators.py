# SPDX-License-Identifier: Apache-2.0
"""Every operator is timed beside its peers, within limits, and what cannot run is said."""

import json
import math
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.operators import parse
from experiments.benchmarks import operator_tables, operators, peers, preparing, programs, shipped
from tests.experiments.flags import kept, refusal

GENEROUS = programs.Limits(repeats=1, budget_seconds=60.0, give_up_seconds=60.0, max_bytes=1e9)


def run(*arguments):
    with kept(operators.FLAGS):
        operators.SCRIPT.run(["operators.py", *arguments])


def pretender(name="a", function=jnp.sort, framework="jax", **values):
    """A peer that needs nothing installed."""
    return peers.Peer("numpy", name, framework, **{"values": lambda n, t: function, **values})


def alone(name, *others):
    of = programs.subject(name)
    return programs.Subject(of.name, of.spec, of.operator, others)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--operators=bogosort"], "--operators: received 'bogosort', allowed: amortized"),
        (["--lengths=8,4"], "--lengths: received 8,4, allowed: integers of at least 2, each once"),
        (["--lengths=1"], "--lengths: received 1"),
        (["--long=x"], "--long: received x"),
        (["--lengths=8", "--long=8"], "--long: received [8], allowed: integers above 8"),
        (["--smaller=8"], "--smaller: received '8', allowed: n:batch"),
        (["--smaller=8:0"], "--smaller: received '8:0'"),
        (["--batch_size=0"], "--batch_size: received 0, allowed: an integer >= 1"),
        (["--repeats=0"], "--repeats: received 0"),
        (["--budget_seconds=0"], "--budget_seconds: received 0.0, allowed: a number > 0"),
        (["--give_up_seconds=-1"], "--give_up_seconds: received -1.0"),
        (["--max_gigabytes=0"], "--max_gigabytes: received 0.0"),
        (["--minutes=0"], "--minutes: received 0.0"),
        (["--directions=up"], "--directions: received 'up', allowed: forward, backward"),
        (["--picking=bogosort"], "--picking: received 'bogosort'"),
        (["--picking_lengths=1"], "--picking_lengths: received 1"),
        (["--out=x.png"], "--out: received x.png, allowed: a file that ends in .json"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


def test_long_lists_of_weights_come_in_smaller_batches():
    config = {"lengths": [8, 16, 32], "batch_size": 4, "smaller": [(16, 2), (32, 1)], "long": [64]}
    config["picking_lengths"] = [4, 32]
    assert operators.sizes(config, "permutation") == [(8, 4), (16, 2), (32, 1)]
    assert operators.sizes(config, "values") == [(8, 4), (16, 4), (32, 4), (64, 1)]
    assert operators.sizes(config, "top_k") == [(4, 4), (32, 1)]


def test_all_rows_of_peers_are_of_registered_operators():
    for name, row in peers.ROWS.items():
        assert programs.subject(name).operator == parse(f"{name}:{row.settings}")


def test_an_operator_is_measured_beside_a_peer_and_the_yardstick():
    of = alone("hard", pretender())
    first, second = programs.measure(of, "values", "backward", [(2, 3), (4, 1)], GENEROUS, 4)
    assert (first["n"], first["batch"], first["spec"]) == (2, 3, "hard")
    assert set(first["peers"]) == {"numpy a"}
    assert set(second["peers"]) == {"numpy a", programs.YARDSTICK}
    for measured in (second["ours"], *second["peers"].values()):
        assert 0 < measured["fastest"] <= measured["seconds"]
        assert measured["ready_seconds"] > 0
        assert measured["bytes"] >= 2 * 4 * 4  # values and gradient, at the least
    ratio = second["peers"]["numpy a"]["seconds"] / second["ours"]["seconds"]
    assert second["peers"]["numpy a"]["ratio"] == pytest.approx(ratio)


def test_weights_have_a_floor_of_bytes_and_the_time_to_move_them():
    (forward,) = programs.measure(alone("hard"), "permutation", "forward", [(3, 2)], GENEROUS)
    (backward,) = programs.measure(alone("hard"), "permutation", "backward", [(3, 2)], GENEROUS)
    assert (forward["floor_bytes"], backward["floor_bytes"]) == (2 * 9 * 4, 2 * 2 * 9 * 4)
    for record in (forward, backward):
        assert record["memory"]["bytes"] >= 2 * 9 * 4
        moved = record["memory"]["seconds"] / record["ours"]["seconds"]
        assert operator_tables.share(record) == pytest.approx(moved)
    (values,) = programs.measure(alone("hard"), "values", "forward", [(3, 2)], GENEROUS)
    assert "memory" not in values and operator_tables.share(values) is None


def test_the_least_movement_is_a_new_array_and_with_the_gradient_a_copy():
    cotangent = np.arange(4.0, dtype=np.float32).reshape(1, 2, 2)
    np.testing.assert_array_equal(preparing.movement("forward", cotangent).run(), 1.0)
    np.testing.assert_array_equal(preparing.movement("backward", cotangent).run(), cotangent)


@pytest.mark.parametrize("direction", preparing.DIRECTIONS)
def test_each_movement_is_into_memory_that_is_new_to_the_process(direction):
    move = preparing.movement(direction, np.ones((4, 512, 512), np.float32))
    move.run()
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        move.run()
        found = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        assert found * resource.getpagesize() >= move.bytes


def test_a_selection_is_measured_beside_the_whole_permutation():
    sizes = [(7, 2)]
    for what in ("top_k", "quantile"):
        (record,) = programs.measure(alone("softsort"), what, "backward", sizes, GENEROUS)
        assert record["peers"][programs.WHOLE]["ratio"] > 0
    (record,) = programs.measure(alone("permutahedron"), "top_k", "backward", sizes, GENEROUS)
    assert "allowed: " in record["ours"]["skipped"] and programs.WHOLE not in record["peers"]


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=[pytest.mark.slow] * (what != "quantile"))
        for what in programs.selections.FUNCTIONS
    ],
)
def test_selections_are_those_of_the_whole_permutation(what):
    x, mix = programs.inputs(what, 9, 2)
    tried = programs.candidates(alone("lapsum"), what, 9)
    ours, whole = (jax.tree.leaves(tried[name][0]()(x)) for name in ("lapsum", programs.WHOLE))
    for one, other, cotangent in zip(ours, whole, jax.tree.leaves(mix), strict=True):
        assert one.shape == cotangent.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_the_weighted_sum():
    x, mix = programs.inputs("values", 4, 2)
    result, gradient = preparing.prepare(
        lambda: lambda x: jnp.sort(x, axis=-1), "jax", "backward", x, mix
    ).run()
    np.testing.assert_array_equal(result, np.sort(x, axis=-1))
    expected = np.take_along_axis(mix, np.argsort(np.argsort(x)), axis=-1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_what_fails_or_is_too_long_or_too_large_says_so():
    def broken(x):
        raise RuntimeError("out of order\nand more")

    others = (pretender("b", broken), pretender("c", np.sort, "numpy"))
    sizes = [(4, 1), (8, 1)]
    first, second = programs.measure(alone("hard", *others), "values", "backward", sizes, GENEROUS)
    assert first["peers"]["numpy b"] == {"failed": "RuntimeError: out of order"}
    assert second["peers"]["numpy b"] == {"skipped": "failed at n = 4"}
    assert first["peers"]["numpy c"] == {"skipped": "no gradient"}
    (long,) = programs.measure(alone("learned"), "values", "forward", [(99, 1)], GENEROUS)
    assert "lists of 99 scores, allowed: at most" in long["ours"]["skipped"]
    tight = programs.Limits(1, 1.0, 60.0, max_bytes=10.0)
    (large,) = programs.measure(alone("hard"), "values", "forward", [(4, 1)], tight)
    assert large["ours"] == {"skipped": "needs 0.0 GB"}


def test_how_often_a_program_runs_depends_on_its_first_run():
    limits = programs.Limits(repeats=15, budget_seconds=2.0, give_up_seconds=9.0, max_bytes=1.0)
    assert [limits.runs(first) for first in (0.01, 0.4, 1.5, 3.0)] == [15, 5, 4, 1]


def test_a_program_that_compiles_slowly_is_measured_at_every_length():
    def slow():
        time.sleep(0.3)
        return jnp.sort

    peer = peers.Peer("numpy", "slow", "jax", values=lambda n, t: slow())
    limits = programs.Limits(1, 1.0, give_up_seconds=2.0, max_bytes=math.inf)
    sizes = [(16, 1), (128, 1)]
    for record in programs.measure(alone("hard", peer), "values", "forward", sizes, limits):
        assert record["peers"]["numpy slow"]["ready_seconds"] >= 0.3
        assert "seconds" in record["peers"]["numpy slow"]


def test_time_is_expected_to_grow_as_it_did():
    series = programs.Series(growth=2.5)
    assert series.expected(8, 1) == 0.0
    series.points.append((8, 1.0))
    assert series.expected(16, 2) == pytest.approx(2 * 2**2.5)
    series.points.append((16, 4.0))
    assert series.expected(64, 1) == pytest.approx(4 * 4**2)
    series.points.append((32, 400.0))  # steeper than any method: something else was on
    assert series.expected(64, 1) == pytest.approx(400 * 2**programs.FASTEST_GROWTH)
    few = programs.Limits(1, 1.0, give_up_seconds=1e-9, max_bytes=math.inf)
    first, second = programs.measure(alone("hard"), "values", "forward", [(2, 1), (4, 1)], few)
    assert "seconds" in first["ours"]
    assert second["ours"]["skipped"].startswith("would take about")


def test_growth_is_what_the_registry_states():
    assert [programs.growth("bitonic", what) for what in programs.WHAT] == [1.0, 2.5]
    assert programs.growth("learned", "values") == 4.0
    assert programs.growth("permutahedron", "top_k_mask") == 2.0


def test_nothing_is_begun_when_time_is_over():
    over = programs.Limits(1, 1.0, 60.0, math.inf, until=time.monotonic() - 1.0)
    (record,) = programs.measure(alone("hard", pretender()), "values", "forward", [(4, 1)], over)
    assert record["ours"] == record["peers"]["numpy a"] == {"skipped": "no time left"}


def test_what_was_left_out_is_said_with_its_reason(capsys):
    with kept(operators.FLAGS):
        operators.SCRIPT.parse(["operators.py", "--quick", "--lengths=4"])
        config = operators.settings()
        assert config["lengths"] == [4] and config["directions"] == ["backward"]
        record = {"operator": "hard", "what": "values", "direction": "backward", "ours": {}}
        records = [
            {**record, "n": n, "peers": {"a b": {"skipped": "would take about 9 s"}}}
            for n in (4, 8)
        ]
        said = operators.left_out({"config": config, "records": records})
    assert "left out, would take too long: a b of hard, values backward, n >= 4" in said
    assert "  --minutes=2.4 for 30.0" in said and "--lengths" not in said


def test_times_of_other_weights_are_named():
    names = ["hard", "learned", "amortized"]
    today = {"weights": shipped.fingerprints()}
    assert shipped.remark(today, names) == ""
    today["weights"]["learned"] = "other"
    assert shipped.remark(today, names) == "The times of `learned` are of earlier weights."
    assert "`learned` and `amortized` are of earlier" in shipped.remark({}, names)
    assert shipped.remark({}, ["hard"]) == ""


def test_where_a_peer_is_faster_is_told_first_and_only_if_it_is_sure():
    def record(n, **peers):
        ours = {"seconds": 1.0, "ready_seconds": 2.0, "runs": 1, "bytes": 1}
        what = {"what": "values", "direction": "forward", "operator": "hard", "spec": "hard"}
        return {**what, "n": n, "batch": 1, "ours": ours, "peers": peers}

    report = {
        "config": {"batch_size": 1},
        "machine": {"device": "cpu", "cpus": 2, "jax": "0"},
        "commit": "0123456789abcdef-dirty",
        "peers": {},
        "seconds": 600.0,
        "deviations": [],
        "records": [
            record(2, sure={"ratio": 0.5, "ratio_low": 0.4, "ratio_high": 0.6}),
            record(4, unsure={"ratio": 0.9, "ratio_low": 0.7, "ratio_high": 1.1}),
            record(8, **{programs.YARDSTICK: {"ratio": 0.1}}, even={"skipped": "no gradient"}),
        ],
    }
    table = operator_tables.operators_table(report)
    assert table.count("| `hard` | sure |") == 2 and "0.5 [0.4, 0.6]" in table
    assert table.count("| `hard` | unsure |") == 1 and "| even |" not in table
    assert "commit 0123456789 with changes. A dash: it has no gradient. The run took 10" in table
    assert table.index("| unsure |") < table.index(f"| {programs.YARDSTICK} |")


def test_deviations_tell_like_from_unlike():
    same = pretender(function=lambda x: jnp.sort(x, axis=-1))
    other = pretender("b", function=lambda x: jnp.sort(x, axis=-1) + 0.5)
    found = programs.deviations(alone("hard", same, other))
    assert [(d["peer"], d["what"]) for d in found] == [("numpy a", "values"), ("numpy b", "values")]
    assert [d["deviation"] for d in found] == [0.0, pytest.approx(0.5)]


@pytest.mark.slow
def test_everything_is_measured_written_and_rendered(tmp_path, capsys):
    out = tmp_path / "speed.json"
    run(
        *("--operators=hard,softsort", "--lengths=2,4", "--smaller=4:1", "--long=8"),
        *("--batch_size=2", "--repeats=1", "--picking_lengths=6", f"--out={out}"),
    )
    found = json.loads(out.read_text())
    measured = {(r["operator"], r["what"], r["direction"]) for r in found["records"]}
    assert measured == {
        (name, what, direction)
        for name in ("hard", "softsort")
        for what in programs.WHAT
        for direction in preparing.DIRECTIONS
    } | {("softsort", what, "backward") for what in programs.selections.FUNCTIONS}
    assert all("seconds" in record["ours"] for record in found["records"])
    assert found["seconds"] > 0
    printed = capsys.readouterr().out
    assert "softsort: permutation, backward\n  n =      2, batch  2: " in printed
    assert "jnp.sort" in printed
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    table = operator_tables.operators_table(found)
    assert "**P and its gradient**" in table
    assert (
        "In brackets the share, in percent, of the speed at which an array like P is copied"
        in table
    )
    assert "| operator | n = 2 | n = 4, 1 in a call |" in table
    assert "| `softsort` | jnp.sort | - | - | " in table
    assert "| `top_k_mask` | `softsort` | " in table and "earlier weights" not in table
