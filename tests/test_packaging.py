# SPDX-License-Identifier: Apache-2.0
"""What is installed is coherent: versions, requirements, data files, licence."""

import importlib
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
from arlsort import __main__ as command_line

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


def test_the_version_is_written_once(arguments):
    assert arguments["version"] == arlsort.__version__
    own = re.compile(rf"(arlsort|version)\W{{1,4}}{re.escape(arlsort.__version__)}", re.IGNORECASE)
    for name in ("setup.py", "pyproject.toml", "README.md"):
        assert not own.search((ROOT / name).read_text(encoding="utf-8")), name


def test_what_is_cited_is_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {arlsort.__version__}\n" in text


def test_links_of_the_description_lead_away_from_the_repository(arguments):
    links = re.findall(r"(!?)\[[^][]*\]\(([^)#]+)", arguments["long_description"])
    assert len(links) > 5 and all(link.startswith("https://") for _, link in links)
    files = [link.removeprefix(f"{arguments['url']}/blob/main/") for _, link in links]
    assert any((ROOT / file).exists() for file in files)
    assert all("/raw/main/" in link for image, link in links if image and arguments["url"] in link)


def test_the_changelog_has_the_four_kinds_of_changes():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", text, re.MULTILINE)[1] in ("Unreleased", arlsort.__version__)
    kinds = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Fixed", "Removed"}


def test_the_console_script_is_the_module(arguments):
    (script,) = arguments["entry_points"]["console_scripts"]
    name, target = (part.strip() for part in script.split("="))
    module, function = target.split(":")
    assert name == "arlsort"
    assert getattr(importlib.import_module(module), function) is command_line.main


def test_project_links_and_classifiers(arguments):
    assert all(url.startswith(arguments["url"]) for url in arguments["project_urls"].values())
    least = arguments["python_requires"].removeprefix(">=3.")
    versions = re.findall(r"Python :: 3\.(\d+)", " ".join(arguments["classifiers"]))
    assert versions[0] == least and versions == sorted(versions, key=int)


def test_every_extra_parses_and_adds_only_what_the_base_lacks(arguments):
    base = {canonicalize_name(Requirement(line).name) for line in arguments["install_requires"]}
    for extra, lines in arguments["extras_require"].items():
        required = [canonicalize_name(Requirement(line).name) for line in lines]
        assert len(set(required)) == len(required), extra
        assert not base & set(required), extra


def test_extras_contain_each_other(arguments):
    extras = {name: set(lines) for name, lines in arguments["extras_require"].items()}
    assert extras["clrs"] < extras["experiments"] < extras["test"]
    assert extras["plot"] < extras["scripts"] == extras["experiments"] - extras["clrs"]


def test_base_install_has_no_tensorflow(arguments):
    assert {Requirement(line).name for line in arguments["install_requires"]} == {
        "chex",
        "dm-haiku",
        "jax",
        "jaxlib",
        "numpy",
        "optax",
        "safetensors",
        "tqdm",
    }


def test_one_distribution_owns_the_tfds_folder(arguments):
    for extra in ("clrs", "experiments", "test"):
        required = {Requirement(line).name for line in arguments["extras_require"][extra]}
        assert "tfds-nightly" in required
        assert "tensorflow-datasets" not in required


def test_pyproject_holds_the_build_system_and_tool_settings():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(settings) == {"build-system", "tool"}


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
