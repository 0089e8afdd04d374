# SPDX-License-Identifier: Apache-2.0
"""Memory that a step has freed is there for the next one."""

import dataclasses
import platform
import subprocess
import sys

import pytest

from experiments.common import memory, runs
from experiments.four_digits import runs as four_digits
from experiments.four_digits.config import resolve
from experiments.program_tasks import runs as program_tasks

PROGRAM = """
import resource
import sys

import numpy as np

from experiments.common import memory

assert sys.argv[1] == "system" or memory.keep_freed()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(10_000_000)  # 80 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_pages_are_not_new_again():
    # Pages may be of 4 kB or of 2 MB.
    assert faults("kept") <= 2 < 20 < faults("system")


@dataclasses.dataclass(frozen=True)
class NoTask:
    """Of a run that does not come so far as to need one."""


def train(folder):
    runs.train(None, folder, None, None, steps=1, eval_every=1, stop=None)


def train_on_order(folder):
    config, (method,) = resolve({"operators": ["odd_even"], "n": 2})
    four_digits.Run.at(config, method, 0, folder).execute(None, None)


def train_through_program(folder):
    pace = program_tasks.Pace(1, 1, 1, 1)
    program_tasks.Run.at("task", NoTask(), "digits", pace, 0, folder).execute(None, None)


@pytest.mark.parametrize("begin", [train, train_on_order, train_through_program])
def test_every_run_keeps_it(begin, tmp_path, monkeypatch):
    class Kept(Exception):
        pass

    def keep_freed():
        raise Kept

    monkeypatch.setattr(memory, "keep_freed", keep_freed)
    with pytest.raises(Kept):
        begin(tmp_path)
