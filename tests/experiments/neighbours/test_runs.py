# SPDX-License-Identifier: Apache-2.0
"""Neighbours are learned: what a run does, resumes, reports, and refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import classify_neighbours as script
from experiments.common import datasets, storage
from experiments.common.command_line import Interrupted, Stop
from experiments.neighbours import baselines, training
from experiments.neighbours.config import HEAD, Config, Method, read_specs
from experiments.neighbours.runs import Run
from tests.experiments.flags import kept, refusal

SMALL = Config(k=2, steps=4, queries=6, candidates=8, channels=(2, 3), features=4, eval_every=2)


@pytest.fixture(scope="module")
def data():
    splits = datasets.load("digits")
    parts = [datasets.Split(part.images[:120], part.labels[:120]) for part in splits]
    return tuple(training.Data.of(part) for part in parts)


class StopAfter(Stop):
    """Asks to stop once it has been looked at so many times."""

    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    @property
    def requested(self):
        self.looks -= 1
        return self.looks < 0

    @requested.setter
    def requested(self, value):
        pass


@pytest.mark.slow
def test_a_run_that_is_interrupted_ends_with_the_same_numbers(data, tmp_path):
    method = Method.of("neuralsort:temperature=2,stochastic=true")
    whole = Run.at(SMALL, method, 0, tmp_path / "whole")
    straight = whole.execute(*data, Stop())
    parted = Run.at(SMALL, method, 0, tmp_path / "parted")
    with pytest.raises(Interrupted):
        parted.execute(*data, StopAfter(1))
    assert parted.result is None
    again = parted.execute(*data, Stop())
    for name in ("validation_accuracy", "test_accuracy"):
        assert straight[name] == again[name]


def test_the_best_weights_are_a_copy(data):
    task = training.Task(SMALL, Method.of(HEAD))
    state = task.validated(task.start(data[0], 0), data[0], data[1])
    before = jax.tree.map(np.array, state.best)
    state = task.steps(state, data[0], jnp.asarray(0), jnp.asarray(2))
    same = jax.tree.map(np.array_equal, before, state.best)
    assert all(jax.tree.leaves(same))
    moved = jax.tree.map(np.array_equal, before, state.params)
    assert not any(jax.tree.leaves(moved))  # the linear head is trained as well


def test_accuracy_is_of_all_pictures_and_not_of_the_last_batch(data, monkeypatch):
    task = training.Task(SMALL, Method.of("hard"))
    params = task.start(data[0], 0).params
    whole = task.accuracy(params, data[0], data[2])
    monkeypatch.setattr(training, "_AT_ONCE", 50)
    assert task.accuracy(params, data[0], data[2]) == whole


def test_other_settings_are_not_resumed(data, tmp_path):
    run = Run.at(SMALL, Method.of(HEAD), 0, tmp_path)
    run.folder.mkdir(parents=True)
    storage.write_json(run.folder / "run.json", {"steps": 5})
    with pytest.raises(Exception, match="--resume: .* was started with steps 5, received 4"):
        run.check_identity()
    # Also where a run was not planned, as those of a search, and even if it was done.
    storage.write_json(run.folder / "result.json", {"test_accuracy": 1.0})
    searched = dataclasses.replace(SMALL, k=1)
    other = Run.at(searched, Method.of("lapsum"), 0, tmp_path)
    other.folder.mkdir(parents=True)
    storage.write_json(other.folder / "run.json", {"steps": 5})
    for one in (run, other):
        with pytest.raises(Exception, match="was started with steps 5, received 4"):
            one.execute(*data, Stop())


def test_a_class_without_pictures_is_named(data):
    images, labels = data[0]
    with pytest.raises(ValueError, match="candidate_labels: received none of 9"):
        training.check_classes(training.Data(images, jnp.minimum(labels, 8)))


def test_specs_are_split_between_operators():
    text = "lapsum,neuralsort:temperature=2,stochastic=true,softsort"
    assert read_specs([text, "hard"]) == [
        "lapsum",
        "neuralsort:temperature=2,stochastic=true",
        "softsort",
        "hard",
    ]
    heated = Method.of("neuralsort:temperature=2,stochastic=true").heated(16.0)
    assert heated.spec == "neuralsort:temperature=16,stochastic=true"
    assert heated.operator.temperature == 16.0


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--k=0"], "--k: received 0"),
        (["--k=70"], "--k: received 70, allowed: 1 to 60, the candidates"),
        (["--operators=bogosort"], "bogosort"),
        (["--learning_rate=0"], "--learning_rate: received 0.0"),
        (["--candidates=5000"], "--queries: received 100"),
        (["--resume"], "--resume: nothing in runs/classify_neighbours"),
        (["--dataset=mnist"], "mnist is not in"),
    ],
)
def test_what_is_wrong_ends_in_one_line(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with kept(script.FLAGS):
        assert message in refusal(lambda: script.SCRIPT.run(["script", *flags]), capsys)


def test_neighbours_of_pixels_and_of_components_are_near_each_other():
    splits = datasets.load("digits")
    for name in (baselines.PIXELS, baselines.PRINCIPAL):
        found = baselines.run(name, splits)
        assert found["test_accuracy"] > 0.95 and found["k"] in (1, 3, 5, 9)


@pytest.mark.slow
def test_the_script_from_end_to_end_with_search(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = dataclasses.asdict(SMALL)
    settings = [f"--{name}={small[name]}" for name in ("k", "steps", "queries", "candidates")]
    flags = [*settings, "--operators=lapsum", "--seeds=2", "--nobaselines", "--search"]
    monkeypatch.setattr(script, "SEARCH_RATES", (1e-3,))
    monkeypatch.setattr(script, "SEARCH_TEMPERATURES", (1.0, 4.0))
    monkeypatch.setattr(script, "SEARCH_K", (1,))
    with kept(script.FLAGS):
        script.SCRIPT.run(["script", *flags, "--out_dir=found"])
    report = storage.read_json(tmp_path / "found" / "results.json")
    (one,) = report["records"]
    assert one["k"] == 1 and len(one["results"]) == 2
    assert "| `lapsum:temperature=" in capsys.readouterr().out
