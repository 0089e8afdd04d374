# SPDX-License-Identifier: Apache-2.0
"""The flags of a script, and how they were before a test parsed its own."""

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


def defined(values: flags.FlagValues) -> set[str]:
    """Names the flags that a script defines, not those of absl."""
    modules = values.flags_by_module_dict().items()
    return {flag.name for name, own in modules if name.startswith("experiments.") for flag in own}
