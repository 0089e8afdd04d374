# SPDX-License-Identifier: Apache-2.0
"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pathlib

import pytest

import arlsort

ROOT = pathlib.Path(arlsort.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", arlsort.__all__)
def test_public_names_have_an_example(name):
    thing = getattr(arlsort, name)
    if name not in ("Operator", "Relaxation", "names"):  # interface, result, and no argument
        assert ">>>" in thing.__doc__
