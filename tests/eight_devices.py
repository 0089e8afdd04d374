# SPDX-License-Identifier: Apache-2.0
"""Runs Python in a process that sees eight devices."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Compiled faster, and what is compared alike.
FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
EIGHT = {"XLA_FLAGS": f"{FAST} --xla_force_host_platform_device_count=8"}
SECONDS = 900  # for one process, should the machine be busy


def run(*arguments: str) -> str:
    """Gives what `python ARGUMENTS...` prints, once it has ended well."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), **EIGHT},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout
