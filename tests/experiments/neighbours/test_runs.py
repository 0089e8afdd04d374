# SPDX-License-Identifier: Apache-2.0
"""Neighbours are learned: what a run does, resumes, reports, and refuses."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import classify_neighbours as script
from experiments.common import datasets, search, storage
from experiments.common.command_line import Diverged, Interrupted, Stop
from experiments.common.methods import Method, read_specs
from experiments.four_digits.convolution import conv_pool
from experiments.neighbours import augmentation, baselines, networks, results, training
from experiments.neighbours.config import HEAD, Config, identity
from experiments.neighbours.runs import Run
from tests.experiments.flags import kept, refusal

SMALL = Config(k=2, steps=4, queries=6, candidates=8, features=4, eval_every=2)


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
@pytest.mark.parametrize("network", networks.NETWORKS)
def test_a_run_that_is_interrupted_ends_with_the_same_numbers(data, tmp_path, network):
    method = Method.of("neuralsort:temperature=2,stochastic=true")
    config = dataclasses.replace(SMALL, network=network, features=8, augmentation="crop")
    whole = Run.at(config, method, 0, tmp_path / "whole")
    straight = whole.execute(*data, Stop())
    parted = Run.at(config, method, 0, tmp_path / "parted")
    with pytest.raises(Interrupted):
        parted.execute(*data, StopAfter(1))
    assert parted.result is None
    again = parted.execute(*data, Stop())
    for name in ("validation_accuracy", "test_accuracy"):
        assert straight[name] == again[name]


def test_the_best_weights_are_a_copy(data):
    task = training.Task(SMALL, HEAD)
    state = task.validated(task.start(data[0], 0), data[0], data[1])
    before = jax.tree.map(np.array, state.best)
    state = task.steps(state, data[0], 0, 2)
    same = jax.tree.map(np.array_equal, before, state.best)
    assert all(jax.tree.leaves(same))
    moved = jax.tree.map(np.array_equal, before[0], state.params)
    assert not any(jax.tree.leaves(moved))  # the linear head is trained as well


def test_accuracy_is_of_all_pictures_and_not_of_the_last_batch(data, monkeypatch):
    task = training.Task(SMALL, Method.of("hard"))
    weights = task.start(data[0], 0).best
    whole = task.accuracy(weights, data[0], data[2])
    monkeypatch.setattr(training, "_AT_ONCE", 50)
    assert task.accuracy(weights, data[0], data[2]) == whole


def test_other_settings_are_not_resumed(data, tmp_path):
    run = Run.at(SMALL, HEAD, 0, tmp_path)
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


@pytest.mark.parametrize("broken", ["loss", "params"])
def test_a_run_that_diverges_is_no_result(data, tmp_path, monkeypatch, broken):
    def steps(self, state, *_):
        value = jax.tree.map(lambda leaf: leaf * jnp.nan, getattr(state, broken))
        return state._replace(step=state.step + 2, **{broken: value})

    monkeypatch.setattr(training.Task, "steps", steps)
    run = Run.at(SMALL, Method.of("lapsum"), 0, tmp_path)
    with pytest.raises(Diverged, match="lapsum seed 0: the loss was not finite before step 2"):
        run.execute(*data, Stop())
    assert run.result is None


def test_seconds_are_those_of_all_starts(data, tmp_path, monkeypatch):
    monkeypatch.setattr(
        training.Task, "steps", lambda self, state, *_: state._replace(step=state.step + 2)
    )
    run = Run.at(SMALL, Method.of("lapsum"), 0, tmp_path)
    with pytest.raises(Interrupted):
        run.execute(*data, StopAfter(1))
    path = run.folder / "metrics.jsonl"
    (record,) = storage.read_lines(path)
    storage.write_text(path, storage.line({**record, "seconds": 1000.0}))
    assert run.execute(*data, Stop())["seconds"] > 1000


def test_a_tie_keeps_the_earlier_weights(monkeypatch, data):
    accuracies = iter([0.6978, 0.6978, 0.6979])  # which float32 rounds down
    monkeypatch.setattr(training.Task, "accuracy", lambda *_: next(accuracies))
    task = training.Task(SMALL, Method.of("lapsum"))
    first = task.validated(task.start(data[0], 0), *data[:2])
    assert float(first.best_accuracy) == np.float32(0.6978)
    assert task.validated(first, *data[:2]) is first
    assert float(task.validated(first, *data[:2]).best_accuracy) == np.float32(0.6979)


def test_a_search_goes_on_where_a_point_diverges():
    points = [(SMALL, Method.of(spec)) for spec in ("lapsum", "softsort")]

    def score(point, diverging):
        if point[1].spec in diverging:
            raise Diverged(point[1].spec)
        return 0.5

    assert search.best(points, lambda point: score(point, ["lapsum"])) == points[1]
    with pytest.raises(Diverged, match="lapsum: diverged at every point"):
        search.best(points, lambda point: score(point, ["lapsum", "softsort"]))


def test_an_operator_of_other_defaults_or_weights_is_another_method(tmp_path):
    run = Run.at(SMALL, Method.of("amortized"), 0, tmp_path)
    now = identity(run.config, run.method, run.seed)
    assert json.loads(json.dumps(now)) == now
    for changed in (
        {"operator": {**now["operator"], "temperature": 9.0}},
        {"weights": "0" * 64},
    ):
        storage.write_json(run.folder / "run.json", {**now, **changed})
        with pytest.raises(Exception, match=f"was started with {next(iter(changed))}"):
            run.check_identity()


def test_a_class_without_pictures_is_named(data):
    images, labels = data[0]
    with pytest.raises(ValueError, match="candidate_labels: received none of 9"):
        training.check_classes(training.Data(images, jnp.minimum(labels, 8)), 10)


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
        (["--k=70"], "--k: received 70, allowed: 1 to 40, the candidates"),
        (["--search", "--search_k=3,50"], "--search_k: received 3,50, allowed: integers from 1 to"),
        (["--search", "--search_rates=fast"], "--search_rates: received fast, allowed: numbers"),
        (["--search_k=3"], "--search_k: received 3, allowed: nothing without --search"),
        (["--search", "--learning_rate=0.1"], "--learning_rate: received 0.1, allowed: nothing b"),
        (["--search", "--operators=lapsum:temperature=2"], "allowed: no temperature beside --sea"),
        (["--download"], "--download: received true, allowed: a data set to download; digits is"),
        (["--operators=lapsum,lapsum"], "--operators: received lapsum twice, allowed: each once"),
        (["--operators=lapsum,learned", "--candidates=40"], "--operators: learned: "),
        (["--network=resnet18"], "--features: received 100, allowed: a multiple of 8"),
        (["--operators=bogosort"], "bogosort"),
        (["--baselines=knn"], "--baselines: received 'knn', allowed: linear_head, knn_pixels"),
        (["--learning_rate=0"], "--learning_rate: received 0.0"),
        (["--learning_rate=inf"], "--learning_rate: received inf, allowed: a finite number > 0"),
        (["--candidates=5000", "--operators=lapsum"], "--queries: received 50"),
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
        found = baselines.run(name, splits, (5, 9))
        assert found["test_accuracy"] > 0.95 and found["k"] in (5, 9)
        assert baselines.run(name, splits, [9])["k"] == 9


def test_a_section_says_what_was_searched_and_for_which_methods():
    config = {**dataclasses.asdict(SMALL), "seeds": 1}
    trained = {"method": "lapsum", "k": 2, "learning_rate": 0.1}
    pixels = {"method": "knn_pixels", "k": 3}
    for one in (trained, pixels):
        one["results"] = [{"test_accuracy": 0.5}]
    report = {"config": config, "rows": [9, 9, 9], "records": [trained, pixels]}
    text = results.section(report | {"config": config | {"search": None}})
    assert "No temperature, rate or k of a trained method was searched; for `knn_pixels`" in text
    assert "`: k in {1, 3, 5, 9}.\n" in text
    pixels["k_tried"] = [2]
    grids = {"search_temperatures": [0.3, 1.0], "search_rates": [0.1], "search_k": [1.0, 3.0]}
    text = results.section(report | {"config": config | {"search": grids}})
    assert "for trained methods: temperature in {0.3, 1}, rate in {0.1}, k in {1, 3}.\n" in text


def test_small_pictures_meet_the_convolution_that_the_library_has():
    draw = jax.random.split(jax.random.key(0), 3)
    pictures = jax.random.normal(draw[0], (3, 4, 6, 2))
    kernel, bias = jax.random.normal(draw[1], (5, 5, 2, 3)), jax.random.normal(draw[2], (3,))
    found = networks._small_conv_pool(pictures, kernel, bias)
    np.testing.assert_allclose(found, conv_pool(pictures, kernel, bias), rtol=1e-4, atol=1e-4)


def test_augmentation_shifts_and_mirrors_and_leaves_the_rest():
    pictures = jnp.arange(1.0, 65.0).reshape(1, 8, 8, 1) + jnp.zeros((40, 1, 1, 1))
    assert augmentation.augmented(pictures, jax.random.key(0), "none") is pictures
    padded = np.pad(np.asarray(pictures[0, ..., 0]), 1)
    shifted = [padded[i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
    mirrored = [each[:, ::-1] for each in shifted]
    for how, allowed in (("crop", shifted), ("crop_flip", shifted + mirrored)):
        found = augmentation.augmented(pictures, jax.random.key(0), how)[..., 0]
        kinds = [next(i for i, a in enumerate(allowed) if np.array_equal(a, f)) for f in found]
        assert len(set(kinds)) > len(allowed) // 2  # each picture in its own way
        assert max(kinds) >= 9 or how == "crop"


def test_pictures_are_augmented_in_training_alone(data, monkeypatch):
    task = training.Task(dataclasses.replace(SMALL, augmentation="crop_flip"), HEAD)
    seen = []
    monkeypatch.setattr(training, "augmented", lambda images, *_: seen.append(images) or images)
    state = task.start(data[0], 0)
    task.accuracy(state.best, data[0], data[1])
    assert not seen
    jax.eval_shape(task._step, state, data[0], jax.random.key(0))
    assert [images.shape for images in seen] == [(14, 8, 8, 1)]


def test_the_resnet_has_eighteen_layers_and_halves_pictures_three_times():
    network = networks.embedder("resnet18", 512, None)
    pictures = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    params, averages = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, True), pictures)
    kernels = [leaf["w"].shape for name, leaf in params.items() if "w" in leaf]
    assert len(kernels) == 1 + 2 * 8 + 3  # with the shortcuts of three groups; no head
    assert sum(shape[-1] == 512 for shape in kernels) == 5
    # Kuang Liu's has 11.2 million with a head of ten classes.
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == pytest.approx(11.2e6, rel=0.01)
    found, _ = jax.eval_shape(
        lambda p, s, x: network.apply(p, s, None, x, True), params, averages, pictures
    )
    assert found.shape == (2, 512)


@pytest.mark.parametrize("method", ["lapsum", "neuralsort:stochastic=true", HEAD.spec])
def test_one_query_and_one_sample_are_enough(data, method):
    config = dataclasses.replace(SMALL, queries=1, candidates=2, k=1)
    task = training.Task(config, HEAD if method == HEAD.spec else Method.of(method))
    state = jax.eval_shape(task._step, task.start(data[0], 0), data[0], jax.random.key(0))
    assert state.step.shape == ()


def test_stochastic_operators_keep_their_temperature_and_get_the_key_of_the_step(data, monkeypatch):
    task = training.Task(SMALL, Method.of("neuralsort:temperature=2,stochastic=true"))
    state, seen = task.start(data[0], 0), []

    def recorded(*arguments):
        seen.append(arguments[-1])
        return jnp.zeros(())

    monkeypatch.setattr(training.neighbours, "knn_loss", recorded)
    key = jax.random.key(3)
    part = training.Data(data[0].images[:4] / 255, data[0].labels[:4])
    task.loss(state.params, state.averages, part, part, key)
    (operator,) = seen
    assert operator.key is key and operator.temperature == 2.0 and operator.stochastic


@pytest.mark.slow
def test_the_script_from_end_to_end_with_search(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = dataclasses.asdict(SMALL)
    settings = [f"--{name}={small[name]}" for name in ("k", "steps", "queries", "candidates")]
    flags = [*settings, "--operators=lapsum", "--seeds=2", "--baselines=", "--search"]
    flags += ["--search_rates=0.001", "--search_temperatures=1,4", "--search_k=1"]
    with kept(script.FLAGS):
        script.SCRIPT.run(["script", *flags, "--out_dir=found"])
    report = storage.read_json(tmp_path / "found" / "results.json")
    (one,) = report["records"]
    assert one["k"] == 1 and len(one["results"]) == 2
    assert report["config"]["search"]["search_temperatures"] == [1, 4]
    assert "| `lapsum:temperature=" in capsys.readouterr().out
    assert results.draw(report, tmp_path / "neighbours.png") == tmp_path / "neighbours.png"
    shown = one["results"][0]["shown"]
    assert np.shape(shown["weights"]) == np.shape(shown["candidates"]) == (4, 8)
