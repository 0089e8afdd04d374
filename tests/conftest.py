# SPDX-License-Identifier: Apache-2.0
"""What every test runs under.

Nearly all of a run is compilation, of programs that run once or twice. So XLA optimises little, and
a program that another module or worker has compiled is read from a folder of this run. To compile
as users do: `JAX_DISABLE_MOST_OPTIMIZATIONS=0 python -m pytest`. To keep the programs between runs:
name a folder in `JAX_COMPILATION_CACHE_DIR`.
"""

import os
import pathlib
import tempfile

# Before JAX is imported, which reads them then. Workers and other processes inherit them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _programs = tempfile.TemporaryDirectory(prefix="arlsort-tests-")  # gone with this process
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _programs.name

import hypothesis
import jax
import pytest

# A shape that broadcasts by luck is a bug; `jax.numpy_rank_promotion("allow")` is the way around it
# for foreign code.
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("arlsort", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("arlsort")

# Of the 65530 that Linux allows a process by default; one module adds a few thousand.
MEMORY_MAPS = 20_000


# Files that take over 30 s, the longest first: a worker that gets one last is waited for.
LONGEST = (
    "experiments/common/test_devices.py",
    "reasoner/test_clrs_parity.py",
    "conformance/test_transformations.py",
    "conformance/test_edge_cases.py",
    "reasoner/test_training.py",
    "operators/test_learned.py",
    "reasoner/test_processor.py",
    "reasoner/test_traces.py",
    "conformance/test_weights.py",
    "test_readme.py",
    "test_docstrings.py",
    "test_notebook.py",
    "experiments/four_digits/test_runs.py",
    "experiments/test_train_reasoner.py",
)


def pytest_collection_modifyitems(items):
    ranks = {pathlib.Path(__file__).parent / file: rank for rank, file in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Frees the programs before thousands of them exhaust the memory maps XLA may have."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if not maps.exists() or len(maps.read_bytes().splitlines()) > MEMORY_MAPS:
        jax.clear_caches()
