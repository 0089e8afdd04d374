# SPDX-License-Identifier: Apache-2.0
"""Every flag changes something, nonsense is refused in one line, and presets are what they say."""

import dataclasses
import json

import pytest

from arlsort import operators
from experiments import sort_numbers
from experiments.common.command_line import FlagError
from experiments.common.methods import read_specs
from experiments.four_digits import config as configuration
from experiments.four_digits.config import Config, resolve
from experiments.four_digits.runs import _OUTSIDE, Run
from tests.experiments.flags import defined, kept, refusal

BASE = ("--operators=odd_even", "--dataset=mnist")

# For every flag another value than its default.
CHANGES = {
    "protocol": "--protocol=published",
    "dataset": "--dataset=fashion_mnist",
    "download": "--download",
    "resolution": "--resolution=half",
    "n": "--n=7",
    "operators": "--operators=neuralsort",
    "loss": "--loss=bce",
    "seeds": "--seeds=2",
    "steps": "--steps=300",
    "batch_size": "--batch_size=20",
    "learning_rate": "--learning_rate=0.01",
    "schedule": "--schedule=cosine",
    "channels": "--channels=4,8",
    "eval_every": "--eval_every=20",
    "validation_lists": "--validation_lists=30",
    "test_lists": "--test_lists=40",
    "steps_per_dispatch": "--steps_per_dispatch=4",
    "checkpoint_every": "--checkpoint_every=100",
    "checkpoint_seconds": "--checkpoint_seconds=5",
    "precision": "--precision=bfloat16",
    "dry_run": "--dry_run=20",
    "out_dir": "--out_dir=elsewhere",
    "resume": "--resume",
    "devices": "--devices=1",
    "distributed": "--distributed=auto",
}
OUTSIDE = ("dry_run", "out_dir", "resume", "devices", "distributed")  # no part of what is computed


@kept(sort_numbers.FLAGS)
def settings(*arguments: str):
    """Parses a command line and gives everything that follows from it."""
    sort_numbers.SCRIPT.parse(["sort_numbers.py", *arguments])
    (given,) = sort_numbers.given()
    config, methods = resolve(given)
    return {
        **dataclasses.asdict(config),
        "methods": [method.identity for method in methods],
        **{name: sort_numbers.FLAGS[name].value for name in OUTSIDE},
    }


def test_every_flag_is_walked():
    assert defined(sort_numbers.FLAGS) == set(CHANGES)
    assert {field.name for field in dataclasses.fields(Config)} == set(CHANGES) - set(OUTSIDE)


@pytest.mark.parametrize("name", CHANGES)
def test_flag_changes_the_configuration(name):
    # A loss can only differ from the default where the operator has another; see test_losses.
    base = settings(*BASE)
    changed = settings(*(b for b in BASE if f"--{name}=" not in b), CHANGES[name])
    if name == "operators":
        base = settings("--operators=odd_even")
        changed = settings(CHANGES[name])
        assert base["methods"] != changed["methods"]
    assert base[name] != changed[name]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("odd_even", "odd_even:distribution=logistic"),
        ("odd_even", "odd_even:temperature=0.2"),
        ("odd_even", "odd_even:hard=true"),
        ("neuralsort", "neuralsort:stochastic=true,num_samples=3"),
    ],
)
def test_hyperparameter_changes_the_operator(first, second):
    methods = settings(f"--operators={first}", f"--operators={second}")["methods"]
    assert methods[0] != methods[1]


def test_every_setting_of_a_run_is_in_its_identity(tmp_path):
    config, (method,) = resolve({"operators": ["odd_even"]})
    identity = Run.at(config, method, 0, tmp_path).identity
    names = {field.name for field in dataclasses.fields(Config)}
    assert names == (set(identity) - {"method", "weights", "seed"}) | set(_OUTSIDE)
    assert identity["method"]["operator"]["name"] == "odd_even"
    assert identity["method"]["operator"]["distribution"] == "cauchy"
    assert identity["method"]["loss"] == {"name": "bce", "temperature": 1.0, "noise_scales": False}
    assert json.loads(json.dumps(identity)) == identity


@kept(sort_numbers.FLAGS)
def test_several_n_are_several_comparisons_of_the_same_settings():
    sort_numbers.SCRIPT.parse(["sort_numbers.py", *BASE, "--n=9,5", "--protocol=published"])
    first, second = (resolve(given)[0] for given in sort_numbers.given())
    assert (first.n, second.n) == (9, 5)
    assert dataclasses.replace(first, n=5) == second


def test_an_accelerator_takes_hundreds_of_steps_at_once(monkeypatch):
    monkeypatch.setattr(configuration.jax, "default_backend", lambda: "gpu")
    config, _ = resolve({"protocol": "published", "operators": ["odd_even"]})
    assert config.steps_per_dispatch == 500


def test_a_loss_that_needs_no_operator_stands_alone():
    texts = ["loss:pairwise/0.5,odd_even", "loss:cauchy_likelihood+noise_scales"]
    _, methods = resolve({"operators": texts})
    assert [m.loss for m in methods] == ["pairwise/0.5", "bce", "cauchy_likelihood+noise_scales"]
    assert [m.operator is None for m in methods] == [True, False, True]
    loss = {"name": "pairwise", "temperature": 0.5, "noise_scales": False}
    assert methods[0].identity == {"operator": None, "loss": loss}
    assert "loss" not in operators.names()


def test_learned_sort_is_trained_by_likelihood_and_names_its_weights():
    _, (learned, network) = resolve({"operators": ["learned,odd_even"]})
    assert learned.loss == "likelihood"
    assert "normalize=False" in learned.describe()
    assert len(learned.weights) == 64
    assert network.weights is None
    _, (blended,) = resolve({"operators": ["learned"], "loss": "bce"})
    assert blended.loss == "bce"


def test_an_operator_may_name_its_loss():
    texts = ["learned@trace,learned,loss:pairwise", "odd_even:temperature=0.2@rows"]
    _, methods = resolve({"operators": texts, "loss": "auto"})
    assert [m.loss for m in methods] == ["trace", "likelihood", "pairwise", "rows"]
    assert methods[3].operator.temperature == 0.2


def test_too_long_list_for_the_learned_sort_is_refused():
    with pytest.raises(FlagError, match="allow_extrapolation=True"):
        resolve({"operators": ["learned"], "n": 999})


def test_published_protocol_is_the_published_one():
    config, _ = resolve({"protocol": "published", "operators": ["odd_even"]})
    assert config.dataset == "mnist"
    assert config.resolution == "full"
    assert config.channels == (32, 64)
    assert config.batch_size == 100
    assert config.steps == 100_000
    assert config.learning_rate == pytest.approx(10**-3.5)
    assert config.eval_every == 1000
    assert config.validation_lists == 5000
    assert config.test_lists == 10_000


def test_default_compares_the_promised_operators():
    assert configuration.OPERATORS == (
        "amortized:temperature=1",
        "odd_even",
        "odd_even:distribution=logistic",
        "neuralsort",
    )


@pytest.mark.parametrize(
    ("texts", "specs"),
    [
        (["learned,odd_even"], ["learned", "odd_even"]),
        (["learned odd_even;hard"], ["learned", "odd_even", "hard"]),
        (["learned", "hard"], ["learned", "hard"]),
        (
            ["a,odd_even:distribution=logistic,temperature=0.1,b:t=1"],
            ["a", "odd_even:distribution=logistic,temperature=0.1", "b:t=1"],
        ),
        (["a:x=1; b"], ["a:x=1", "b"]),
        ([" a , b "], ["a", "b"]),
        (["a:x=1, y=2 ; b"], ["a:x=1,y=2", "b"]),
        (["a:x=1; y=2"], ["a:x=1", "y=2"]),
        ([""], []),
    ],
)
def test_lists_of_operators_are_split(texts, specs):
    assert read_specs(texts) == specs


NONSENSE = [
    "--n=1",
    "--n=five",
    "--n=",
    "--n=5,5",
    "--n=5,1",
    "--precision=float16",
    "--checkpoint_seconds=-1",
    "--checkpoint_seconds=nan",
    "--dry_run=1",
    "--dry_run=401",
    "--steps=0",
    "--seeds=0",
    "--batch_size=-3",
    "--learning_rate=0",
    "--learning_rate=nan",
    "--learning_rate=inf",
    "--channels=3",
    "--channels=0,4",
    "--channels=a,b",
    "--dataset=mnits",
    "--resolution=third",
    "--loss=mse",
    "--loss=pointer",
    "--operators=",
    "--operators=od_even",
    "--operators=odd_even:temprature=1",
    "--operators=odd_even:temperature=0",
    "--operators=odd_even@",
    "--operators=odd_even@trace",
    "--operators=odd_even@plackett_luce",
    "--operators=loss:bce",
    "--operators=loss:",
    "--operators=loss:auto",
    "--operators=odd_even,odd_even:temperature=0.1",
    "--validation_lists=0",
    "--test_lists=0",
    "--eval_every=0",
    "--eval_every=501",
    "--steps_per_dispatch=51",
    "--checkpoint_every=501",
    "--download",
    "--devices=0",
    "--devices=many",
    "--distributed=localhost",
    "--no_such_flag",
    "extra",
]


@pytest.mark.parametrize("argument", NONSENSE)
def test_nonsense_is_refused_in_one_line(argument, capsys):
    arguments = [argument] if "operators" in argument else ["--operators=odd_even", argument]
    with kept(sort_numbers.FLAGS):
        error = refusal(lambda: sort_numbers.SCRIPT.run(["sort_numbers.py", *arguments]), capsys)
    assert error.startswith("sort_numbers: ")
    assert argument.lstrip("-").partition("=")[0] in error


@pytest.mark.parametrize("name", configuration.PUBLISHED)
def test_published_protocol_takes_no_other_settings(name):
    with pytest.raises(FlagError, match=f"--{name}: .*fixed by --protocol published"):
        resolve({"protocol": "published", name: configuration.QUICK[name]})


def test_published_protocol_refuses_other_pictures():
    with pytest.raises(FlagError, match="--dataset"):
        resolve({"protocol": "published", "dataset": "digits", "operators": ["odd_even"]})


def test_operators_are_tried_before_training():
    with pytest.raises(FlagError, match="--operators odd_even:temperature=-1"):
        resolve({"operators": ["odd_even:temperature=-1"]})


def test_defaults_shrink_with_the_number_of_steps():
    config, _ = resolve({"steps": 2, "operators": ["odd_even"]})
    assert config.eval_every == config.checkpoint_every == config.steps_per_dispatch == 2
    # An evaluation comes after a whole number of dispatches, so one program is enough.
    for every, dispatch in ((50, 2), (12, 2), (7, 1)):
        config, _ = resolve({"eval_every": every, "operators": ["odd_even"]})
        assert config.steps_per_dispatch == dispatch
