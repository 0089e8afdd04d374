# SPDX-License-Identifier: Apache-2.0
"""Runs learn, are the same however they are cut, and lose nothing when stopped."""

import dataclasses
import os
import signal
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.common import datasets, storage
from experiments.common.command_line import FlagError, Interrupted, Stop
from experiments.four_digits import runs, training
from experiments.four_digits.config import resolve
from experiments.four_digits.runs import Run, RunError

TINY = {
    "operators": ["odd_even"],
    "n": 3,
    "steps": 11,
    "batch_size": 8,
    "channels": (2, 8),
    "eval_every": 4,
    "validation_lists": 12,
    "test_lists": 20,
    "steps_per_dispatch": 2,
    "checkpoint_every": 3,
}


@pytest.fixture(scope="module")
def splits():
    return jax.device_put(datasets.load("digits"))


def make(folder: Path, seed: int = 0, **changes) -> Run:
    config, (method,) = resolve({**TINY, **changes})
    return Run.at(config, method, seed, folder)


def comparable(result: dict) -> dict:
    return {name: value for name, value in result.items() if name != "seconds"}


def metrics(run: Run) -> list[dict]:
    records = storage.read_lines(run.folder / "metrics.jsonl")
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


@pytest.fixture(scope="module")
def straight(splits, tmp_path_factory) -> Run:
    """A run that was never stopped."""
    run = make(tmp_path_factory.mktemp("straight"))
    run.execute(splits, Stop())
    return run


def interrupt_at(monkeypatch, dispatch: int) -> None:
    """Sends Ctrl-C to this process during a dispatch."""
    train, count = training.train, [0]

    def interrupted(*args):
        count[0] += 1
        if count[0] == dispatch:
            os.kill(os.getpid(), signal.SIGINT)
        return train(*args)

    monkeypatch.setattr(training, "train", interrupted)


def last_state(run: Run, splits):
    task = training.Task.of(run.config, run.method.loss)
    start = training.init(task, splits.train, training.make_keys(run.seed).init)
    checkpoints = runs.Checkpoints(run.folder / "checkpoints")
    try:
        return checkpoints.restore(start)
    finally:
        checkpoints.close()


@pytest.mark.slow
def test_run_leaves_everything_behind(straight):
    result = straight.result
    assert result["curve"]["step"] == [4, 8, 11]
    assert set(result["test"]) == {"em", "ew", "em5"}
    assert result["best_step"] in (4, 8, 11)
    assert np.shape(result["permutation"]["before"]) == (3, 3)
    assert sorted(result["permutation"]["numbers"]) == result["permutation"]["numbers"]
    assert len(metrics(straight)) == 3


@pytest.mark.parametrize("dispatch", [1, 2, 5, 6])
def test_interrupted_run_resumes_to_the_same_bits(
    straight, splits, monkeypatch, tmp_path, dispatch
):
    run = make(tmp_path)
    with monkeypatch.context() as patch, Stop().on_signals() as stop:
        interrupt_at(patch, dispatch)
        with pytest.raises(Interrupted):
            run.execute(splits, stop)
    assert run.result is None
    resumed = make(tmp_path).execute(splits, Stop())
    assert comparable(resumed) == comparable(straight.result)
    assert metrics(run) == metrics(straight)
    jax.tree.map(
        np.testing.assert_array_equal, last_state(run, splits), last_state(straight, splits)
    )


def test_killed_run_resumes_from_its_last_checkpoint(straight, splits, monkeypatch, tmp_path):
    class Killed(BaseException):
        pass

    run, train, count = make(tmp_path), training.train, [0]

    def killed(*args):
        count[0] += 1
        if count[0] == 6:  # after the evaluation at step 8 and the checkpoint there
            raise Killed
        return train(*args)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train", killed)
        with pytest.raises(Killed):
            run.execute(splits, Stop())
    log = run.folder / "metrics.jsonl"
    storage.append_line(log, {"step": 11, "loss": 1.0, "seconds": 9.0})  # beyond the checkpoint
    with log.open("a") as file:
        file.write('{"step": 1')  # a line that was cut off
    resumed = make(tmp_path).execute(splits, Stop())
    assert comparable(resumed) == comparable(straight.result)
    assert metrics(run) == metrics(straight)


def test_signals_are_handled_as_before_after_a_run():
    before = signal.getsignal(signal.SIGINT)
    with Stop().on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL  # a second one ends it
    assert signal.getsignal(signal.SIGINT) is before


def test_another_setting_is_not_resumed(straight):
    out_dir = straight.folder.parents[2]
    for name, value in (("batch_size", 9), ("steps_per_dispatch", 1), ("learning_rate", 0.1)):
        with pytest.raises(FlagError, match=f"{name}.*received {value}"):
            make(out_dir, **{name: value}).check_identity()
    make(out_dir, seeds=9, checkpoint_every=1).check_identity()  # these change no number
    # A temperature would have a folder of its own; a default may change.
    warmer = dataclasses.replace(straight.method.operator, temperature=0.5)
    other = dataclasses.replace(straight.method, operator=warmer)
    with pytest.raises(FlagError, match="method.operator.temperature 0.1, received 0.5"):
        dataclasses.replace(straight, method=other).check_identity()


def test_a_run_of_an_earlier_version_is_not_resumed(tmp_path):
    run = make(tmp_path)
    storage.write_json(run.folder / "run.json", {**run.identity, "method": "SoftSort(...)"})
    with pytest.raises(FlagError, match=r"started with method SoftSort.*received nothing"):
        run.check_identity()


def test_dispatches_are_cut_by_the_step_alone(straight, splits, monkeypatch, tmp_path):
    seen, train = [], training.train

    def watched(task, operator, split, keys, state, count):
        seen.append((int(state.step), count))
        return train(task, operator, split, keys, state, count)

    monkeypatch.setattr(training, "train", watched)
    make(tmp_path, checkpoint_every=1).execute(splits, Stop())
    assert seen == [(0, 2), (2, 2), (4, 2), (6, 2), (8, 2), (10, 1)]


@pytest.mark.parametrize(("seconds", "steps"), [(60.0, [4, 6]), (0.0, [2, 4, 6])])
def test_a_run_is_saved_by_steps_and_by_time(splits, monkeypatch, tmp_path, seconds, steps):
    seen, save = [], runs.Checkpoints.save

    def watched(self, step, state):
        seen.append(step)
        save(self, step, state)

    monkeypatch.setattr(runs.Checkpoints, "save", watched)
    changes = {"steps": 6, "eval_every": 6, "checkpoint_every": 3, "checkpoint_seconds": seconds}
    make(tmp_path, **changes).execute(splits, Stop())
    assert seen == steps


def test_operators_start_alike_and_see_the_same_lists(splits):
    keys = training.make_keys(3)
    first = {}
    for spec in ("odd_even", "neuralsort"):
        config, (method,) = resolve({**TINY, "operators": [spec]})
        task = training.Task.of(config, method.loss)
        state = training.init(task, splits.train, keys.init)
        after = training.train(task, method.operator, splits.train, keys, state, 1)
        first[spec] = (state.params, after.running[1])
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, after.params)
        assert any(jax.tree.leaves(moved))
    jax.tree.map(np.testing.assert_array_equal, first["odd_even"], first["neuralsort"])


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_steps_of_a_dispatch_are_a_loop_only_where_that_is_fast(splits, monkeypatch, backend):
    config, (method,) = resolve(TINY)
    task = training.Task.of(config, method.loss)
    keys = training.make_keys(0)
    state = training.init(task, splits.train, keys.init)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    for steps in (1, 3):
        program = jax.make_jaxpr(
            lambda state, steps=steps: training.train.__wrapped__(
                task, method.operator, splits.train, keys, state, steps
            )
        )(state)
        looped = any(equation.primitive.name == "scan" for equation in program.eqns)
        assert looped == (backend == "gpu")  # an operator may have loops of its own further in


def test_seeds_differ(splits):
    config, (method,) = resolve(TINY)
    task = training.Task.of(config, method.loss)
    one, two = (training.init(task, splits.train, training.make_keys(seed).init) for seed in (0, 1))
    assert (
        one.params["number_reader/hidden"]["w"] != two.params["number_reader/hidden"]["w"]
    ).all()


def test_best_parameters_are_kept(splits):
    config, (method,) = resolve(TINY)
    task = training.Task.of(config, method.loss)
    start = training.init(task, splits.train, training.make_keys(0).init)
    other = jax.tree.map(lambda x: x + 1, start.params)
    state = training.keep_best(start._replace(step=start.step + 4), 0.412)
    later = state._replace(params=other, step=state.step + 4)
    assert int(training.keep_best(later, 0.412).best_step) == 4  # a tie keeps the earlier
    better = training.keep_best(later, 0.413)
    assert int(better.best_step) == 8
    jax.tree.map(np.testing.assert_array_equal, better.best_params, other)


def test_evaluation_counts_each_list_once(splits):
    config, (method,) = resolve(TINY)
    task = training.Task.of(config, method.loss)
    keys = training.make_keys(0)
    params = training.init(task, splits.train, keys.init).params
    for lists in (3, 8, 13):  # batches have 8
        em = training.evaluate(task, params, splits.test, keys.test, lists)["em"]
        assert em * lists == pytest.approx(round(em * lists), abs=1e-5)


def test_endless_loss_ends_the_run_in_one_line(splits, tmp_path, monkeypatch):
    def diverged(task, operator, split, keys, state, count):
        return state._replace(step=state.step + count, running=state.running + np.nan)

    monkeypatch.setattr(training, "train", diverged)
    with pytest.raises(RunError, match="odd_even seed 0: the loss was not finite") as raised:
        make(tmp_path).execute(splits, Stop())
    assert "\n" not in str(raised.value)


def test_training_learns(splits):
    config, (method,) = resolve(TINY)
    task = training.Task.of(config, method.loss)
    keys = training.make_keys(0)
    state = training.init(task, splits.train, keys.init)
    before = training.evaluate(task, state.params, splits.test, keys.test, 400)
    for _ in range(150):
        state = training.train(task, method.operator, splits.train, keys, state, 2)
    after = training.evaluate(task, state.params, splits.test, keys.test, 400)
    assert before["ew"] < 0.45 < 0.55 < after["ew"]
