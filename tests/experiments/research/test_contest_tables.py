# SPDX-License-Identifier: Apache-2.0
"""The tables of contests say who is best, by how much, and how to run a row again."""

import math

from experiments.common import storage
from experiments.four_digits import results
from experiments.research import contest, contest_tables, families, plots

EXACT = "loss:cauchy_likelihood"
CHOSEN = {"learned": "learned@trace", "cauchy": "odd_even@bce", "cauchy_likelihood": EXACT}
EM = {"learned@trace": (0.4, 0.5), "odd_even@bce": (0.3, 0.3), EXACT: (0.6, 0.5)}


def example(n, names=tuple(CHOSEN)):
    runs = [
        {
            "operator": CHOSEN[family],
            "seed": seed,
            "test": {"em": em, "ew": 0.7, "em5": em},
            "seconds": 9.0,
            "curve": {"step": [1, 2], "em": [0.1, em]},
        }
        for family in names
        for seed, em in enumerate(EM[CHOSEN[family]])
    ]
    return {
        "config": {
            **{name: contest.FLAGS[name].default for name in contest.SHARED},
            "n": n,
            "steps": 20,
            "batch_size": 7,
            "channels": [16, 32],
        },
        "seeds": [0, 1],
        "summary": results.summarise(runs),
        "search": {"steps": 10, "families": {f: {"chosen": CHOSEN[f]} for f in names}},
        "failed": [],
        "paired": [
            {
                "other": CHOSEN[f],
                "seeds": 2,
                "mean": 0.15,
                "t": 3.0,
                "p": 0.2 if f == "cauchy" else math.nan,
            }
            for f in names
            if f != "learned"
        ],
        "runs": runs,
    }


def test_the_short_table_has_few_methods_and_the_best_rival():
    table = contest_tables.in_short({7: example(7), 9: example(9), 15: example(15, ("learned",))})
    _, _, *lines = table.splitlines()
    assert table.startswith("| test EM, % | n = 9 | n = 15 |\n")
    assert lines == [
        "| executed sort | 45.0 ± 7.1 | 45.0 ± 7.1 |",
        "| Cauchy network | 30.0 ± 0.0 | - |",
        "| *exact Cauchy likelihood* | 55.0 ± 7.1 | - |",
        "| the best published sort | 30.0 ± 0.0, Cauchy network | - |",
    ]


def test_the_best_sort_and_the_best_control_are_told_apart():
    table = contest_tables.over_lengths({9: example(9), 15: example(15, ("learned", "cauchy"))})
    lines = table.splitlines()
    assert lines[0] == "| | n = 9, 20 steps, 2 seeds | n = 15, 20 steps, 2 seeds |"
    ours = "**45.0 ± 7.1 (70.0)**"
    assert lines[2] == f"| executed sort | {ours} | {ours} |"
    assert lines[3] == "| Cauchy network | 30.0 ± 0.0 (70.0) | 30.0 ± 0.0 (70.0) |"
    assert lines[4] == "| *exact Cauchy likelihood* | **55.0 ± 7.1 (70.0)** | - |"
    assert lines[5].count("+15.0, p = 0.2 (Cauchy network, 2 seeds)") == 2 and len(lines) == 6
    assert contest_tables.best_rival(example(9)) == "cauchy"


def test_the_network_of_our_own_is_no_published_rival(monkeypatch):
    monkeypatch.setitem(CHOSEN, "cauchy_noise_scales", "loss:cauchy_network/0.1+noise_scales")
    monkeypatch.setitem(EM, "loss:cauchy_network/0.1+noise_scales", (0.4, 0.4))
    report = example(9, tuple(CHOSEN))
    assert contest_tables.best_rival(report) == "cauchy"
    *_, published, own = contest_tables.over_lengths({9: report}).splitlines()
    said = "| executed sort, ahead of the"
    assert (
        published == f"{said} best published sort by | +15.0, p = 0.2 (Cauchy network, 2 seeds) |"
    )
    assert own.startswith(f"{said} Cauchy network with noise scales by | +5.0, p = 0.5 (Cauchy")


def test_the_amortised_sort_is_ours_where_it_was_run(monkeypatch):
    monkeypatch.setitem(CHOSEN, "amortized", "amortized@bce")
    monkeypatch.setitem(EM, "amortized@bce", (0.9, 0.9))
    reports = {5: example(5, tuple(CHOSEN)), 9: example(9, ("learned", "cauchy"))}
    lines = contest_tables.over_lengths(reports).splitlines()
    assert lines[2] == "| amortised sort | **90.0 ± 0.0 (70.0)** | - |"
    assert lines[3] == "| executed sort | 45.0 ± 7.1 (70.0) | **45.0 ± 7.1 (70.0)** |"
    amortised, executed = (line for line in lines if "ahead of the best published" in line)
    assert amortised.startswith("| amortised sort, ahead of") and amortised.endswith("seeds) | - |")
    assert "+60.0 (Cauchy network, 2 seeds)" in amortised
    assert (
        executed.startswith("| executed sort, ahead of") and executed.count("+15.0, p = 0.2") == 2
    )
    assert contest_tables.best_rival(reports[5]) == "cauchy"


def test_a_row_is_run_again_by_its_family():
    report = example(9)
    table = contest_tables.of_length(report)
    assert "| `odd_even@bce` | 30.0 ± 0.0 | 70.0 ± 0.0 | 30.0 ± 0.0 | 9 | +15.0, p = 0.2 |" in table
    assert "`--families=cauchy`" in table and "Diverged" not in table
    command = (
        "experiments.research.contest --n=9 --out_dir=runs/contest_n9_20 "
        "--families=learned,cauchy,cauchy_likelihood --steps=20 --batch_size=7"
    )
    assert f"{command} --search_steps=10 --seeds=2\n" in table


def test_a_run_that_diverged_is_told():
    report = example(9)
    kept = [r for r in report["runs"] if (r["operator"], r["seed"]) != ("odd_even@bce", 1)]
    kept = [r for r in kept if r["operator"] != "loss:cauchy_likelihood"]
    report["summary"] = results.summarise(kept)
    report["runs"] = kept
    report["failed"] = [
        {"operator": spec, "seed": seed, "failed": "diverged"}
        for spec, seed in (("odd_even@bce", 1), (EXACT, 0), (EXACT, 1))
    ]
    table = contest_tables.over_lengths({9: report})
    assert "30.0 (70.0), 1 of 2 seeds |" in table
    assert "| *exact Cauchy likelihood* | diverged |" in table
    assert "Diverged: `odd_even@bce`, " in contest_tables.of_length(report)


def test_families_with_more_seeds_than_others_say_so():
    report = example(9)
    fewer = [run for run in report["runs"] if run["operator"] == "learned@trace" or not run["seed"]]
    report |= {"runs": fewer, "summary": results.summarise(fewer)}
    lines = contest_tables.over_lengths({9: report}).splitlines()
    assert lines[0] == "| | n = 9, 20 steps, 1 to 2 seeds |"
    assert lines[2].endswith("| **45.0 ± 7.1 (70.0), 2 seeds** |")
    assert lines[3].endswith("| 30.0 (70.0), 1 seed |")
    table = contest_tables.of_length(report)
    assert "`--families=learned --seeds=2`" in table and "`--families=cauchy`" in table
    assert "--seeds=1\n" in table


def test_contests_are_read_by_length_and_drawn(tmp_path):
    for n in (15, 9):
        storage.write_json(tmp_path / f"contest_n{n}.json", example(n))
    reports = contest_tables.read(tmp_path)
    assert list(reports) == [9, 15]
    picture = plots.contests(reports, tmp_path / "contests.png")
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_every_family_has_a_title():
    assert set(families.TITLES) == set(families.FAMILIES)
