# SPDX-License-Identifier: Apache-2.0
"""A contest: a search by validation, then the chosen ones on the same seeds."""

import pytest

from experiments.common import reports, storage
from experiments.four_digits.config import resolve
from experiments.research import contest
from experiments.research.paired_tests import paired
from tests.experiments.flags import kept, refusal

TINY = (
    *("--dataset=digits", "--resolution=full", "--n=2", "--steps=2", "--search_steps=1"),
    *("--batch_size=4", "--channels=2,2", "--validation_lists=4", "--test_lists=4", "--seeds=2"),
)


def run(*arguments):
    with kept(contest.FLAGS):
        contest.SCRIPT.run(["contest.py", *TINY, *arguments])


def test_every_family_has_the_same_budget():
    for name, specs in contest.FAMILIES.items():
        assert len(specs) == 6, name
        resolve({"operators": [",".join(specs)]})


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--families=bogo"], "--families: received 'bogo', allowed: amortized"),
        (["--seeds=0"], "--seeds: received 0"),
        (["--channels=a,b"], "--channels: received"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


@pytest.mark.slow
def test_the_best_by_validation_is_compared(tmp_path, monkeypatch, capsys):
    families = {
        "learned": ("neuralsort@rows",),
        "soft": ("softsort@rows", "softsort:temperature=2@rows"),
    }
    monkeypatch.setattr(contest, "FAMILIES", families)
    run("--families=learned,soft", f"--out_dir={tmp_path}")
    report = storage.read_json(tmp_path / "contest.json")
    soft = report["search"]["families"]["soft"]
    assert set(soft["validation_em5"]) == set(families["soft"])
    best = max(soft["validation_em5"], key=soft["validation_em5"].__getitem__)
    assert soft["chosen"] == best
    assert [row["operator"] for row in report["summary"]] == ["neuralsort@rows", best]
    assert len(report["runs"]) == 4 and report["failed"] == []
    (pair,) = report["paired"]
    assert pair["seeds"] == 2 and "neuralsort@rows - " in capsys.readouterr().out


@pytest.mark.parametrize(("n", "steps"), [(3, 5000), (9, 5000), (15, 10000)])
def test_one_can_go_on_from_what_is_committed(n, steps):
    path = reports.ROOT / f"experiments/results/research/contest_n{n}.json"
    with kept(contest.FLAGS):
        contest.FLAGS(["contest.py", f"--n={n}", f"--steps={steps}"])
        known = contest.Known.read([str(path)])
    assert "learned" in known.families and len(known.runs) > 20


@pytest.mark.slow
def test_a_contest_goes_on_from_reports(tmp_path, monkeypatch, capsys):
    families = {
        "learned": ("neuralsort@rows",),
        "soft": ("softsort@rows",),
        "hard": ("loss:pairwise",),
    }
    monkeypatch.setattr(contest, "FAMILIES", families)
    first = tmp_path / "first" / "contest.json"
    run("--families=soft", f"--out_dir={first.parent}")
    known = storage.read_json(first)
    again = ("--families=soft", f"--known={first}", f"--out_dir={tmp_path / 'again'}")
    run(*again, "--families=soft,hard", "--seeds=1")
    report = storage.read_json(tmp_path / "again" / "contest.json")
    assert [run["operator"] for run in report["runs"]] == [
        *("softsort@rows", "loss:pairwise", "softsort@rows")
    ]
    assert [r for r in report["runs"] if r["operator"] == "softsort@rows"] == [
        run | {"commit": known["commit"], "machine": known["machine"]} for run in known["runs"]
    ]
    folders = (tmp_path / "again" / "runs").iterdir()
    assert [folder.name for folder in folders] == ["loss+pairwise"]
    capsys.readouterr()
    assert report["seeds"] == [0, 1] and set(report["search"]["families"]) == {"soft", "hard"}
    storage.write_json(tmp_path / "other.json", known | {"methods": {}})
    storage.write_json(tmp_path / "foreign.json", {"experiment": "contest"})
    for arguments, message in (
        ([f"--known={tmp_path / 'other.json'}"], "had other defaults or weights"),
        (["--steps=3"], f"{first} has steps=2, this contest 3"),
        ([f"--known={tmp_path / 'foreign.json'}"], "foreign.json is not the report of a contest"),
        (["--known=none.json"], "--known: cannot read none.json"),
    ):
        assert message in refusal(lambda a=arguments: run(*again, *a), capsys)


def test_a_paired_difference_is_that_of_the_same_seeds():
    runs = [
        {"operator": name, "seed": seed, "test": {"em": em}}
        for name, ems in {"a": (0.5, 0.7, 0.6), "b": (0.4, 0.5, 0.5)}.items()
        for seed, em in enumerate(ems)
    ]
    found = paired(runs, "a", "b")
    assert found["mean"] == pytest.approx(0.4 / 3)
    assert found["t"] == pytest.approx((0.4 / 3) / (found["sd"] / 3**0.5))
    # With two degrees of freedom the distribution of t has a closed form.
    assert found["p"] == pytest.approx(1 - found["t"] / (2 + found["t"] ** 2) ** 0.5, rel=1e-4)
