# SPDX-License-Identifier: Apache-2.0
"""The rows of the k largest alone are measured beside those of the whole permutation."""

import pytest

from experiments.benchmarks import top_k
from tests.experiments.flags import kept


@pytest.mark.slow
def test_a_run_measures_time_and_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--operators=softsort", "--n=6", "--k=2", "--batch_size=2", "--repeats=1"]
    with kept(top_k.FLAGS):
        top_k.SCRIPT.parse(["top_k", *flags])
        top_k.main()
    assert (tmp_path / "runs" / "benchmark_top_k.json").exists()
    assert "| `softsort` |" in capsys.readouterr().out


def test_less_is_told_by_factors():
    titles = (top_k.WHOLE, top_k.ALONE, top_k.MASK)
    case = {
        "operator": "lapsum",
        "seconds": dict(zip(titles, (1.0, 0.1, 0.05), strict=True)),
        "bytes": dict(zip(titles, (9e6, 1e6, 3e6), strict=True)),
    }
    assert "100 ms [10], 1 MB [9] | 50 ms [20], 3 MB [3]" in top_k.table({"cases": [case]})
