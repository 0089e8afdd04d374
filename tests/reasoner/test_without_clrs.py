# SPDX-License-Identifier: Apache-2.0
"""Tests that need dm-clrs are skipped where it is not installed, but not in CI."""

import sys

import pytest

from tests import conftest


@pytest.fixture(autouse=True)
def _no_clrs(monkeypatch):
    monkeypatch.setitem(sys.modules, "clrs", None)  # as if it were not installed


def test_without_dm_clrs_what_needs_it_is_skipped(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="clrs"):
        conftest.need_clrs()


def test_ci_does_not_skip_what_needs_dm_clrs(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(ModuleNotFoundError, match="clrs"):
        conftest.need_clrs()
