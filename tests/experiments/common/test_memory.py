# SPDX-License-Identifier: Apache-2.0
"""Memory that a step has freed is there for the next one."""

import platform
import subprocess
import sys

import pytest

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
