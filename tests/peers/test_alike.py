# SPDX-License-Identifier: Apache-2.0
"""The benchmark compares like with like: a peer said to be alike computes the same function."""

import jax
import pytest

from arlsort.operators import registry
from experiments.benchmarks import peers, programs

pytestmark = pytest.mark.peers

# Its largest values come from a transport to k places, not from the whole sort.
SOLVES_ANEW = ("softjax ot",)
BESIDE = [name for name in peers.ROWS if name in registry.names()]


@pytest.mark.parametrize("name", BESIDE)
def test_installed_peers_run_and_are_alike_where_it_is_said(name):
    of = programs.subject(name)
    if not of.peers:
        pytest.skip(f"no peer of {name} is installed")
    with jax.numpy_rank_promotion("allow"):  # other people's code relies on it
        found = programs.deviations(of)
    tolerances = {peer.name: peer.tolerance for peer in of.peers}
    for record in found:
        print(record)
        whole = record["what"] in programs.WHAT
        if whole:
            assert "failed" not in record
        elif "failed" in record or record["peer"] in SOLVES_ANEW:
            continue
        if record["alike"]:
            assert record["deviation"] < tolerances[record["peer"]]
