# SPDX-License-Identifier: Apache-2.0
"""The training script as it is used: from the command line, stopped and resumed."""

import dataclasses
import os
import subprocess
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort import LearnedSort
from arlsort.reasoner import checkpoint, training
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from experiments import train_reasoner
from experiments.common import run_folders, storage
from experiments.common.command_line import FlagError, Stop
from tests.experiments.flags import defined, kept, refusal

TINY = (
    "--lengths=2,3",
    "--hidden_size=8",
    "--steps=6",
    "--copies=2",
    "--batch_size=4",
    "--log_every=1",
    "--save_every=2",
    "--evaluation_lists=20",
)


@pytest.fixture(autouse=True)
def _rank_promotion():
    with jax.numpy_rank_promotion("allow"):  # CLRS relies on it
        yield


@kept(train_reasoner.FLAGS)
def run(*arguments: str) -> None:
    train_reasoner.SCRIPT.run(["train_reasoner.py", *TINY, *arguments])


class _StopAfter(Stop):
    """Asks to stop once a number of steps has been looked at."""

    def __init__(self, steps: int):
        self._left = steps

    @property
    def requested(self) -> bool:
        self._left -= 1
        return self._left < 0

    @requested.setter
    def requested(self, value: bool) -> None:
        pass


@pytest.mark.slow
def test_a_run_leaves_a_checkpoint_that_sorts_and_resumes_to_the_same_numbers(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(f"--out_dir={whole}")
    out = capsys.readouterr().out
    for text in ("algorithm          insertion_sort", "exact_order", "micro_f1", "validated to n"):
        assert text in out
    records = storage.read_lines(whole / "metrics.jsonl")
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "accuracy", "n", "seconds", "grad_norm"} <= set(records[0])
    card = checkpoint.load_card(whole / "reasoner.safetensors")
    assert card["steps"] == 6 and {"2", "3"} == set(card["scores"]["micro_f1"])
    mine = LearnedSort(checkpoint=str(whole / "reasoner.safetensors"), allow_extrapolation=True)
    assert jnp.isfinite(mine.sort(jnp.array([3.0, 1.0, 2.0]))).all()

    with monkeypatch.context() as patch:
        patch.setattr(train_reasoner, "Stop", lambda: _StopAfter(3))
        with pytest.raises(SystemExit) as exit_info:
            run(f"--out_dir={parts}")
    assert exit_info.value.code == 130
    assert not (parts / "reasoner.safetensors").exists()
    run(f"--out_dir={parts}", "--resume")
    resumed = storage.read_lines(parts / "metrics.jsonl")
    assert [record["loss"] for record in resumed] == [record["loss"] for record in records]
    seconds = [record["seconds"] for record in resumed]
    assert seconds == sorted(seconds), "the time of the interrupted part counts too"
    one, other = (checkpoint.load(d / "reasoner.safetensors").params for d in (whole, parts))
    jax.tree.map(np.testing.assert_array_equal, dict(one), dict(other))

    run("--steps=1", "--learning_rate=1e-9", f"--start={whole / 'reasoner.safetensors'}")
    (after,) = Path("runs/train_reasoner").glob("*/reasoner.safetensors")
    started = checkpoint.load(after).params
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), started, dict(one))

    with pytest.raises(SystemExit):
        run(f"--out_dir={parts}")
    assert "holds a run; add --resume" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(f"--out_dir={parts}", "--resume", "--copies=3")
    assert "--copies: received 3, but the run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sort_starts_from_one_of_fewer_hints_and_not_the_other_way_round(
    tmp_path, monkeypatch, capsys
):
    settings = TrainingConfig(lengths=(2,))
    few, many = (ReasonerConfig(name, hidden_size=4) for name in ("insertion_sort", "quicksort"))
    paths = {}
    for config in (few, many):
        paths[config] = tmp_path / f"{config.algorithm}.safetensors"
        params = training.init(config, dataclasses.replace(settings, seed=1)).params
        checkpoint.save(
            paths[config],
            params,
            config,
            settings,
            scores={},
            validated_length=2,
            sharpest_spread=1.0,
        )
    with kept(train_reasoner.FLAGS):
        train_reasoner.FLAGS(["train_reasoner.py", f"--start={paths[few]}"])
        begun = train_reasoner.first_state(many, settings).params
        known, fresh = checkpoint.load(paths[few]).params, training.init(many, settings).params
        for module, leaves in begun.items():
            jax.tree.map(np.testing.assert_array_equal, leaves, known.get(module, fresh[module]))
        assert set(known) < set(begun)
        said = capsys.readouterr().out
        assert "algo_0_p_enc_linear" in said and "algo_0_i_enc_linear" not in said
        # Of the rest of the network nothing may be missing.
        cut = {name: leaves for name, leaves in known.items() if "processor/linear_3" not in name}
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "load", lambda path: types.SimpleNamespace(params=cut))
            with pytest.raises(FlagError, match="or of one with fewer hints"):
                train_reasoner.first_state(many, settings)
        train_reasoner.FLAGS(["train_reasoner.py", f"--start={paths[many]}"])
        with pytest.raises(FlagError, match="or of one with fewer hints"):
            train_reasoner.first_state(few, settings)


@pytest.mark.slow
def test_a_network_for_likelihoods_is_trained_and_used(tmp_path, capsys):
    tiny = [text for text in TINY if not text.startswith("--copies")]
    sampled = ("--hints=sampled", "--noise_scales", "--noise_scale_spread=1", "--noise=cauchy")
    sampled += ("--nocomparisons",)
    with kept(train_reasoner.FLAGS):
        train_reasoner.SCRIPT.run(["train_reasoner.py", *tiny, *sampled, f"--out_dir={tmp_path}"])
    path = str(tmp_path / "reasoner.safetensors")
    mine = LearnedSort(checkpoint=path, normalize=False, allow_extrapolation=True)
    x, order = jnp.array([3.0, 1.0, 2.0]), jnp.array([1, 2, 0])
    plain, unsure = (mine.log_likelihood(x, order, w) for w in (None, jnp.array([1.0, 9.0, 1.0])))
    assert jnp.isfinite(plain) and jnp.isfinite(unsure) and plain != unsure
    capsys.readouterr()
    with kept(train_reasoner.FLAGS):
        line = ["train_reasoner.py", *tiny, *sampled[:2], "--nocomparisons"]
        assert "--noise_scale_spread: greater than 0" in refusal(
            lambda: train_reasoner.SCRIPT.run(line), capsys
        )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--lengths=2,x"], "--lengths: received 2,x"),
        (["--lengths=1"], "--lengths: received (1,)"),
        (["--hints=clrs", "--copies=3"], "--copies: changes nothing with --hints=clrs"),
        (
            ["--noise_scale_spread=1"],
            "--noise_scale_spread: changes nothing with --hints=perturbed",
        ),
        (["--hints=sampled"], "--copies: changes nothing with --hints=sampled"),
        (["--learning_rate=0"], "--learning_rate"),
        (["--algorithm=bogosort"], "bogosort"),
        (["--log_every=0"], "--log_every: received 0"),
        (["--processor=clrs", "--pair_dtype=bfloat16"], "--pair_dtype: changes nothing with"),
        (["--noplaces", "--place_weight=1"], "--place_weight: changes nothing with --noplaces"),
        (["--processor=clrs"], "--aggregator: received 'mean_max' with processor='clrs'"),
        (["--pairs_per_pass=0"], "--pairs_per_pass: received 0"),
        (["--devices=0"], "--devices: received 0"),
        (["--distributed=localhost"], "--distributed: received 'localhost'"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


def test_resume_alone_takes_the_newest_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_reasoner, "DEFAULT_FOLDER", tmp_path)
    assert "say which --out_dir" in refusal(lambda: run("--resume"), capsys)
    for age, name in enumerate(("newest", "a", "z")):
        config = tmp_path / name / "config.json"
        storage.write_json(config, {})
        os.utime(config, (1e9 - age, 1e9 - age))
    found = run_folders.newest(train_reasoner.DEFAULT_FOLDER, train_reasoner.MARKS)
    assert found == tmp_path / "newest"


def test_every_setting_is_a_flag_that_reaches_the_configuration():
    changed = {
        "algorithm": "bubble_sort",
        "processor": "clrs",
        "use_layer_norm": "false",
        "lengths": "4,5",
        "hints": "clrs",
        "noise": "cauchy",
        "remat": "all",
        "pair_dtype": "bfloat16",
        "pairs_per_pass": "64",
        "noise_scales": "true",
        "comparisons": "false",
        "places": "false",
        "aggregator": "max",
    }
    together = {
        **dict.fromkeys(
            ("noise_scales", "noise_scale_spread"),
            ("--hints=sampled", "--noise_scales", "--nocomparisons", "--noise_scale_spread=1"),
        ),
        "processor": ("--aggregator=max",),
    }
    for cls, index in ((ReasonerConfig, 0), (TrainingConfig, 1)):
        for field in dataclasses.fields(cls):
            default = field.default
            text = changed.get(field.name) or str(0.5 if field.name == "ema_decay" else default + 1)
            with kept(train_reasoner.FLAGS):
                others = together.get(field.name, ())
                line = ["train_reasoner.py", *others, f"--{field.name}={text}"]
                train_reasoner.SCRIPT.parse(line)
                value = getattr(train_reasoner.configs()[index], field.name)
            assert value != default, field.name


def test_the_other_flags_are_those_tested_here_and_with_the_devices():
    settings = {
        field.name for cls in (ReasonerConfig, TrainingConfig) for field in dataclasses.fields(cls)
    }
    assert defined(train_reasoner.FLAGS) - settings == {
        *("log_every", "save_every", "evaluation_lists", "out_dir", "resume", "start"),
        *("devices", "distributed"),
    }


def test_help_explains():
    script = Path(train_reasoner.__file__)
    done = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, check=True
    )
    assert "--algorithm" in done.stdout and "LearnedSort(checkpoint=" in done.stdout
