# SPDX-License-Identifier: Apache-2.0
"""A quantile supervises two networks: what is predicted, resumed, reported and refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import quantile_regression as script
from experiments.common import datasets, storage
from experiments.common.command_line import Diverged, FlagError, Interrupted, Stop
from experiments.common.methods import Method, without_temperature
from experiments.four_digits.convolution import PRECISIONS
from experiments.quantiles import results, training
from experiments.quantiles.training import Config, Task
from tests.experiments.flags import kept, refusal
from tests.experiments.test_committed import RESULTS

SMALL = Config(n=3, steps=4, batch_size=2, eval_every=2, test_lists=100)


def test_the_prediction_is_the_value_at_the_quantile(monkeypatch):
    task = Task(dataclasses.replace(SMALL, quantile=0.75), Method.of("hard"))

    class Reader:
        def apply(self, params, pictures):
            return type("Reading", (), {"scores": params * pictures})

    monkeypatch.setitem(task.__dict__, "reader", Reader())
    numbers = jnp.array([[30.0, 10.0, 20.0]])
    params = {"value": 1.0, "rank": -1.0}  # ranked the other way round
    found = task.predict(params, numbers, jax.random.key(0))
    np.testing.assert_allclose(found, [15.0])
    np.testing.assert_allclose(task.targets(numbers), [25.0 / training.SCALE], rtol=1e-6)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--n=1"], "--n: received 1"),
        (["--quantile=1.5"], "--quantile: received 1.5, allowed: a number in [0, 1]"),
        (["--operators=permutahedron"], "--operators: received permutahedron"),
        (["--operators=linear_head"], "linear_head"),
        (["--search", "--search_temperatures=-1"], "--search_temperatures: received -1"),
        (["--learning_rate=inf"], "--learning_rate: received inf, allowed: a finite number > 0"),
        (["--search_rates=1"], "--search_rates: received 1, allowed: nothing without --search"),
        (["--download"], "--download: received true, allowed: a data set to download; digits is"),
        (["--operators=", "--nobaselines"], "--operators: received none without --baselines, al"),
        (
            ["--operators=lapsum;lapsum:temperature=1"],
            "--operators: received lapsum and lapsum:temperature=1, which are the same",
        ),
        (["--operators=lapsum,lapsum"], "--operators: received lapsum twice, allowed: each once"),
        (["--resume"], "--resume: nothing in runs/quantile_regression"),
        (["--dataset=mnist"], "mnist is not in"),
    ],
)
def test_what_is_wrong_ends_in_one_line(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with kept(script.FLAGS):
        assert message in refusal(lambda: script.SCRIPT.run(["script", *flags]), capsys)


def test_convolutions_are_of_the_precision():
    tasks = [Task(dataclasses.replace(SMALL, precision=p), Method.of("hard")) for p in PRECISIONS]
    pictures = jax.random.uniform(jax.random.key(0), (2, 3, 8, 32, 1))
    params = tasks[0].start(pictures[0, 0], 0).params
    exact, *rounded = (task.predict(params, pictures, jax.random.key(0)) for task in tasks)
    for found in rounded:
        assert not np.array_equal(found, exact)
        np.testing.assert_allclose(found, exact, atol=0.01)


def test_other_settings_are_not_resumed(tmp_path):
    storage.write_json(tmp_path / "run.json", {"n": 7})
    task = Task(SMALL, Method.of("hard"))
    with pytest.raises(FlagError, match="--resume: .* was started with n 7, received 3"):
        training.check_identity(task, 0, tmp_path)
    # Also where a run was not planned, as those of a search, and even if it was done.
    storage.write_json(tmp_path / "result.json", {"mse": 0.0})
    with pytest.raises(FlagError, match="was started with n 7, received 3"):
        training.execute(task, 0, tmp_path, None, Stop())


def test_a_run_that_diverges_is_no_result(tmp_path, monkeypatch):
    monkeypatch.setattr(Task, "steps", lambda self, state, *_: state._replace(step=state.step + 2))
    monkeypatch.setattr(Task, "errors", lambda *_: (np.nan, np.nan, 1.0))
    run = Task(SMALL, Method.of("softsort"))
    with pytest.raises(Diverged, match="softsort seed 0: the loss was not finite before step 2"):
        training.execute(run, 0, tmp_path, datasets.load("digits"), Stop())
    assert not (tmp_path / "result.json").exists()


def test_the_table_has_the_constant_and_means_over_seeds():
    found = [{"mse": 4e5, "r2": 0.9, "constant_mse": 4e6}] * 2
    record = {"method": "lapsum", "learning_rate": 2e-3, "results": found}
    text = results.table({"records": [record]})
    assert "| `constant` | - | 400.0 | 0 |" in text
    assert "| `lapsum` | 0.002 | 40.0 | 0.900 |" in text


def test_a_section_says_what_was_searched_and_of_which_weights():
    one = {"learning_rate": 2e-3, "results": [{"mse": 4e5, "r2": 0.9, "constant_mse": 4e6}]}
    today = Method.of("amortized").weights
    records = [
        {"method": "amortized", "weights": today, **one},
        {"method": "amortized:temperature=1", "weights": "0" * 64, **one},
        {"method": script.PLAIN, "weights": None, **one},
    ]
    config = {**dataclasses.asdict(SMALL), "seeds": 1, "search": None}
    text = results.section({"records": records, "config": config})
    assert "With earlier weights: `amortized:temperature=1`." in text and "Chosen" not in text
    grids = {"search_temperatures": [0.1, 1.0], "search_rates": [0.002]}
    text = results.section({"records": records, "config": config | {"search": grids}})
    assert "Chosen on the validation data: temperature in {0.1, 1}, rate in {0.002}." in text


def test_so_many_lists_are_judged_as_were_asked_for(monkeypatch):
    task = Task(dataclasses.replace(SMALL, test_lists=150), Method.of("hard"))
    judged = iter(range(2))

    def hundred(*_):
        exact = jnp.arange(100.0)
        return exact.at[50:].add(float(next(judged))), exact

    monkeypatch.setitem(task.__dict__, "_judged", hundred)
    assert task.errors({}, None, 0)[0] == 0.0  # the last fifty are not


@pytest.mark.slow
def test_the_script_from_end_to_end_with_search(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--n=3", "--steps=2", "--batch_size=2", "--test_lists=100", "--resolution=half"]
    flags += ["--search", "--search_temperatures=1,4", "--search_rates=0.001"]
    with kept(script.FLAGS):
        script.SCRIPT.run(["script", *flags, "--operators=softsort", "--out_dir=found"])
    report = storage.read_json(tmp_path / "found" / "results.json")
    assert [one["method"] for one in report["records"]][1] == script.PLAIN
    assert report["config"]["search"]["search_temperatures"] == [1, 4]
    assert "| `softsort:temperature=" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_is_interrupted_ends_with_the_same_numbers(tmp_path):
    class Never:
        requested = False

    class AfterOne:
        looks = 1

        @property
        def requested(self):
            self.looks -= 1
            return self.looks < 0

    splits = datasets.load("digits")
    task = Task(SMALL, Method.of("neuralsort:stochastic=true"))
    whole = training.execute(task, 0, tmp_path / "whole", splits, Never())
    with pytest.raises(Interrupted):
        training.execute(task, 0, tmp_path / "parted", splits, AfterOne())
    again = training.execute(task, 0, tmp_path / "parted", splits, Never())
    assert whole["mse"] == again["mse"] and whole["r2"] == again["r2"]


@pytest.mark.parametrize(
    "path", sorted((RESULTS / "quantiles").glob("*.json")), ids=lambda p: p.stem
)
def test_the_command_of_a_committed_report_has_its_settings(path):
    report = storage.read_json(path)
    words = results.command(report).split()
    assert words[:2] == ["python", "experiments/quantile_regression.py"]
    with kept(script.FLAGS):
        script.FLAGS(words[1:])
        config, methods, grids = script.settings()
    stated = report["config"]
    names = [name for name in dataclasses.asdict(config) if name in stated]
    assert {name: getattr(config, name) for name in names} == {n: stated[n] for n in names}
    assert grids == stated["search"]
    made = [record["method"] for record in report["records"]]
    if grids:
        made = [without_temperature(spec) for spec in made]
    assert [method.spec for method in methods] == made
