# SPDX-License-Identifier: Apache-2.0
"""What tests of experiments run under."""

import pytest

from experiments.common import picture_cache


@pytest.fixture(autouse=True)
def _no_pictures_of_others(monkeypatch, tmp_path):
    """Gives each test a folder of its own for what TFDS has read: an empty one."""
    monkeypatch.setenv(picture_cache.VARIABLE, str(tmp_path / "kept_pictures"))
