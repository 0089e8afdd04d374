# SPDX-License-Identifier: Apache-2.0
"""What every test runs under; tests/README.md says what is tested where.

Nearly all of a run is compilation, of programs that run once or twice. So XLA optimises little, and
a program that another run or worker has compiled is read from a folder of pytest's cache. To
compile as users do: `JAX_DISABLE_MOST_OPTIMIZATIONS=0 python -m pytest`. To forget the programs:
`python -m pytest --cache-clear`. To keep them elsewhere: name a folder in
`JAX_COMPILATION_CACHE_DIR`.
"""

import ctypes
import gc
import hashlib
import importlib
import os
import pathlib
import platform
import sys
from importlib.metadata import version
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Two thirds of the time of compiling is that of the new emitters of fused loops. Without multiply-
# add instructions the old ones round as the new ones do, wherever they compute a number twice.
CHEAP = (
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_max_isa=AVX",
    "--xla_cpu_parallel_codegen_split_count=1",
)
# Series of jaxlib known to have those flags; one without them would end the process, as 0.12 does.
KNOWING = ("0.10.",)

PROGRAMS = ROOT / ".pytest_cache" / "d" / "programs"
MOST_BYTES = 500_000_000


def _machine() -> str:
    """A name of this processor with its instructions: programs for one may not run on another."""
    information = pathlib.Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    flags = next((line for line in lines if line.startswith("flags")), platform.processor())
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"


def _drop_oldest(folder: pathlib.Path, most_bytes: int) -> None:
    """Removes the oldest files until the others have no more bytes than that."""
    files = [(file.stat(), file) for file in folder.rglob("*") if file.is_file()]
    total = sum(status.st_size for status, _ in files)
    for status, file in sorted(files, key=lambda pair: pair[0].st_mtime):
        if total <= most_bytes:
            break
        file.unlink(missing_ok=True)
        total -= status.st_size


# Before JAX is imported, which reads them then. Workers and other processes inherit them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and version("jaxlib").startswith(KNOWING):
    os.environ.setdefault("XLA_FLAGS", " ".join(CHEAP))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # nor is it a worker
    _drop_oldest(PROGRAMS, MOST_BYTES)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(PROGRAMS / f"{version('jaxlib')}-{_machine()}")
# Nor does a test write to the user's own folder.
os.environ["ARLSORT_CACHE_DIR"] = str(PROGRAMS.with_name("pictures"))

import hypothesis
import jax
import pytest
from jax._src import pjit
from jax._src.interpreters import pxla

from arlsort.operators import registry

# A shape that broadcasts by luck is a bug; `jax.numpy_rank_promotion("allow")` is the way around it
# for foreign code.
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("arlsort", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("arlsort")

# One worker runs all tests of a group, so that a function that several of them call is traced once.
# Tests of an operator are a group, those of other files are a group for each file.
OF_OPERATOR = {
    "operators/test_amortized.py": "amortized",
    "operators/test_learned.py": "learned",
    "operators/test_lapsum.py": "lapsum",
    "operators/test_permutahedron.py": "permutahedron",
    "operators/test_perturbed.py": "perturbed",
    "operators/test_sinkhorn.py": "sinkhorn",
    "operators/test_neuralsort.py": "neuralsort",
    "operators/test_softsort.py": "softsort",
    "operators/test_sorting_network.py": "odd_even",
}
# Those that take longest, in that order: a worker that gets one last is waited for.
LONGEST = (
    "experiments/test_devices.py",
    "learned",
    "amortized",
    "reasoner/test_clrs_parity.py",
    "reasoner/test_training.py",
    "reasoner/test_processor.py",
    "experiments/test_train_reasoner.py",
    "experiments/test_runs.py",
    "sinkhorn",
    "permutahedron",
    "reasoner/test_traces.py",
    "odd_even",
    "test_docstrings.py",
    "bitonic",
)


# Each of these compiles a program of its own for each row of the registry: the fast tests have few
# rows, the slow ones all others.
FEW_ROWS = {
    "test_dtypes_may_be_strict": ("softsort",),
    "test_every_temperature_above_zero_is_finite_and_no_other": ("softsort",),
    "test_forward_and_reverse_mode_agree": ("softsort", "odd_even"),
    "test_infinite_rows_go_where_they_have_weight": ("softsort", "odd_even"),
    "test_items_have_what_they_have_in_the_shorter_list": (
        "amortized",
        "bitonic",
        "neuralsort",
        "softsort",
        "lapsum",
        "permutahedron",
    ),
    "test_masked_items_get_no_gradient": ("softsort",),
    "test_masks_of_the_k_largest_sum_to_k": ("odd_even", "softsort", "lapsum", "permutahedron"),
    "test_operators_are_equal_if_their_fields_are_and_then_have_one_hash": (
        "softsort",
        "perturbed",
    ),
    "test_rows_alone_are_those_of_the_permutation": ("odd_even", "neuralsort", "lapsum"),
    "test_straight_through_is_exact_forward_and_soft_backward": ("softsort", "bitonic"),
    "test_the_others_are_what_they_are_in_double_precision": ("neuralsort",),
    "test_the_mask_is_the_sum_of_the_rows_cut_off_at_one": ("odd_even", "softsort", "lapsum"),
    "test_ties_are_in_the_order_of_jax": ("hard", "bitonic"),
}

# Rows that are computed by the swaps of another one, or, of the executed sort, take longest to
# compile; slow where the row of the other one is not.
TWINS = {"odd_even_merge": "bitonic", "bubble_sort": "odd_even", "learned": "amortized"}

# A process that has grown by the first since it last did so, after a module, forgets what its
# programs were compiled from, and if that leaves more than the second the programs, which are kept
# on disk.
MANY_MEGABYTES = 300
MOST_MEGABYTES = 1200
_held = {"megabytes": 500.0}  # after the last module that was cleaned up


def _group(nodeid: str) -> str:
    """The operator that a test is of, or its file: "tests/a/test_b.py::test_c[odd_even-3]"."""
    path, _, test = nodeid.partition("::")
    _, bracket, parameters = test.partition("[")
    for parameter in parameters.rstrip("]").split("-") if bracket else ():
        name = parameter.partition(":")[0]
        if name in registry.REGISTRY:
            return name
    folder, *_ = parts = path.removeprefix("tests/").split("/")
    # What moves between the folders of `experiments` stays what it is.
    file = "/".join((folder, parts[-1])) if len(parts) > 1 else parts[-1]
    return OF_OPERATOR.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives each group to one worker, by the names of tests: marks are not read by pytest 9.2."""
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Groups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    _leave_rows_to_ci(items)
    items.sort(key=lambda item: ranks.get(_group(item.nodeid), len(ranks)))


def _leave_rows_to_ci(items: list[pytest.Item]) -> None:
    """Marks as slow the conformance of variants whose row runs the same test, and `FEW_ROWS`."""

    def parts(item: pytest.Item) -> list[str]:
        found = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return [part for part in found if isinstance(part, str)]

    def test(item: pytest.Item) -> tuple[pathlib.Path, str]:
        return item.path, getattr(item, "originalname", item.name)

    own = [item for item in items if item.path.parent.name == "conformance"]
    defaults = {(*test(item), part) for item in own for part in parts(item)}
    for item in own:
        few = FEW_ROWS.get(test(item)[1])
        for part in parts(item):
            name, colon, _ = part.partition(":")
            if name not in registry.REGISTRY:
                continue
            default = name if colon else TWINS.get(name)
            variant = default is not None and (*test(item), default) in defaults
            if variant or (few is not None and name not in few):
                item.add_marker(pytest.mark.slow)


def need_clrs() -> Any:
    """Imports dm-clrs, or skips the test that needs it; CI, which must have it, skips nothing."""
    if os.environ.get("CI") == "true":
        return importlib.import_module("clrs")
    return pytest.importorskip("clrs")


@pytest.fixture(scope="session")
def clrs() -> Any:
    return need_clrs()


@pytest.fixture(scope="session")
def clrs_bridge(clrs: Any) -> Any:
    return importlib.import_module("arlsort.reasoner.clrs_bridge")


@pytest.fixture(scope="module", autouse=True)
def _forget_sources_of_programs():
    """Frees what programs were compiled from, a megabyte each; the programs stay."""
    yield
    if _megabytes() < _held["megabytes"] + MANY_MEGABYTES:
        return  # to look for garbage takes seconds
    for module, name in ((pxla, "_cached_lowering_to_hlo"), (pjit, "_pjit_lower")):
        clear = getattr(getattr(module, name, None), "cache_clear", None)
        if clear is not None:  # not a part of JAX's interface
            clear()
    _return_memory()
    if _megabytes() > MOST_MEGABYTES:
        jax.clear_caches()
        _return_memory()
    _held["megabytes"] = _megabytes()


def _megabytes() -> float:
    """What this process holds; 0 where the system does not say."""
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def _return_memory() -> None:
    """Gives back to the system what compilation has freed, where the C library keeps it."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)
