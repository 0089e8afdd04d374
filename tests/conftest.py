# SPDX-License-Identifier: Apache-2.0
"""What every test runs under."""

import hypothesis
import jax
import pytest

# A shape that broadcasts by luck is a bug; `jax.numpy_rank_promotion("allow")` is the way around it
# for foreign code.
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("arlsort", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("arlsort")


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Frees a module's programs: thousands in one process exhaust the memory maps XLA may have."""
    yield
    jax.clear_caches()
