# SPDX-License-Identifier: Apache-2.0
"""What is installed is coherent: versions, requirements, data files, licence."""

import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import arlsort

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = sorted(ROOT.glob("arlsort/**/weights/*.safetensors"))
MAX_BYTES = 4_000_000


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py passes to `setup`."""
    received: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **kwargs: received.update(kwargs))
    runpy.run_path(str(ROOT / "setup.py"))
    return received


def test_version_is_the_same_everywhere(arguments):
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {
        "setup.py": arguments["version"],
        "CITATION.cff": re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1],
        "CHANGELOG.md": re.search(r"^## (\S+)", changelog, re.MULTILINE)[1],
        "README.md": re.search(r"version = \{(\S+)\}", readme)[1],
    } == dict.fromkeys(
        ["setup.py", "CITATION.cff", "CHANGELOG.md", "README.md"], arlsort.__version__
    )


def test_every_extra_parses_and_adds_only_what_the_base_lacks(arguments):
    base = {canonicalize_name(Requirement(line).name) for line in arguments["install_requires"]}
    for extra, lines in arguments["extras_require"].items():
        required = [canonicalize_name(Requirement(line).name) for line in lines]
        assert len(set(required)) == len(required), extra
        assert not base & set(required), extra


def test_extras_contain_each_other(arguments):
    extras = {name: set(lines) for name, lines in arguments["extras_require"].items()}
    assert extras["clrs"] < extras["experiments"] < extras["test"]


def test_base_install_has_no_tensorflow(arguments):
    assert {Requirement(line).name for line in arguments["install_requires"]} == {
        "chex",
        "dm-haiku",
        "jax",
        "jaxlib",
        "numpy",
        "optax",
        "safetensors",
    }


def test_one_distribution_owns_the_tfds_folder(arguments):
    for extra in ("clrs", "experiments", "test"):
        required = {Requirement(line).name for line in arguments["extras_require"][extra]}
        assert "tfds-nightly" in required
        assert "tensorflow-datasets" not in required


def test_pyproject_holds_tool_settings_only():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(settings) == {"tool"}


def test_every_package_is_installed_with_its_data(arguments):
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("arlsort/**/*.py")}
    assert {str(folder).replace("/", ".") for folder in folders} == set(arguments["packages"])
    for package, patterns in arguments["package_data"].items():
        for pattern in patterns:
            assert list((ROOT / package.replace(".", "/")).glob(pattern)), (package, pattern)


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_weights_are_small_and_have_a_card(path):
    assert path.stat().st_size < MAX_BYTES
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_every_card_has_weights():
    cards = ROOT.glob("arlsort/**/weights/*.json")
    assert {card.with_suffix(".safetensors") for card in cards} == set(WEIGHTS)


def test_licence_is_apache_2(arguments):
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert arguments["license"] == "Apache-2.0"


def test_every_source_names_the_licence():
    sources = [*ROOT.glob("arlsort/**/*.py"), *ROOT.glob("experiments/**/*.py"), ROOT / "setup.py"]
    for path in [*sources, *ROOT.glob("tests/**/*.py"), *ROOT.glob("docs/**/*.py")]:
        text = path.read_text(encoding="utf-8")
        assert not text or text.startswith("# SPDX-License-Identifier: Apache-2.0\n"), path
