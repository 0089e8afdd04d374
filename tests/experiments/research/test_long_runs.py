# SPDX-License-Identifier: Apache-2.0
"""Tables of long runs say who was ahead after how many lists."""

import pytest
from matplotlib.colors import to_hex

from experiments import sort_numbers
from experiments.common import storage
from experiments.four_digits.config import QUICK, resolve
from experiments.research import long_runs, plots
from tests.experiments.flags import kept
from tests.experiments.test_committed import RESULTS


def _report():
    def run(operator, seed, em):
        curve = {"step": [1000, 2000, 4000], "em": em, "train_em": [0.1, 0.2, 0.3]}
        return {"operator": operator, "seed": seed, "curve": curve, "test": {"em": em[-1]}}

    runs = [run("odd_even@bce", seed, [0.5, 0.6, 0.7 + seed / 10]) for seed in (0, 1)]
    early = run("amortized:noise=cauchy@likelihood+noise_scales", 0, [0.8])
    early["curve"]["step"] = [1000]
    score = {"mean": 0.75, "sd": 0.07}
    return {
        "config": {
            **QUICK,
            "protocol": "quick",
            "batch_size": 50,
            "steps": 4000,
            "n": 5,
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "precision": "bfloat16",
        },
        "machine": {"backend": "cpu", "cpus": 2, "device": "cpu"},
        "picture": [14, 56, 1],
        "seeds": [0, 1],
        "runs": runs,
        "stopped": [early],
        "summary": [
            {"operator": "odd_even@bce", "seeds": 2, "em": score, "ew": score, "seconds": 90.0}
        ],
    }


def test_a_row_has_the_mean_over_runs_and_a_dash_where_none_was():
    lines = long_runs.table(_report()).splitlines()
    head = "| method | 50 k | 100 k | 200 k | test, 200 k: EM (EW)"
    assert lines[0] == f"{head} | ahead of Cauchy network, bce by | minutes |"
    ends = "75.0 ± 7.0 (75.0 ± 7.0) | - | 1.5 |"
    assert lines[2] == f"| Cauchy network, bce | 50.0 | 60.0 | 75.0 | {ends}"
    some = "80.0 (1 of 2 seeds)"
    assert (
        lines[3]
        == f"| amortised sort, likelihood, noise scales | {some} | - | - | stopped | - | - |"
    )


def test_the_lead_is_over_the_seeds_that_both_have():
    report = _report()
    ours, network, control = "amortized@bce", "odd_even@bce", "loss:cauchy_likelihood"
    ems = {ours: (0.8, 0.9), network: (0.7, 0.75), "lapsum@bce": (0.6, 0.8), control: (0.9,)}
    report["runs"] = [
        {**report["runs"][0], "operator": name, "seed": seed, "test": {"em": em}}
        for name, values in ems.items()
        for seed, em in enumerate(values)
    ]
    report["summary"] = [
        {
            "operator": name,
            "seeds": len(values),
            "em": {"mean": sum(values) / len(values), "sd": 0.1},
            "ew": {"mean": 0.9, "sd": 0.0},
            "seconds": 60.0,
        }
        for name, values in ems.items()
    ]
    assert long_runs.best_published(report) == network
    lines = long_runs.table(report).splitlines()
    assert "| ahead of Cauchy network, bce by | minutes |" in lines[0]
    cells = {line.split(" | ")[0]: line.split(" | ")[-2] for line in lines[2:]}
    assert cells == {
        "| amortised sort, bce": "+12.5, p = 0.13",
        "| Cauchy network, bce": "-",
        "| LapSum, bce": "-2.5, p = 0.8",
        "| exact Cauchy likelihood": "+20.0 (1 of 2 seeds)",
        "| amortised sort, likelihood, noise scales": "-",
    }


def test_a_mean_over_fewer_runs_than_seeds_says_so():
    report = _report()
    report["stopped"].append(report["runs"].pop())
    for values in report["stopped"][1]["curve"].values():
        del values[2:]
    report["summary"][0]["seeds"] = 1
    row = long_runs.table(report).splitlines()[2]
    said = "70.0 (1 of 2 seeds) | 75.0 ± 7.0 (75.0 ± 7.0) (1 of 2 seeds) | - | 1.5 |"
    assert row == f"| Cauchy network, bce | 50.0 | 60.0 | {said}"


@pytest.mark.parametrize(
    "lists, said",
    [(500, "500"), (1500, "1.5 k"), (25_000, "25 k"), (500_000, "500 k"), (2_500_000, "2.5 M")],
)
def test_a_number_of_lists_is_not_rounded(lists, said):
    assert long_runs.count_of(lists) == said


def test_the_conditions_are_those_of_the_report():
    text = long_runs.section(_report())
    assert "4,000 steps of 50 lists, rate 0.001 (cosine), bfloat16, 2 seeds, cpu with 2" in text
    assert "--operators=odd_even@bce,amortized:noise=cauchy@likelihood+noise_scales" in text


@pytest.mark.parametrize(
    "method, said",
    [
        ("odd_even:distribution=optimal,temperature=0.1@rows", "optimal network, rows"),
        ("loss:cauchy_likelihood/0.3+noise_scales", "exact Cauchy likelihood, noise scales"),
        ("softsort:temperature=1@bce", "softsort:temperature=1, bce"),
        ("neuralsort", "NeuralSort"),
        ("loss:cauchy_network/0.3", "Cauchy network"),
        ("odd_even:temperature=0.1,distribution=logistic@bce", "logistic network, bce"),
        ("odd_even:distribution=reciprocal@bce", "reciprocal network, bce"),
        ("bitonic@bce", "bitonic Cauchy network, bce"),
        ("odd_even_merge:distribution=optimal@bce", "odd-even-merge optimal network, bce"),
        ("odd_even:error_free=true@error_free", "error-free Cauchy network, error_free"),
    ],
)
def test_methods_have_the_names_of_the_field(method, said):
    assert long_runs.title(method) == said


def test_a_figure_is_drawn_of_runs_of_different_lengths(tmp_path):
    assert plots.long_runs([_report(), _report()], tmp_path / "long.png").stat().st_size > 1000


def test_a_title_has_one_colour_and_one_legend_entry_in_all_panels(tmp_path, monkeypatch):
    one, other = _report(), _report()
    for run in other["runs"]:
        run["operator"] = "odd_even:temperature=0.3@bce"
    other["stopped"][0]["operator"] = "neuralsort@rows"
    kept = []
    monkeypatch.setattr(plots.figures, "save", lambda figure, path: kept.append(figure))
    plots.long_runs([one, other], tmp_path / "long.png")
    (figure,) = kept
    (legend,) = figure.legends
    said = {
        text.get_text(): to_hex(line.get_color())
        for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }
    network, reader = "Cauchy network, bce", "amortised sort, likelihood, noise scales"
    assert list(said) == [network, reader, "NeuralSort, rows"]
    assert len(set(said.values())) == 3
    for ax, titles in zip(
        figure.axes, ([network, reader], [network, "NeuralSort, rows"]), strict=True
    ):
        assert [to_hex(line.get_color()) for line in ax.get_lines()] == [said[t] for t in titles]
        assert [label.get_text() for label in ax.get_xticklabels()] == ["50 k", "100 k", "200 k"]
        assert not len(ax.get_xticks(minor=True))


@pytest.mark.parametrize("path", sorted((RESULTS / "long").glob("*.json")), ids=lambda p: p.stem)
def test_the_command_has_the_settings_of_the_report(path):
    report = storage.read_json(path)
    words = long_runs.command(report).split()
    assert words[:2] == ["python", "experiments/sort_numbers.py"]
    with kept(sort_numbers.FLAGS):
        sort_numbers.FLAGS(words[1:])
        (settings,) = sort_numbers.given()
    config, methods = resolve(settings)
    assert [method.spec for method in methods] == list(long_runs.curves(report))
    for name, value in report["config"].items():
        if name not in ("operators", "steps_per_dispatch"):  # the latter is that of the device
            found = getattr(config, name)
            assert (list(found) if isinstance(found, tuple) else found) == value, name
