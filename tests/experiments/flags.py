# SPDX-License-Identifier: Apache-2.0
"""Flags as they were, once a test has parsed its own."""

import contextlib
from collections.abc import Iterator

from absl import flags
from absl.testing import flagsaver


@contextlib.contextmanager
def kept(values: flags.FlagValues) -> Iterator[None]:
    """Restores flags at the end of a block, or of a function it decorates."""
    saved = flagsaver.save_flag_values(values)
    try:
        yield
    finally:
        flagsaver.restore_flag_values(saved, values)
