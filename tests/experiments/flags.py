# SPDX-License-Identifier: Apache-2.0
"""The flags of a script: as they were before a test parsed its own, and how they are refused."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
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


def refusal(run: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> str:
    """What a script says, in one line, as it ends with the code of a wrong command line."""
    with pytest.raises(SystemExit) as ended:
        run()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.count("\n") == 1
    return error
