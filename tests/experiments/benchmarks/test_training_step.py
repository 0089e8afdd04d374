# SPDX-License-Identifier: Apache-2.0
"""A training step is measured at both precisions."""

import pytest

from experiments.benchmarks import training_step
from experiments.common.command_line import FlagError
from tests.experiments.flags import kept


@pytest.mark.slow
def test_a_run_measures_both_precisions(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with kept(training_step.FLAGS):
        training_step.SCRIPT.parse(["_", "--n=2", "--batch_sizes=2", "--repeats=1"])
        training_step.main()
    assert (tmp_path / "runs" / "benchmark_training_step.json").exists()
    assert "| 2 | 2 |" in capsys.readouterr().out


def test_more_is_told_by_a_factor():
    case = {"n": 9, "batch_size": 5, "seconds": {"float32": 0.02, "bfloat16": 0.005}}
    assert "| 9 | 5 | 250 | 1000 | 4.0 |" in training_step.table({"cases": [case]})


@pytest.mark.parametrize("flag", ["--n=1", "--batch_sizes=many"])
def test_wrong_sizes_are_refused(flag):
    with kept(training_step.FLAGS):
        training_step.SCRIPT.parse(["_", flag])
        with pytest.raises(FlagError, match="integers >="):
            training_step.main()
