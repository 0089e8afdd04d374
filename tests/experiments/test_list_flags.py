# SPDX-License-Identifier: Apache-2.0
"""What a list flag names twice is refused in one line, by every script."""

import importlib
from pathlib import Path

import pytest

from tests.experiments.flags import defined, kept, refusal

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments"
SCRIPTS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted(FOLDER.rglob("*.py"))
    if "\nSCRIPT = Script(" in path.read_text(encoding="utf-8")
]
# A length that is there twice is visited twice as often; both convolutions may be as wide.
TWICE_IS_ANOTHER_THING = {
    ("train_reasoner", "lengths"),
    *((s, "channels") for s in ("sort_numbers", "compare_strings", "cheapest_paths", "contest")),
}
# Where the first of the default would be slow to check, or is not what the flag takes.
ELEMENTS = {"operators": "softsort", "methods": "softsort", "known": "a.json", "n": "5"}
BESIDE = {"search": ("--search",)}


def _flags():
    for module in SCRIPTS:
        flags = importlib.import_module(module).FLAGS
        short = module.split(".")[-1]
        for name in sorted(defined(flags)):
            lists = flags[name].flag_type() in ("comma separated list of strings", "multi string")
            if lists and (short, name) not in TWICE_IS_ANOTHER_THING:
                yield pytest.param(module, name, id=f"{short}-{name}")


FLAGS = list(_flags())


def test_scripts_have_list_flags():
    assert len(FLAGS) > 40


@pytest.mark.parametrize("module, name", FLAGS)
def test_what_is_there_twice_is_refused(module, name, tmp_path, monkeypatch, capsys):
    script = importlib.import_module(module)
    monkeypatch.chdir(tmp_path)
    with kept(script.FLAGS):
        one = ELEMENTS.get(name) or script.FLAGS[name].default[0]
        beside = BESIDE.get(name.partition("_")[0], ())
        arguments = [module, *beside, f"--{name}={one},{one}"]
        said = refusal(lambda: script.SCRIPT.run(arguments), capsys)
    assert f"--{name}: received " in said and ("twice" in said or "once" in said)


@pytest.mark.parametrize(
    "module, name",
    [
        ("experiments.sort_numbers", "operators"),
        ("experiments.classify_neighbours", "operators"),
        ("experiments.quantile_regression", "operators"),
        ("experiments.research.quick_search", "methods"),
        ("experiments.research.gradient_quality", "methods"),
    ],
)
@pytest.mark.parametrize("between", [",", ", ", ";", " "])
def test_methods_are_separated_alike_and_the_same_one_is_refused(
    module, name, between, tmp_path, monkeypatch, capsys
):
    script = importlib.import_module(module)
    monkeypatch.chdir(tmp_path)
    same = "softsort:power=1,temperature=1"  # the default, and that of supervision
    with kept(script.FLAGS):
        arguments = [module, f"--{name}=softsort{between}{same}"]
        said = refusal(lambda: script.SCRIPT.run(arguments), capsys)
    assert f"--{name}: received softsort and {same}, which are the same" in said
    assert not list(tmp_path.iterdir())
